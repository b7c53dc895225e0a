# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training from the weights of a checkpoint of the same architecture.

Weights are matched by name; a different shape is an error. A head is loaded if its task is the same: same name, problem type,
classes in the same order, and view. Other heads, and modules that only one of the two models has (a decoder, the encoder of
a modality), are dropped or newly initialized, and reported. The normalization of the features is loaded with the weights.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from transformers import AutoConfig

from ..checkpoints.hub import pull
from ..features.pretrained_files import compute_sha256
from ..features.processor import AffectProcessor
from ..models.configuration import AffectConfig
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task


HEADS = "heads.heads."


class Checkpoint(NamedTuple):
    """A checkpoint that training starts from.

    Args:
        name: Name in the config of the run.
        folder: Folder of the weights.
        revision: Commit of a checkpoint from the Hub.
        config: Config of the model.
    """

    name: str
    folder: Path
    revision: str | None
    config: AffectConfig

    @property
    def files(self) -> list[Path]:
        """Weight files."""
        return sorted(self.folder.glob("model*.safetensors"))

    def weights(self) -> dict[str, tuple[Path, tuple[int, ...]]]:
        """Return the file and the shape of every weight, by name."""
        weights: dict[str, tuple[Path, tuple[int, ...]]] = {}
        for path in self.files:
            with safe_open(path, "pt") as file:
                weights |= {name: (path, tuple(file.get_slice(name).get_shape())) for name in file.keys()}  # noqa: SIM118
        return weights

    def sha256(self) -> str:
        """Return the SHA-256 of the weight files, one after the other."""
        return compute_sha256(self.files)

    def processor(self) -> dict:
        """Return the fields of the processor saved with the weights; empty without one."""
        if not (self.folder / "processor_config.json").is_file():
            return {}
        return AffectProcessor.get_processor_dict(self.folder)[0]


def find_checkpoint(name: str) -> Checkpoint:
    """Find a checkpoint.

    Args:
        name: A folder, or a repository on the Hub, with `@revision` appended for another revision than the newest.

    Raises:
        ValueError: If there is no checkpoint, or it has no config or no weights.
    """
    folder, revision = Path(name), None
    try:
        if not folder.is_dir():
            folder = pull(name)
            revision = folder.name
        checkpoint = Checkpoint(name, folder, revision, AutoConfig.from_pretrained(folder))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Config pretrained: cannot load a checkpoint from {name} ({str(error).splitlines()[0]}). Give a folder, or a name "
            "on the Hub (needs the network for the first download)."
        ) from error
    if not checkpoint.files:
        raise ValueError(f"Config pretrained: {name} has no weights; expected model*.safetensors.")
    return checkpoint


def match_weights(model: AffectPreTrainedModel, checkpoint: Checkpoint) -> dict[str, Path]:
    """Return the names of the weights that the model loads from the checkpoint, with their files.

    Raises:
        ValueError: If the architectures or the shapes of weights differ, or the model has none of the weights.
    """
    theirs, ours = checkpoint.config, model.config
    if theirs.model_type != ours.model_type:
        raise ValueError(
            f"Config pretrained: {checkpoint.name} is a {theirs.model_type}, but this run trains a {ours.model_type}; weights can "
            "only be loaded into the same architecture."
        )
    known_heads = [_head_key(task) for task in theirs.tasks]
    new_heads = [f"{HEADS}{task.name}." for task in ours.tasks if _head_key(task) not in known_heads]
    own = model.state_dict()
    matched: dict[str, Path] = {}
    mismatches = []
    for name, (path, shape) in checkpoint.weights().items():
        if name not in own or name.startswith(tuple(new_heads)):
            continue
        matched[name] = path
        if shape != own[name].shape:
            mismatches.append(f"{name} is {list(shape)} in the checkpoint and {list(own[name].shape)} in the model")
    if mismatches:
        raise ValueError(
            f"Config pretrained: {len(mismatches)} weights of {checkpoint.name} have another shape than in the model of this run, "
            f"such as: {mismatches[0]}. Set the sizes in `model` to those of the checkpoint, and use rows with its features."
        )
    if all(name.startswith(HEADS) for name in matched):
        raise ValueError(
            f"Config pretrained: {checkpoint.name} shares no weights with the model of this run except heads; it reads "
            f"{', '.join(theirs.modalities)}, the run {', '.join(ours.modalities)}."
        )
    return matched


def copy_weights(model: AffectPreTrainedModel, checkpoint: Checkpoint) -> None:
    """Copy the weights that `match_weights` returns into the model."""
    own, matched = model.state_dict(), match_weights(model, checkpoint)
    for path in set(matched.values()):
        with torch.no_grad(), safe_open(path, "pt") as file:
            for name in (name for name in matched if matched[name] == path):
                own[name].copy_(file.get_tensor(name))


def summarize(model: AffectPreTrainedModel, checkpoint: Checkpoint) -> dict:
    """Summarize for the results which weights a model loads from a checkpoint.

    Returns:
        `name`, `revision`, `weights_sha256` and `architecture` of the checkpoint, the number of parameters `taken` from it, the
        modules that are `new` and those that were `dropped`, and the `settings` that differ, as `[checkpoint, model]`.
    """
    own, weights = model.state_dict(), set(checkpoint.weights())
    matched = set(match_weights(model, checkpoint))
    theirs, ours = checkpoint.config.to_dict(), model.config.to_dict()
    settings = [name for name in type(model.config).__annotations__ if name in ours]
    return {
        "name": checkpoint.name,
        "revision": checkpoint.revision,
        "weights_sha256": checkpoint.sha256(),
        "architecture": (checkpoint.config.architectures or ["unknown"])[0],
        "taken": sum(own[name].numel() for name in matched),
        "new": group_modules(own.keys() - matched, matched),
        "dropped": group_modules(weights - matched, matched),
        "settings": {name: [theirs.get(name), ours[name]] for name in settings if theirs.get(name) != ours[name]},
    }


def group_modules(names: set[str], others: set[str]) -> list[str]:
    """Return the names of the largest modules whose weights are all in `names`; heads one by one.

    Args:
        names: Names of weights.
        others: Names of the weights that the modules must not contain.
    """
    shared = {prefix for name in others for prefix in _prefixes(name)} | {"heads", "heads.heads"}
    return sorted({next((prefix for prefix in _prefixes(name) if prefix not in shared), name) for name in names})


def read_normalization(checkpoint: Checkpoint, extractors: dict, modalities: list[str]) -> tuple[dict, dict]:
    """Read normalization and statistics of the features that the checkpoint was trained on.

    Args:
        checkpoint: The checkpoint.
        extractors: Modality -> extractor of the features of the rows.
        modalities: Modalities of the run that have features.

    Returns:
        Normalizations and statistics of the modalities that the checkpoint reads, too.

    Raises:
        ValueError: If the features of the checkpoint were made by other extractors.
    """
    saved = checkpoint.processor()
    sizes = {m: size for m, size in saved.get("feature_sizes", {}).items() if m in modalities}
    try:
        AffectProcessor(sizes, saved.get("extractors")).check_extractors(extractors)
    except ValueError as error:
        raise ValueError(f"Config pretrained: {checkpoint.name}: {error}") from None
    normalization, statistics = saved.get("normalization", {}), saved.get("statistics", {})
    return {m: normalization[m] for m in sizes}, {m: statistics[m] for m in sizes if m in statistics}


def _head_key(task: Task) -> tuple:
    return task.name, task.problem_type, task.labels, task.view


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
