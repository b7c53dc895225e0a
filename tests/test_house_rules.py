# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""House rules that a machine can check: who imports whom, what never appears, what every file and architecture has."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "mm_affect"
FILES = sorted(SOURCE.rglob("*.py"))
MODEL_FILES = sorted((SOURCE / "models").glob("*.py"))
LICENCE = "# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE)."
# What two architectures have in common: SPT and SUGRM, MulT and LMR-CBT, MFN and EMO-EMB; the decoder of the joint embeddings.
SHARED_BLOCKS = {"phased", "cross_modal", "recurrent", "character_decoder"}
OPTIONAL = ("av", "cv2", "evaluate", "gradio", "matplotlib", "ray", "sklearn", "soundfile", "soxr")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_file = pytest.mark.parametrize("path", FILES, ids=name_of)
each_model_file = pytest.mark.parametrize("path", MODEL_FILES, ids=name_of)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(path: Path) -> set[str]:
    """Absolute names of everything a file imports, at any depth; relative imports are resolved."""
    package = path.relative_to(SOURCE.parent).parent.parts if path.is_relative_to(SOURCE) else ()
    modules = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *filter(None, [node.module])])
            modules |= {name} if node.module else {f"{name}.{alias.name}" for alias in node.names}
    return modules


def siblings(path: Path) -> set[str]:
    """What a file of `models/` imports from its siblings."""
    ours = {module for module in imported_modules(path) if module.split(".")[0] == "mm_affect"}
    return {module.removeprefix("mm_affect.models.") for module in ours}


def bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def architectures() -> dict[str, Path]:
    """Class name -> file of every subclass of AffectPreTrainedModel."""
    return {
        node.name: path
        for path in MODEL_FILES
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef) and "AffectPreTrainedModel" in bases(node)
    }


# who imports whom -------------------------------------------------------------------------------------------------


@each_model_file
def test_models_import_flat_siblings_only(path):
    """Only `from .name import X` is followed when a checkpoint takes its code along."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and node.module and "." not in node.module, f"line {node.lineno}"
        elif isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] != "mm_affect", f"line {node.lineno}"
        elif isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] != "mm_affect" for alias in node.names), f"line {node.lineno}"


@each_model_file
def test_models_import_in_one_direction(path):
    used = siblings(path)
    if path in architectures().values():
        assert used <= {"configuration", "layers", "modeling", "dropout", "packing", "word_vectors", *SHARED_BLOCKS}
    elif path.stem == "modeling":
        assert used <= {"configuration", "layers"}
    elif path.stem in ("packing", "windows"):
        assert used <= {"layers", "dropout"}
    elif path.stem in SHARED_BLOCKS:
        assert used <= {"configuration", "layers", "dropout", "packing", "windows"}
    elif path.stem == "processing":
        assert not used & ({"modeling", "layers"} | {other.stem for other in architectures().values()})
    elif path.stem == "frame_encoder":
        assert used <= {"faces", "pretrained_files"}  # where the face is, and the weights
    elif path.stem in ("vgg16", "vision_encoder"):
        assert used <= {"frame_encoder", "pretrained_files"}
    elif path.stem == "extractors":
        assert used <= {"log_mel", "faces", "vgg16", "vision_encoder", "word_vectors"}  # the table of all of them
    else:  # configuration, layers, dropout and the other extractors
        assert not used, "this file imports nothing of ours"


@each_model_file
def test_models_keep_their_annotations(path):
    """`from __future__ import annotations` turns `config_class` into a string, and the Auto classes refuse it."""
    assert "__future__" not in imported_modules(path)


@pytest.mark.parametrize("path", sorted((SOURCE / "data").glob("*.py")), ids=name_of)
def test_data_knows_neither_torch_nor_models(path):
    for module in imported_modules(path):
        assert module.split(".")[0] not in ("torch", "transformers"), module
        assert not module.startswith("mm_affect.models"), module


def test_metrics_import_nothing_of_ours():
    assert not {module for module in imported_modules(SOURCE / "metrics.py") if module.startswith("mm_affect")}


@pytest.mark.parametrize("path", sorted((ROOT / "datasets_scripts").glob("*.py")), ids=name_of)
def test_dataset_scripts_use_the_data_package_only(path):
    ours = {module for module in imported_modules(path) if module.startswith("mm_affect")}
    assert all(module.startswith("mm_affect.data") for module in ours), ours


def loaded_by(statement: str) -> set[str]:
    """Which of the optional packages a fresh interpreter has loaded after the statement."""
    code = f"import sys; {statement}; print(*[m for m in {OPTIONAL} if m in sys.modules])"
    environment = {"PYTHONPATH": str(SOURCE.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_package_imports_nothing_optional():
    """The core runs without the extras; what transformers itself loads where it is installed does not count."""
    theirs = loaded_by("import transformers.modeling_utils, transformers.processing_utils, transformers.pipelines")
    assert not loaded_by("import mm_affect") - theirs


# what never appears -----------------------------------------------------------------------------------------------


@each_file
def test_nothing_that_runs_code_from_data(path):
    """No pickle (one restricted reader of legacy files apart), no eval or exec, no torch.load but of weights only."""
    converter = path == SOURCE / "conversion.py"
    legacy = path == SOURCE / "data" / "legacy_pickle.py"
    unsafe = {module.split(".")[0] for module in imported_modules(path)} & {
        "pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle",
    }  # fmt: skip
    assert unsafe <= ({"pickle"} if legacy else set()), unsafe
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in ("eval", "exec"), f"{called} in line {node.lineno}"
        if called == "torch.load":
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert converter and options.get("weights_only") == "True", f"{called} in line {node.lineno}"
        assert not legacy or called not in ("pickle.load", "pickle.loads", "pickle.Unpickler"), f"line {node.lineno}"
        for keyword in node.keywords:
            allowed = keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"
            assert allowed, f"allow_pickle in line {node.lineno}"


def test_a_restricted_unpickler_decides_what_it_builds():
    path = SOURCE / "data" / "legacy_pickle.py"
    readers = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.ClassDef) and "Unpickler" in ast.unparse(n)]
    assert any(isinstance(n, ast.FunctionDef) and n.name == "find_class" for reader in readers for n in reader.body)


def test_no_file_is_called_utils():
    assert not [name_of(path) for path in FILES if path.stem in ("utils", "util", "helpers", "misc", "common")]


def tracked_text_files() -> list[Path]:
    """Files that git tracks or would track, without the binary ones."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so nobody knows which files are tracked")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


def test_no_path_of_one_machine():
    local = re.compile(r"(?<![\w.}~-])/(?:work|opt|home|root|Users)/\w")
    for path in tracked_text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            assert not local.search(line), f"{name_of(path)}, line {number}: {line.strip()[:80]}"


# what every file and architecture has -----------------------------------------------------------------------------


@each_file
def test_every_file_has_licence_and_docstring(path):
    assert path.read_text(encoding="utf-8").splitlines()[0] == LICENCE
    assert ast.get_docstring(tree_of(path)), "a module docstring says what the file is"


@each_file
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 480, "one idea each: split it"


@each_file
def test_public_names_have_docstrings(path):
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} (line {node.lineno}) has no docstring"


def test_every_architecture_is_exported_and_tested():
    found = architectures()
    assert found
    exported = {
        alias.name for n in tree_of(SOURCE / "__init__.py").body if isinstance(n, ast.ImportFrom) for alias in n.names
    }
    tested = set()
    for node in (node for path in (ROOT / "tests").glob("test_*.py") for node in tree_of(path).body):
        if isinstance(node, ast.ClassDef) and "ModelTesterMixin" in bases(node):
            tested |= {
                ast.unparse(s.value)
                for s in node.body
                if isinstance(s, ast.Assign) and s.targets[0].id == "model_class"
            }
    for name, path in found.items():
        assert name in exported, f"mm_affect/__init__.py does not export {name}"
        assert name in tested, f"tests/ has no test class of {name}"
        text = path.read_text(encoding="utf-8")
        assert (
            "AutoConfig.register(" in text
            and f"AutoModel.register({name.removesuffix('ForAffect')}Config, {name})" in text
        )
