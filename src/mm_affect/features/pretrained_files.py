# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files of pretrained models: finding, hashing and loading them completely."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoTokenizer


PLACE = "MM_AFFECT_WEIGHTS"  # environment variable: the folder that holds files which a description knows by name only
FETCHED = ["*.json", "*.safetensors", "*.txt", "*.model"]  # of a Hub repository
NOT_READ = ("masked_spec_embed",)  # what models have for training only, and many files lack


def resolve_path(name: str | Path) -> Path:
    """Return the path `name`, or its counterpart in the folder that `MM_AFFECT_WEIGHTS` names."""
    placed = Path(os.environ.get(PLACE, ".")) / name
    return placed if placed.exists() and not Path(name).exists() else Path(name)


def find_model_folder(name: str | Path) -> Path:
    """Return the folder of a pretrained model.

    Args:
        name: a local folder, or a Hub repository, optionally with `@revision`, which is downloaded once.

    Raises:
        ValueError: there is no such model.
    """
    if resolve_path(name).is_dir():
        return resolve_path(name)
    repository, _, revision = str(name).partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=FETCHED))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"There is no pretrained model at {name}; expected a folder (one that is known by its name only is looked for "
            f"in the folder that the environment variable {PLACE} names), or a repository on the Hub "
            f"({str(error).splitlines()[0]})."
        ) from error


def list_weights(folder: Path) -> list[Path]:
    """Return the safetensors files in the folder of a model.

    Raises:
        ValueError: there are none.
    """
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise ValueError(f"{folder} has no weights (*.safetensors); give a folder, or a repository, with a model's.")
    return found


def compute_sha256(paths: Iterable[Path]) -> str:
    """Return the sha256 of the concatenated contents of files."""
    found = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                found.update(block)
    return found.hexdigest()


def load_whole(kind, folder: Path, may_lack: tuple[str, ...] = (), **options) -> tuple[torch.nn.Module, list[str]]:
    """Load a model of transformers in float32 and evaluation mode, and refuse missing weights.

    Args:
        kind: an Auto class or a model class.
        folder: folder of the model.
        may_lack: parts of names of weights that may be missing; these are returned and must not be used.
        **options: passed to `from_pretrained`.

    Returns:
        the model and the names of missing weights.

    Raises:
        ValueError: weights are missing, damaged or of another size, or transformers cannot load the folder.
    """
    try:
        model, found = kind.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"No model can be read from {folder} ({reason}).") from error
    absent = [name for name in sorted(found["missing_keys"]) if not any(part in name for part in NOT_READ)]
    needed = [name for name in absent if not any(part in name for part in may_lack)]
    resized = sorted(key for key, *_ in found["mismatched_keys"])
    for complaint, names in (("lack", needed), ("have in another size", resized)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(
                f"The weights in {folder} do not belong to its config.json: they {complaint} {names[0]}{more}; a random "
                "network is no substitute, so copy the whole folder again."
            )
    return model.eval().requires_grad_(False), absent


def load_tokenizer(name, **kwargs):
    """Load the tokenizer of a folder or repository.

    Raises:
        ValueError: its files, vocabulary included, are missing.
    """
    missing = f"{name} has no tokenizer that can be read; it needs all files of one, such as tokenizer.json"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **kwargs)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{missing} ({str(error).splitlines()[0]}).") from error
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):  # what transformers makes of a config without words
        raise ValueError(f"{missing} (it knows no words).")
    return tokenizer
