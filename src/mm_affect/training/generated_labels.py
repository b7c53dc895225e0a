# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Generated labels of a training run: state of the training, kept by sample id beside its checkpoints, not in the weights.

The trainer asks `of` for the labels of a batch as they were before it, and tells `update` what the model made of it. What is
kept in `unimodal_labels.safetensors`, `read_labels` gives back for the figures of the paper.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..tasks import Task
from ..vocabulary import MODALITIES
from .label_generators import GENERATORS, LabelGenerator
from .options import LabelGeneration


FILE = "unimodal_labels.safetensors"
FORMAT = {"format": "mm_affect unimodal labels", "version": "1"}


class Observation(NamedTuple):
    """What a forward pass tells of some training samples.

    Args:
        rows: their places in the training set `(n,)`, int64.
        views: their features `(n, size)` per view.
        present: per modality, who has it `(n,)`.
    """

    rows: torch.Tensor
    views: dict[str, torch.Tensor]
    present: dict[str, torch.Tensor]

    def to_cpu(self) -> "Observation":
        """On the CPU, features in double precision."""
        views = {view: features.cpu().double() for view, features in self.views.items()}
        return Observation(self.rows.cpu(), views, {name: here.cpu() for name, here in self.present.items()})


class UnimodalLabels:
    """Labels of every task that has `generated_from`, for every training sample. What it is told may be on any device.

    Args:
        tasks: of the model.
        ids: of the training samples, in the order of `origins`.
        origins: per origin task its labels `(samples,)`, float64, NaN = unknown.
        options: of the generator.

    Raises:
        ValueError: an id occurs twice, or the labels of an origin do not allow the generator to work.
    """

    def __init__(self, tasks: list[Task], ids: list[str], origins: dict[str, torch.Tensor], options: LabelGeneration):
        self.options, self.ids, self.places = options, ids, {row: place for place, row in enumerate(ids)}
        if len(self.places) < len(ids):
            twice = next(row for place, row in enumerate(ids) if self.places[row] != place)
            raise ValueError(f"The training rows have the id {twice!r} twice; generated labels need ids of their own.")
        generator = GENERATORS[options.generator]
        named = {task.name: task for task in tasks}
        self.generators = [
            generator(named[origin], [task for task in tasks if task.generated_from == origin], labels, options)
            for origin, labels in origins.items()
        ]
        self.tasks = [task for generator in self.generators for task in generator.tasks]
        reading = [task for generator in self.generators for task in (generator.origin, *generator.tasks)]
        self.views = list(dict.fromkeys(task.view for task in reading))  # in the same order in every process
        self.history = {task.name: torch.zeros(0, len(ids), dtype=torch.float64) for task in self.tasks}

    @property
    def epoch(self) -> int:
        """The epoch that is going on, from 1."""
        return 1 + len(self.history[self.tasks[0].name])

    def get(self, rows: torch.Tensor, present: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Labels per task `(n,)` of the samples `rows`, as they are now, float32 and on their device; NaN = none."""
        seen, found = Observation(rows, {}, present).to_cpu(), {}
        for generator in self.generators:
            found |= generator.current(seen.rows, task_presence(generator, seen))
        return {name: labels.to(rows.device, torch.float32) for name, labels in found.items()}

    def update(self, seen: Observation) -> None:
        """Learn from a training step: labels move by what was known before it, then its features are kept."""
        seen = seen.to_cpu()
        for generator in self.generators:
            present = task_presence(generator, seen)
            generator.generate(seen.rows, seen.views, present, self.epoch)
            generator.remember(seen.rows, seen.views, present)

    def update_all(self, seen: Observation) -> None:
        """Learn from one pass over all samples: features are kept, then labels move by them."""
        seen = seen.to_cpu()
        for generator in self.generators:
            present = task_presence(generator, seen)
            generator.remember(seen.rows, seen.views, present)
            generator.generate(seen.rows, seen.views, present, self.epoch)

    def finish_epoch(self) -> None:
        """Note the labels with which an epoch ends."""
        for generator in self.generators:
            for name, labels in generator.labels.items():
                self.history[name] = torch.cat([self.history[name], labels.unsqueeze(0)])

    def save(self, folder: str | Path) -> None:
        """Write `unimodal_labels.safetensors`, whole or not at all."""
        path = Path(folder) / FILE
        temporary = path.with_name(f".{FILE}.tmp")
        save_file(self._tensors(), temporary, FORMAT | {"ids": json.dumps(self.ids)})
        os.replace(temporary, path)

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote there.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or of other samples, tasks or another generator.
        """
        tensors, ids = read(Path(folder) / FILE)
        if ids != self.ids or tensors.keys() != self._tensors().keys():
            raise ValueError(
                f"{Path(folder) / FILE} is of other training rows, other tasks or another generator than this training's; "
                "begin anew."
            )
        self.history = {name: tensors[f"history/{name}"] for name in self.history}
        for generator in self.generators:
            prefix = f"state/{generator.origin.name}/"
            generator.load({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All that is saved, by name."""
        found = {f"history/{name}": labels for name, labels in self.history.items()}
        for generator in self.generators:
            found[f"origin/{generator.origin.name}"] = generator.origin_labels
            found |= {f"state/{generator.origin.name}/{name}": tensor for name, tensor in generator.state().items()}
        return found


def task_presence(generator: LabelGenerator, seen: Observation) -> dict[str, torch.Tensor]:
    """Who has the modality of each generated task `(n,)`; a view that is no modality's is everybody's."""
    everybody = torch.ones_like(seen.rows, dtype=torch.bool)
    return {task.name: seen.present.get(task.view, everybody) for task in generator.tasks}


def modality_presence(inputs: dict, like: torch.Tensor) -> dict[str, torch.Tensor]:
    """Who has each modality in a batch of model inputs `(batch,)`, on the device of `like` `(batch,)`."""
    found = {}
    for modality in MODALITIES:
        tokens = modality == "text" and "input_ids" in inputs
        values, mask = ("input_ids", "attention_mask") if tokens else (modality, f"{modality}_mask")
        if values in inputs:
            full = torch.ones(inputs[values].shape[:2], dtype=torch.bool, device=like.device)
            found[modality] = inputs.get(mask, full).bool().any(1)
        else:
            found[modality] = torch.zeros_like(like, dtype=torch.bool)
    return found


def deduplicate(seen: Observation) -> Observation:
    """Without places below 0, and each sample once, as it came first: for what several processes saw together."""
    order = seen.rows.argsort(stable=True)
    ordered = seen.rows[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    kept = order[first & (ordered >= 0)]
    pick = lambda tensors: {name: tensor[kept] for name, tensor in tensors.items()}  # noqa: E731
    return Observation(seen.rows[kept], pick(seen.views), pick(seen.present))


def concatenate(parts: list[Observation]) -> Observation:
    """Several observations, one after the other."""
    join = lambda tensors: {name: torch.cat([part[name] for part in tensors]) for name in tensors[0]}  # noqa: E731
    rows = torch.cat([part.rows for part in parts])
    return Observation(rows, join([part.views for part in parts]), join([part.present for part in parts]))


class LabelHistory(NamedTuple):
    """Generated labels of one origin over the epochs of a training.

    Args:
        origin: name of the task they were generated from.
        ids: of the samples.
        labels: of the origin `(samples,)`, NaN = unknown.
        generated: per task `(epochs, samples)`, NaN = none.
    """

    origin: str
    ids: list[str]
    labels: np.ndarray
    generated: dict[str, np.ndarray]


def read_labels(folder: str | Path) -> list[LabelHistory]:
    """What a training left in the folder of its seed, per origin.

    Raises:
        FileNotFoundError: it left nothing.
        ValueError: the file is damaged.
    """
    tensors, ids = read(Path(folder) / FILE)
    found = []
    for name in sorted(tensors):
        kind, _, origin = name.partition("/")
        if kind == "origin":
            prefix = f"state/{origin}/labels/"
            own = [key.removeprefix(prefix) for key in tensors if key.startswith(prefix)]
            generated = {task: tensors[f"history/{task}"].numpy() for task in sorted(own)}
            found.append(LabelHistory(origin, ids, tensors[name].numpy(), generated))
    return found


def read(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors of a file that `UnimodalLabels.save` wrote, and the ids of its samples."""
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no generated labels {path}; a training of tasks with `generated_from` writes them."
        )
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            if {name: facts.get(name) for name in FORMAT} != FORMAT:
                raise ValueError(f"{path} is no file of generated labels of this version.")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(facts["ids"])  # noqa: SIM118, no iterator
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); train the run again.") from None
