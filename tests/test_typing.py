# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The package tells its types, and warns of nothing. `make check` reads it, and `typed_use.py`, with mypy."""

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mm_affect
from mm_affect import data
from mm_affect.evaluation import metrics, results
from mm_affect.training import config as runs
from mm_affect.training import run as experiments


ROOT = Path(__file__).resolve().parent.parent


def public_functions(module) -> dict:
    """The functions of `__all__` or, without one, all that the module defines."""
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    found = {name: getattr(module, name) for name in names}
    return {
        name: value
        for name, value in found.items()
        if inspect.isfunction(value) and value.__module__.startswith(module.__name__)
    }


@pytest.mark.parametrize("module", [data, experiments, metrics, results, runs], ids=lambda module: module.__name__)
def test_public_functions_say_what_they_return(module):
    silent = [
        name
        for name, function in public_functions(module).items()
        if inspect.signature(function).return_annotation is inspect.Signature.empty
    ]
    assert public_functions(module) and not silent


def test_types_are_shipped_and_checked():
    assert (Path(mm_affect.__file__).parent / "py.typed").is_file()
    assert '"py.typed"' in (ROOT / "pyproject.toml").read_text()
    assert "mypy src/mm_affect tests/typed_use.py" in (ROOT / "Makefile").read_text()


def test_every_module_is_checked():
    """Neither mypy nor the docstring rules of ruff leave out a module."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert not any(table.get("ignore_errors") for table in settings["mypy"].get("overrides", ()))
    assert not any("src/" in pattern for pattern in settings["ruff"]["lint"]["per-file-ignores"] if pattern[0] != "!")


@pytest.mark.full
def test_the_import_warns_of_nothing():
    """Where every warning is an error."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        "import mm_affect, mm_affect.data, mm_affect.training.config, mm_affect.cli",
    ]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
