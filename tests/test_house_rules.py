# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""House rules that a machine can check: who imports whom, what never appears, what every file and architecture has."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mm_affect
from mm_affect.registration import PUBLIC_NAMES


ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "mm_affect"
FILES = sorted(SOURCE.rglob("*.py"))
ARCHITECTURE_FILES = sorted((SOURCE / "models").glob("*.py"))
TRAVELING_FILES = sorted([*(SOURCE / "models").rglob("*.py"), *(SOURCE / "features").glob("*.py")])
LICENSE = "# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE)."
# Who may import whom: a room is a package or a file at the root, and a room may use what its rooms use.
GROUND = {"files", "label_field", "messages", "tasks", "traveling_code", "version", "vocabulary"}
ROOMS = {
    "files": set(),
    "label_field": {"vocabulary"},
    "messages": set(),
    "traveling_code": set(),
    "version": set(),
    "vocabulary": set(),
    "tasks": {"label_field", "messages", "vocabulary"},
    "registration": set(),  # by name alone: `PUBLIC_NAMES`
    "data": GROUND,
    "features": GROUND,
    "models": GROUND | {"features"},
    "evaluation": GROUND | {"data", "features", "models"},
    "checkpoints": GROUND | {"data", "features", "models"},
    "preparation": GROUND | {"data", "features", "models", "evaluation", "checkpoints"},
    "training": GROUND | {"data", "features", "models", "evaluation", "checkpoints"},
    "inference": GROUND | {"data", "features", "models", "evaluation", "checkpoints"},
    "experiments": GROUND | {"data", "features", "models", "evaluation", "checkpoints", "preparation", "training"},
    "__init__": GROUND | {"registration", "features", "models", "inference"},
    "cli": GROUND
    | {
        "data",
        "features",
        "models",
        "evaluation",
        "checkpoints",
        "preparation",
        "training",
        "inference",
        "experiments",
    },
}
DATA_FLOORS = (
    {"schema", "record", "ragged", "alignment", "licenses", "readers", "synthetic"},
    {"splits", "manifest_files", "manifest", "builder"},
    {"corpora", "rows", "own_corpus"},
    {"loading", "doctor", "parallel_build"},
    {"show", "statistics", "align_rows", "dataset_card"},
)
HEAVY = {"torch", "transformers"}  # what `data` and the ground must do without
OPTIONAL = ("av", "cv2", "evaluate", "gradio", "matplotlib", "ray", "sklearn", "soundfile", "soxr")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_file = pytest.mark.parametrize("path", FILES, ids=name_of)
each_traveling_file = pytest.mark.parametrize("path", TRAVELING_FILES, ids=name_of)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def imported_modules(path: Path) -> frozenset[str]:
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
    return frozenset(modules)


def room_of(module: str) -> str:
    """The room that a module of ours belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def uses_of_rooms() -> dict[str, set[str]]:
    """Room -> the rooms and the packages that its files import, lazily or not."""
    uses = {}
    for path in FILES:
        here = room_of(".".join(("mm_affect", *path.relative_to(SOURCE).with_suffix("").parts)))
        imported = imported_modules(path)
        uses.setdefault(here, set()).update(
            room_of(module) if module.split(".")[0] == "mm_affect" else module.split(".")[0] for module in imported
        )
    return {room: used - {room} for room, used in uses.items()}


def bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def architectures() -> dict[str, Path]:
    """Class name -> file of every subclass of AffectPreTrainedModel."""
    return {
        node.name: path
        for path in ARCHITECTURE_FILES
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef) and "AffectPreTrainedModel" in bases(node)
    }


# who imports whom -------------------------------------------------------------------------------------------------


def test_rooms_import_downwards():
    """Every arrow between rooms is in the table, the table has no circle, and nothing light leads to torch."""
    uses = uses_of_rooms()
    assert uses.keys() == ROOMS.keys(), "every room has a line in the table"
    for room, used in uses.items():
        assert used & ROOMS.keys() <= ROOMS[room], f"{room} imports {sorted((used & ROOMS.keys()) - ROOMS[room])}"
    reached = {room: set(used) for room, used in ROOMS.items()}
    for _ in ROOMS:
        reached = {room: used.union(*(reached[other] for other in used)) for room, used in reached.items()}
    for room, used in reached.items():
        assert room not in used, f"{room} reaches itself"
    for room in {"data", "registration"} | reached["data"]:
        assert not uses[room] & (HEAVY - ({"transformers"} if room == "registration" else set())), room


def test_files_of_data_import_downwards():
    """The order within the room: a file uses files of its own floor and of those below."""
    floors = {name: number for number, names in enumerate(DATA_FLOORS) for name in names}
    for path in (SOURCE / "data").rglob("*.py"):
        here = path.relative_to(SOURCE / "data").with_suffix("").parts[0]
        for module in imported_modules(path) if here != "__init__" else ():
            if module.startswith("mm_affect.data."):
                assert floors[module.split(".")[2]] <= floors[here], f"{name_of(path)} imports {module}"


def test_architectures_do_not_import_each_other():
    files = {path.stem: path for path in architectures().values()}
    for name, path in files.items():
        others = {f"mm_affect.models.{other}" for other in files if other != name}
        assert not imported_modules(path) & others, name_of(path)


def test_layers_know_no_architecture():
    for path in (SOURCE / "models" / "layers").glob("*.py"):
        ours = {module for module in imported_modules(path) if module.startswith("mm_affect.models.")}
        assert all(module.startswith("mm_affect.models.layers") for module in ours), name_of(path)


@each_traveling_file
def test_what_travels_imports_names_from_modules(path):
    """Only `from <dots>module import name` is rewritten when a checkpoint takes its code along."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.module, f"line {node.lineno}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert all(name.split(".")[0] != "mm_affect" for name in names), f"line {node.lineno}"


def test_names_of_what_travels_are_unique():
    """The files lie in one folder beside a checkpoint."""
    ground = [SOURCE / f"{name}.py" for name in GROUND]
    names = [path.name for path in [*TRAVELING_FILES, *ground] if path.stem != "__init__"]
    assert len(names) == len(set(names))


@each_traveling_file
def test_what_travels_keeps_its_annotations(path):
    """`from __future__ import annotations` turns `config_class` into a string, and the Auto classes refuse it."""
    assert "__future__" not in imported_modules(path)


def test_metrics_import_nothing_of_ours():
    assert not {
        module for module in imported_modules(SOURCE / "evaluation" / "metrics.py") if module.startswith("mm_affect")
    }


@pytest.mark.parametrize("path", sorted((ROOT / "datasets_scripts").glob("*.py")), ids=name_of)
def test_dataset_scripts_use_data_and_the_command_only(path):
    ours = {module for module in imported_modules(path) if module.startswith("mm_affect")}
    assert all(module.startswith(("mm_affect.data", "mm_affect.cli")) for module in ours), ours


def loaded_by(statement: str) -> set[str]:
    """Which of the optional packages a fresh interpreter has loaded after the statement."""
    code = f"import sys; {statement}; print(*[m for m in {OPTIONAL} if m in sys.modules])"
    environment = {"PYTHONPATH": str(SOURCE.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.full
def test_the_package_imports_nothing_optional():
    """The core runs without the extras; what transformers itself loads where it is installed does not count."""
    theirs = loaded_by("import transformers.modeling_utils, transformers.processing_utils, transformers.pipelines")
    assert not loaded_by("import mm_affect") - theirs


# what never appears -----------------------------------------------------------------------------------------------


@each_file
def test_nothing_that_runs_code_from_data(path):
    """No pickle (one restricted reader of legacy files apart), no eval or exec, no torch.load but of weights only."""
    converter = path == SOURCE / "checkpoints" / "conversion.py"
    legacy = path == SOURCE / "data" / "readers" / "legacy_pickle.py"
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
    path = SOURCE / "data" / "readers" / "legacy_pickle.py"
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
def test_every_file_has_license_and_docstring(path):
    assert path.read_text(encoding="utf-8").splitlines()[0] == LICENSE
    assert ast.get_docstring(tree_of(path)), "a module docstring says what the file is"


@each_file
def test_docstrings_begin_with_a_verb_or_a_noun(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = (ast.get_docstring(node) or "-").split()[0]
            assert first not in {
                "As",
                "How",
                "Of",
                "That",
                "What",
                "When",
                "Where",
                "Whether",
                "Which",
                "Who",
                "Why",
            }, f"{getattr(node, 'name', 'the module')} begins with {first}"


def test_class_names_are_unique():
    names = [node.name for path in FILES for node in tree_of(path).body if isinstance(node, ast.ClassDef)]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})


def test_spelling_is_american():
    """The changelog names what was renamed, and some files must name the old keys to refuse them."""
    british = re.compile(
        "licence|colour|normalis|recognis|labelled|behaviour|summaris|initialis|organis|judgement|neighbour|favour|optimise",
        re.IGNORECASE,
    )
    allowed = {"CHANGELOG.md", "src/mm_affect/data/record.py", "tests/test_data_rows.py", "tests/test_house_rules.py"}
    for path in tracked_text_files():
        if name_of(path) not in allowed and path.suffix in {".py", ".md", ".toml", ".json", ".yml", ".yaml", ".css"}:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                assert not british.search(line), f"{name_of(path)}, line {number}: {line.strip()[:80]}"


@each_file
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 480, "one idea each: split it"


@each_file
def test_public_names_have_docstrings(path):
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} (line {node.lineno}) has no docstring"


def test_public_names_are_one_list():
    """The lazy table, `__all__` and the imports for type checkers agree."""
    typed = next(n for n in tree_of(SOURCE / "__init__.py").body if isinstance(n, ast.If))
    declared = {alias.name: node.module for node in typed.body for alias in node.names}
    assert declared == PUBLIC_NAMES
    assert set(mm_affect.__all__) == PUBLIC_NAMES.keys() | {"MODALITIES", "Task", "__version__"}


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*[m for m in ('torch', 'transformers') if m in sys.modules])"
    environment = {"PYTHONPATH": str(SOURCE.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ["mm_affect", "mm_affect.data", "mm_affect.cli.main", "mm_affect.training.config"])
def test_light_imports_load_neither_torch_nor_transformers(module):
    assert not loaded_after(f"import {module}")


@pytest.mark.parametrize("module", ["schema", "record", "corpora.registry", "corpora.layouts"])
def test_light_modules_of_data_load_no_reader_of_files(module):
    code = f"import sys, mm_affect.data.{module}; print(*[m for m in ('datasets', 'pyarrow', 'h5py') if m in sys.modules])"
    environment = {"PYTHONPATH": str(SOURCE.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not result.stdout.split()


@pytest.mark.full
@pytest.mark.parametrize("first", ["mm_affect", "transformers"])
def test_the_auto_classes_know_ours_in_either_order_of_import(first):
    second = {"mm_affect": "transformers", "transformers": "mm_affect"}[first]
    code = (
        f"import {first}, {second}; from transformers import AutoConfig, AutoProcessor; "
        "assert AutoConfig.for_model('mm_affect_tailor').model_type == 'mm_affect_tailor'"
    )
    assert loaded_after(code) == {"torch", "transformers"}


def test_every_architecture_is_exported_and_tested():
    found = architectures()
    assert found
    exported = set(mm_affect.__all__)
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


def test_files_that_the_fast_tests_leave_out_exist():
    listed = re.search(r'in """(.+?)"""', (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"), re.DOTALL)
    for name in listed[1].split():
        assert (ROOT / "tests" / f"test_{name}.py").is_file(), f"tests/conftest.py names test_{name}.py"
