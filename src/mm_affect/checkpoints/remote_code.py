# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints that contain their own code, and load without mm_affect installed.

    AutoModel.from_pretrained(folder, trust_remote_code=True)   # also AutoConfig, AutoProcessor, AutoFeatureExtractor

transformers only follows imports between files of one folder. The modules that an architecture and the processor need are
therefore copied beside `config.json`, with their relative imports rewritten, and `auto_map` names the file of each class. They
require torch, transformers, numpy and scipy, and for raw clips the packages of the extras `audio` and `video`. If mm_affect is
imported, its own classes are used instead.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import MODEL_FOR_PRETRAINING_MAPPING, MODEL_MAPPING, AutoConfig

from ..features.log_mel import LogMelExtractor
from ..features.processor import AffectProcessor
from ..files import write_atomically
from ..models.configuration import AffectConfig


RELATIVE_IMPORT = re.compile(r"^( *)from (\.+)([\w.]+) import", re.MULTILINE)


def add_code(folder: str | Path) -> list[str]:
    """Copy the code that a checkpoint needs into its folder, and add `auto_map` to its configs.

    Args:
        folder: a saved model, with or without its processor. Code from an earlier call is replaced.

    Returns:
        The names of the files written: modules, `config.json` and `processor_config.json`.

    Raises:
        FileNotFoundError: the folder has no `config.json`.
        ValueError: the model is not of mm_affect.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json, so it is not a saved model; save the model first.")
    config = AutoConfig.from_pretrained(folder)
    if not isinstance(config, AffectConfig):
        raise ValueError(
            f"{folder} holds a model of type {config.model_type!r}, which is not an architecture of mm_affect; choose one "
            "of its checkpoints."
        )
    classes: dict[str, Any] = {  # transformers declares its mappings with pairs of classes
        "AutoConfig": type(config),
        "AutoModel": MODEL_MAPPING[type(config)],
        "AutoProcessor": AffectProcessor,
        "AutoFeatureExtractor": LogMelExtractor,
    }
    if type(config) in MODEL_FOR_PRETRAINING_MAPPING:
        classes["AutoModelForPreTraining"] = MODEL_FOR_PRETRAINING_MAPPING[type(config)]
    auto_map = {auto: f"{find_source_file(kind).stem}.{kind.__name__}" for auto, kind in classes.items()}
    code = flatten_code(find_source_file(kind) for kind in classes.values())
    for name, text in code.items():
        write_atomically(folder / name, text)
    written = list(code)
    for name in ("config.json", "processor_config.json"):
        if (folder / name).is_file():
            content = json.loads((folder / name).read_text(encoding="utf-8")) | {"auto_map": auto_map}
            write_atomically(folder / name, json.dumps(content, indent=2, sort_keys=True) + "\n")
            written.append(name)
    return sorted(written)


def find_source_file(kind: type) -> Path:
    """Return the source file that defines a class of mm_affect."""
    return Path(str(sys.modules[kind.__module__].__file__))


def flatten_code(modules: Iterable[Path]) -> dict[str, str]:
    """Collect modules and all their relative imports as files of one folder, with the imports rewritten.

    Args:
        modules: paths of the modules.

    Returns:
        Content by file name.

    Raises:
        ValueError: two modules have the same file name.
    """
    code: dict[str, str] = {}
    origin: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        path = waiting.pop()
        if origin.setdefault(path.name, path) != path:
            raise ValueError(
                f"{path} and {origin[path.name]} have the same file name, so they cannot be copied into one folder; rename one of them."
            )
        if path.name in code:
            continue
        text = path.read_text(encoding="utf-8")
        for _, dots, module in RELATIVE_IMPORT.findall(text):
            waiting.append(path.parents[len(dots) - 1].joinpath(*module.split(".")).with_suffix(".py"))
        code[path.name] = RELATIVE_IMPORT.sub(
            lambda match: f"{match[1]}from .{match[3].rpartition('.')[2]} import", text
        )
    return code
