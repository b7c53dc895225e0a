# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints that carry their own code, and load where mm_affect is not installed.

    AutoModel.from_pretrained(folder, trust_remote_code=True)   # so do AutoConfig, AutoProcessor, AutoFeatureExtractor

The files of `models/` that an architecture and the processor need lie flat beside `config.json`, and `auto_map` says which class
is in which file. They need torch, transformers, numpy and scipy, and for clips what the extras `audio` and `video` bring. Where
mm_affect is imported its own classes are used, whatever a checkpoint carries.
"""

import json
from pathlib import Path

from transformers import MODEL_FOR_PRETRAINING_MAPPING, MODEL_MAPPING, AutoConfig
from transformers.dynamic_module_utils import get_relative_import_files

from .models import configuration
from .models.configuration import AffectConfig
from .models.log_mel import LogMelExtractor
from .models.processing import AffectProcessor
from .results import write_atomically


SOURCE = Path(configuration.__file__).parent


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
    auto_map = {auto: f"{module_of(kind).stem}.{kind.__name__}" for auto, kind in classes.items()}
    modules = {Path(file) for kind in classes.values() for file in needed_by(module_of(kind))}
    for module in sorted(modules):
        write_atomically(folder / module.name, module.read_bytes())
    written = [module.name for module in modules]
    for name in ("config.json", "processor_config.json"):
        if (folder / name).is_file():
            content = json.loads((folder / name).read_text(encoding="utf-8")) | {"auto_map": auto_map}
            write_atomically(folder / name, json.dumps(content, indent=2, sort_keys=True) + "\n")
            written.append(name)
    return sorted(written)


def module_of(kind: type) -> Path:
    """The file of `models/` that defines a class."""
    return SOURCE / f"{kind.__module__.rpartition('.')[2]}.py"


def needed_by(module: Path) -> list[str]:
    """The file itself, and every sibling that it imports, however indirectly."""
    return [str(module), *get_relative_import_files(module)]
