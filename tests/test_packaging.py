# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is built from a checkout holds everything that the package needs, and nothing of its neighbors."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "mm_affect"
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The source distribution and the wheel, built in a copy of the checkout."""
    copy, out = tmp_path_factory.mktemp("checkout") / "mm_affect", tmp_path_factory.mktemp("built")
    copy.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for kind in ("build_sdist", "build_wheel"):
        command = [sys.executable, "-c", BUILD, kind, str(out)]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def files_of_the_package() -> set[str]:
    found = (path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not {"__pycache__", ".ruff_cache"} & set(path.parts)}


def test_the_wheel_holds_every_file_of_the_package_and_no_other(built):
    with zipfile.ZipFile(built[1]) as wheel:
        held = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert held == files_of_the_package()


def test_the_source_distribution_holds_what_it_is_built_from(built):
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in files_of_the_package()} <= held
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE"} <= held


def test_the_core_needs_few_packages_and_every_extra_is_a_name(built):
    with zipfile.ZipFile(built[1]) as wheel:
        metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))).decode()
    lines = [line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
    core = {
        line.split(">")[0].split("=")[0].split("<")[0].split(";")[0].strip()
        for line in lines
        if "extra ==" not in line
    }
    allowed = {
        "torch",
        "transformers",
        "datasets",
        "accelerate",
        "safetensors",
        "huggingface-hub",
        "numpy",
        "pyarrow",
        "scipy",
    }
    assert core <= allowed | {"jinja2", "filelock"}, "a core install stays light"
    extras = {line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Provides-Extra: ")}
    assert {"audio", "video", "metrics", "plots", "data", "demo", "onnx", "ray", "all"} <= extras
