# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pretrained weights of others: where their files are, which they are, and that they are all there."""

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
    """The path that is meant by `name`: itself, or its place in the folder that `MM_AFFECT_WEIGHTS` names."""
    placed = Path(os.environ.get(PLACE, ".")) / name
    return placed if placed.exists() and not Path(name).exists() else Path(name)


def find_model_folder(name: str | Path) -> Path:
    """The folder of a pretrained model: a local one, or that of a Hub repository (with `@revision` behind its name, if not the
    newest), which is fetched once.

    Raises:
        ValueError: there is none.
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
    """The weights of a model's folder. Raises `ValueError` if it has none as safetensors."""
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise ValueError(f"{folder} has no weights (*.safetensors); give a folder, or a repository, with a model's.")
    return found


def compute_sha256(paths: Iterable[Path]) -> str:
    """sha256 over the bytes of these files, one after the other."""
    found = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                found.update(block)
    return found.hexdigest()


def load_whole(kind, folder: Path, may_lack: tuple[str, ...] = (), **options) -> tuple[torch.nn.Module, list[str]]:
    """A model of transformers, in float32 and evaluating, of whose weights none is random.

    Args:
        kind: an Auto class, or a model's.
        may_lack: weights with one of these in their names may be absent; they are returned and must not be used.

    Raises:
        ValueError: naming weights that are absent, damaged or of another size, or what transformers says against the folder.
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
    """The tokenizer in a folder or repository. Raises `ValueError` if its files, its words included, are not there."""
    missing = f"{name} has no tokenizer that can be read; it needs all files of one, such as tokenizer.json"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **kwargs)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{missing} ({str(error).splitlines()[0]}).") from error
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):  # what transformers makes of a config without words
        raise ValueError(f"{missing} (it knows no words).")
    return tokenizer
