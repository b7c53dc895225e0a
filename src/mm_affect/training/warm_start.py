# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training from a checkpoint of the same architecture: which of its weights a model takes, and which it makes anew.

Weights go by their names. One of another shape is an error. A head is taken if it has the same task: the same name, kind, classes
in the same order, and view. Other heads, and parts that only one of the two models has (a decoder, the encoder of a modality),
are dropped, or made anew, and named. With the weights comes the scale of the features that they were trained on.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from transformers import AutoConfig

from ..checkpoints.hub import pull
from ..features.pretrained_files import sha256_of
from ..features.processor import AffectProcessor
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task


HEADS = "heads.heads."


class Checkpoint(NamedTuple):
    """A folder with weights.

    Args:
        name: as the run names it.
        revision: the commit, if it is on the Hub.
    """

    name: str
    folder: Path
    revision: str | None
    config: object

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("model*.safetensors"))

    def weights(self) -> dict[str, tuple[Path, tuple[int, ...]]]:
        """The file and the shape of every weight, by its name."""
        found = {}
        for path in self.files:
            with safe_open(path, "pt") as file:
                found |= {name: (path, tuple(file.get_slice(name).get_shape())) for name in file.keys()}  # noqa: SIM118
        return found

    def sha256(self) -> str:
        """Of the weights, file after file."""
        return sha256_of(self.files)

    def processor(self) -> dict:
        """The fields of the processor that lies beside the weights; empty without one."""
        if not (self.folder / "processor_config.json").is_file():
            return {}
        return AffectProcessor.get_processor_dict(self.folder)[0]


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint of this name: a folder, or a repository of the Hub, with `@revision` behind it if not the newest.

    Raises:
        ValueError: there is none, or it has no config or no weights.
    """
    folder, revision = Path(name), None
    try:
        if not folder.is_dir():
            folder = pull(name)
            revision = folder.name
        checkpoint = Checkpoint(name, folder, revision, AutoConfig.from_pretrained(folder))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Config pretrained: no checkpoint can be read at {name} ({str(error).splitlines()[0]}); give its folder, or its "
            "name on the Hub, which is fetched once while the network is there."
        ) from error
    if not checkpoint.files:
        raise ValueError(f"Config pretrained: {name} has no weights (model*.safetensors); give a folder that has.")
    return checkpoint


def match_weights(model: AffectPreTrainedModel, checkpoint: Checkpoint) -> dict[str, Path]:
    """The names of the weights that the model takes, and the file of each.

    Raises:
        ValueError: another architecture, weights of another shape, or none that the model has.
    """
    theirs, ours = checkpoint.config, model.config
    if theirs.model_type != ours.model_type:
        raise ValueError(
            f"Config pretrained: {checkpoint.name} is a {theirs.model_type}, and this run trains a {ours.model_type}; "
            "weights pass between models of one architecture only."
        )
    alike = [_head_key(task) for task in theirs.tasks]
    new_heads = [f"{HEADS}{task.name}." for task in ours.tasks if _head_key(task) not in alike]
    own, taken, wrong = model.state_dict(), {}, []
    for name, (path, shape) in checkpoint.weights().items():
        if name not in own or name.startswith(tuple(new_heads)):
            continue
        taken[name] = path
        if shape != own[name].shape:
            wrong.append(f"{name} {list(shape)} there and {list(own[name].shape)} here")
    if wrong:
        raise ValueError(
            f"Config pretrained: {len(wrong)} weights of {checkpoint.name} have another shape than in this run's model, such as "
            f"{wrong[0]}; give `model` the sizes of the checkpoint's config.json, and `rows` its features."
        )
    if all(name.startswith(HEADS) for name in taken):
        raise ValueError(
            f"Config pretrained: {checkpoint.name} has no weights that this run's model has, but for heads; it reads "
            f"{', '.join(theirs.modalities)}, the run {', '.join(ours.modalities)}."
        )
    return taken


def copy_weights(model: AffectPreTrainedModel, checkpoint: Checkpoint) -> None:
    """Copy the weights of the checkpoint into the model; see `match_weights`."""
    own, taken = model.state_dict(), match_weights(model, checkpoint)
    for path in set(taken.values()):
        with torch.no_grad(), safe_open(path, "pt") as file:
            for name in (name for name in taken if taken[name] == path):
                own[name].copy_(file.get_tensor(name))


def summarize(model: AffectPreTrainedModel, checkpoint: Checkpoint) -> dict:
    """What a model takes of the checkpoint, for results: `name`, `revision`, `weights_sha256`, `architecture`, how many
    numbers were `taken`, which parts are `new` and which were `dropped`, and the `settings` of the architecture that
    differ, each there and here."""
    own, there = model.state_dict(), set(checkpoint.weights())
    taken = set(match_weights(model, checkpoint))
    theirs, ours = checkpoint.config.to_dict(), model.config.to_dict()
    settings = [name for name in type(model.config).__annotations__ if name in ours]
    return {
        "name": checkpoint.name,
        "revision": checkpoint.revision,
        "weights_sha256": checkpoint.sha256(),
        "architecture": (checkpoint.config.architectures or ["unknown"])[0],
        "taken": sum(own[name].numel() for name in taken),
        "new": group_modules(own.keys() - taken, taken),
        "dropped": group_modules(there - taken, taken),
        "settings": {name: [theirs.get(name), ours[name]] for name in settings if theirs.get(name) != ours[name]},
    }


def group_modules(names: set[str], others: set[str]) -> list[str]:
    """The parts of a model that these weights are, whole parts by one name; heads one by one."""
    shared = {prefix for name in others for prefix in _prefixes(name)} | {"heads", "heads.heads"}
    return sorted({next((prefix for prefix in _prefixes(name) if prefix not in shared), name) for name in names})


def read_normalization(checkpoint: Checkpoint, extractors: dict, modalities: list[str]) -> tuple[dict, dict]:
    """Normalization and statistics of the modalities that the checkpoint reads, too.

    Args:
        extractors: what made the features of the rows, per modality.
        modalities: those of the run that have features.

    Raises:
        ValueError: the features of the checkpoint were made in another way.
    """
    saved = checkpoint.processor()
    sizes = {m: size for m, size in saved.get("feature_sizes", {}).items() if m in modalities}
    try:
        AffectProcessor(sizes, saved.get("extractors")).check_extractors(extractors)
    except ValueError as error:
        raise ValueError(f"Config pretrained: {checkpoint.name}: {error}") from None
    ways, statistics = saved.get("normalization", {}), saved.get("statistics", {})
    return {m: ways[m] for m in sizes}, {m: statistics[m] for m in sizes if m in statistics}


def _head_key(task: Task) -> tuple:
    return task.name, task.problem_type, task.labels, task.view


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
