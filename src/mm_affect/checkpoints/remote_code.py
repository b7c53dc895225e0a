# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints that carry their own code, and load where mm_affect is not installed.

    AutoModel.from_pretrained(folder, trust_remote_code=True)   # also AutoConfig, AutoProcessor, AutoFeatureExtractor

transformers follows imports of sibling files only, so the modules that an architecture and the processor need are copied flat
beside `config.json`, with their relative imports rewritten, and `auto_map` names the file of each class. They need torch,
transformers, numpy and scipy, and for clips the packages of the extras `audio` and `video`. Where mm_affect is imported, its own
classes are used, whatever a checkpoint carries.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from transformers import MODEL_FOR_PRETRAINING_MAPPING, MODEL_MAPPING, AutoConfig

from ..features.log_mel import LogMelExtractor
from ..features.processor import AffectProcessor
from ..files import write_atomically
from ..models.configuration import AffectConfig


RELATIVE_IMPORT = re.compile(r"^( *)from (\.+)([\w.]+) import", re.MULTILINE)


def add_code(folder: str | Path) -> list[str]:
    """Write the code that a checkpoint needs into its folder, and `auto_map` into its configs.

    Args:
        folder: a saved model with its processor, if it has one. Adding the code again brings it up to date.

    Returns:
        The names of the files that were written: modules, `config.json` and `processor_config.json`.

    Raises:
        ValueError: the folder holds the model of another package.
        OSError: the folder has no `config.json` that can be read.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json, so it is no saved model; save one there first.")
    config = AutoConfig.from_pretrained(folder)
    if not isinstance(config, AffectConfig):
        raise ValueError(
            f"{folder} holds a model of type {config.model_type!r}, whose code mm_affect does not have; give a checkpoint "
            "of one of its architectures."
        )
    classes = {
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
    """The file that defines a class of ours."""
    return Path(str(sys.modules[kind.__module__].__file__))


def flatten_code(modules: Iterable[Path]) -> dict[str, str]:
    """These modules and all that they import from each other, as files of one folder: name to content.

    Raises:
        ValueError: two of them have the same name.
    """
    code: dict[str, str] = {}
    origin: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        path = waiting.pop()
        if origin.setdefault(path.name, path) != path:
            raise ValueError(f"{path} and {origin[path.name]} cannot lie in one folder; rename one of them.")
        if path.name in code:
            continue
        text = path.read_text(encoding="utf-8")
        for _, dots, module in RELATIVE_IMPORT.findall(text):
            waiting.append(path.parents[len(dots) - 1].joinpath(*module.split(".")).with_suffix(".py"))
        code[path.name] = RELATIVE_IMPORT.sub(
            lambda found: f"{found[1]}from .{found[3].rpartition('.')[2]} import", text
        )
    return code
