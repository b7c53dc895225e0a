# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Conversion of checkpoints of the authors' public code into folders that `AutoModel` loads.

Every architecture has a table in `public_code`. Weights files are never unpickled without restrictions: only safetensors and
what `torch.load(weights_only=True)` accepts are read.
"""

import hashlib
import json
import re
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..features.processor import AffectProcessor
from ..messages import did_you_mean, validation_reason
from ..models.modeling import AffectPreTrainedModel, summarize
from ..version import __version__
from .public_code import CONVERSIONS, Conversion


State = dict[str, torch.Tensor]

SAVE_STATE = "save only the weights with torch.save(model.state_dict(), ...) and convert that file"
REFUSALS = {  # pattern of the error of torch for a file with more than tensors -> our wording
    r"GLOBAL (\S+) was not an allowed": "asks for `{}`",
    r"whose module (\S+) is blocked": "asks for the module `{}`",
    r"with TorchScript archives": "is a TorchScript program",
    r"legacy \.tar format": "is in a format from before 2017",
}


def convert(
    architecture: str,
    source: str | Path,
    folder: str | Path,
    labels: list[str] | None = None,
    fields: dict | None = None,
) -> dict:
    """Convert a public checkpoint into a folder with model, processor and `conversion.json`.

    Args:
        architecture: one of `CONVERSIONS`.
        source: state dict of the public code, as safetensors or written by `torch.save`.
        folder: output folder, new or empty; written atomically.
        labels: names of the labels in the order of the checkpoint; default: the order of the authors' code.
        fields: fields of the config that the shapes do not determine, such as the number of attention heads.

    Returns:
        The content of `conversion.json`.

    Raises:
        FileNotFoundError: there is no file `source`.
        FileExistsError: `folder` is not empty.
        ValueError: the architecture is unknown, or the file, labels or fields do not fit it.
    """
    source, folder, fields = Path(source), Path(folder), dict(fields or {})
    if architecture not in CONVERSIONS:
        raise ValueError(f"Unknown architecture {architecture!r}.{did_you_mean(architecture, CONVERSIONS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not an empty folder; choose a new folder.")
    conversion = CONVERSIONS[architecture]
    state = read_state_dict(source)
    model, dropped = build_model(conversion, state, str(source), labels, fields)
    record = {
        "architecture": architecture,
        "config_class": type(model.config).__name__,
        "source": {"file": source.name, "sha256": _sha256(source)},
        "feature_sizes": model.config.feature_sizes,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dropped": {name: list(state[name].shape) for name in dropped},
        "assumed": {name: getattr(model.config, name) for name in conversion.undetermined if name not in fields},
        "mm_affect": __version__,
    }
    sizes = model.config.feature_sizes
    processor = AffectProcessor(sizes, normalization=dict.fromkeys(sizes, "none"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        temporary.chmod(0o755)  # mkdtemp creates private folders
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
        (temporary / "conversion.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # no longer there after success
    return record


def read_state_dict(path: Path) -> State:
    """Read the tensors of a state dict by name, without the `module.` prefix of DataParallel.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds anything but named tensors.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; pass the weights file saved by the public code.")
    state = _load(path)
    if not isinstance(state, dict) or not state:
        content = "nothing" if state == {} else _kind(state)
        raise ValueError(f"{path} holds {content} instead of named tensors; {SAVE_STATE}.")
    for name, value in state.items():
        if not isinstance(name, str) or not _is_plain(value):
            raise ValueError(
                f"{path} holds {_kind(value)} under {name!r}, where a plain tensor was expected; {SAVE_STATE}."
            )
    while all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _load(path: Path):
    with open(path, "rb") as file:
        start = file.read(9)
    try:
        if start[8:] == b"{":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # about TorchScript archives, which are rejected anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); copy it again.") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged or hostile pickle may fail in any opcode, with any type of error
        for pattern, reason in REFUSALS.items():
            if match := re.search(pattern, str(error)):
                reason = reason.format(*match.groups())
                raise ValueError(f"{path} is not read: it {reason}; expected only tensors: {SAVE_STATE}.") from None
        raise ValueError(
            f"{path} is empty, damaged or not a weights file (neither safetensors nor tensors written by torch.save); "
            f"copy it again, or {SAVE_STATE}."
        ) from error


def _is_plain(value) -> bool:
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
        return False
    return not value.is_complex() and not value.is_quantized


def _kind(value) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


def build_model(
    conversion: Conversion, state: State, source: str, labels: list[str] | None, fields: dict
) -> tuple[AffectPreTrainedModel, list[str]]:
    """Build the model with the weights of a public state dict.

    Args:
        conversion: table of the architecture.
        state: public state dict.
        source: name of the file, for error messages.
        labels: names of the labels; None: those of the authors' code.
        fields: fields of the config that the shapes do not determine.

    Returns:
        The model in evaluation mode, and the public names that were dropped.

    Raises:
        ValueError: the checkpoint is of other code, or names, shapes, values, labels or fields do not fit.
    """
    code = conversion.model_class.__name__.removesuffix("ForAffect")
    try:
        known_fields = conversion.read_fields({name: tuple(value.shape) for name, value in state.items()}, labels)
    except (KeyError, IndexError) as error:
        at = f"has no `{error.args[0]}`" if isinstance(error, KeyError) else "has tensors of other ranks"
        raise ValueError(
            f"{source} {at}, so it is not a checkpoint of the public code of {code}; check the file and the architecture."
        ) from None
    if known := sorted(known_fields.keys() & fields.keys()):
        raise ValueError(
            f"The weights and labels already determine `{known[0]}` ({known_fields[known[0]]!r}); leave it out."
        )
    try:
        config_class: Any = conversion.model_class.config_class  # has a preset `reference`, as every converted one
        config = config_class.reference(**known_fields | fields)
    except StrictDataclassError as error:
        raise ValueError(
            f"These weights and fields are not a valid configuration of {code}: {validation_reason(error)}."
        ) from None
    with torch.device("meta"):  # the weights come from the file
        model = conversion.model_class(config)
    wanted = {name: conversion.get_public_name(name) for name in model.state_dict()}
    dropped = [name for name in state if re.fullmatch(conversion.unused, name)]
    advice = f"convert the unchanged file of the public code of {code}"
    if missing := [name for name in wanted.values() if name not in state]:
        raise ValueError(f"{source} lacks {summarize(missing)}; {advice}.")
    used = {*wanted.values(), *dropped}
    if surplus := [name for name in state if name not in used]:
        raise ValueError(f"{source} also has {summarize(surplus)}, which {code} does not use; {advice}.")
    weights, wrong = {}, []
    for name, like in model.state_dict().items():
        value = conversion.convert_weight(name, state[wanted[name]].detach())
        weights[name] = value.to(like.dtype).clone(memory_format=torch.contiguous_format)
        if value.shape != like.shape:
            wrong.append(f"{wanted[name]} {tuple(value.shape)} instead of {tuple(like.shape)}")
    if wrong:
        raise ValueError(f"{source} has inconsistent shapes: {summarize(wrong)}; {advice}.")
    if infinite := [wanted[name] for name, value in weights.items() if not value.isfinite().all()]:
        raise ValueError(
            f"{source} has non-finite values in {summarize(infinite)}; choose a checkpoint from a training that converged."
        )
    model.load_state_dict(weights, assign=True)
    return model.eval(), dropped


def format_report(record: dict, folder: str | Path) -> str:
    """Format the record of `convert` for the console: the model, dropped tensors, assumed fields and the next step."""
    sizes = ", ".join(f"{modality} {size}" for modality, size in record["feature_sizes"].items())
    return "\n".join([
        f"{record['config_class']}, {record['parameters']:,} parameters: {folder}",
        *([f"dropped {len(record['dropped'])} tensors that the public code never uses:"] if record["dropped"] else []),
        *(f"  {name} {tuple(shape)}" for name, shape in record["dropped"].items()),
        *(f"assumed {name} {value}, which the weights do not determine; if it was different, convert with --set {name}=..."
          for name, value in record["assumed"].items()),
        f"next: mm-affect evaluate --model {folder} --rows <rows of the features it was trained on: {sizes}>",
    ])  # fmt: skip


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
