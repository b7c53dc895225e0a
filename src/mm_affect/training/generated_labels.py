# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Generated labels of a training run: training state that is saved per sample id next to the checkpoints.

The trainer calls `get` for the labels of a batch before the forward pass, and `update` with the features after it. The labels
are saved in `unimodal_labels.safetensors`; `read_labels` reads them for the figures of the paper.
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
    """Features of training samples from a forward pass.

    Args:
        rows: Positions of the samples in the training set, `(n,)`, int64.
        views: View -> features, `(n, size)`.
        present: Modality -> True for samples that have it, `(n,)`.
    """

    rows: torch.Tensor
    views: dict[str, torch.Tensor]
    present: dict[str, torch.Tensor]

    def to_cpu(self) -> "Observation":
        """Return a copy on the CPU with features in double precision."""
        views = {view: features.cpu().double() for view, features in self.views.items()}
        return Observation(self.rows.cpu(), views, {name: mask.cpu() for name, mask in self.present.items()})


class UnimodalLabels:
    """Labels of every task with `generated_from`, for every training sample.

    Labels are kept on the CPU; the tensors of an observation may be on any device.

    Args:
        tasks: Tasks of the model.
        ids: Ids of the training samples, in the order of `origins`.
        origins: Origin task -> its labels, `(samples,)`, float64; NaN if unknown.
        options: Options of the generator.

    Raises:
        ValueError: If an id occurs twice, or the labels of an origin lack one of the signs.
    """

    def __init__(self, tasks: list[Task], ids: list[str], origins: dict[str, torch.Tensor], options: LabelGeneration):
        self.options, self.ids = options, ids
        self.positions = {row_id: position for position, row_id in enumerate(ids)}
        if len(self.positions) < len(ids):
            duplicate = next(row_id for position, row_id in enumerate(ids) if self.positions[row_id] != position)
            raise ValueError(f"The training rows have the id {duplicate!r} twice; generated labels need unique ids.")
        make_generator = GENERATORS[options.generator]
        tasks_by_name = {task.name: task for task in tasks}
        self.generators = [
            make_generator(
                tasks_by_name[origin], [task for task in tasks if task.generated_from == origin], labels, options
            )
            for origin, labels in origins.items()
        ]
        self.tasks = [task for generator in self.generators for task in generator.tasks]
        involved = [task for generator in self.generators for task in (generator.origin, *generator.tasks)]
        self.views = list(dict.fromkeys(task.view for task in involved))  # in the same order in every process
        self.history = {task.name: torch.zeros(0, len(ids), dtype=torch.float64) for task in self.tasks}

    @property
    def epoch(self) -> int:
        """Number of the current epoch, from 1."""
        return 1 + len(self.history[self.tasks[0].name])

    def get(self, rows: torch.Tensor, present: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the current labels of samples.

        Args:
            rows: Positions of the samples, `(n,)`.
            present: Modality -> True for samples that have it, `(n,)`.

        Returns:
            Task -> labels, `(n,)`, float32, on the device of `rows`; NaN where there is none.
        """
        observation = Observation(rows, {}, present).to_cpu()
        labels: dict[str, torch.Tensor] = {}
        for generator in self.generators:
            labels |= generator.get_labels(observation.rows, task_presence(generator, observation))
        return {name: values.to(rows.device, torch.float32) for name, values in labels.items()}

    def update(self, observation: Observation) -> None:
        """Update from one training step: move labels by the features stored before it, then store its features."""
        observation = observation.to_cpu()
        for generator in self.generators:
            present = task_presence(generator, observation)
            generator.move_labels(observation.rows, observation.views, present, self.epoch)
            generator.store_features(observation.rows, observation.views, present)

    def update_all(self, observation: Observation) -> None:
        """Update from one pass over all samples: store their features, then move the labels by them."""
        observation = observation.to_cpu()
        for generator in self.generators:
            present = task_presence(generator, observation)
            generator.store_features(observation.rows, observation.views, present)
            generator.move_labels(observation.rows, observation.views, present, self.epoch)

    def finish_epoch(self) -> None:
        """Append the current labels to the history of the epochs."""
        for generator in self.generators:
            for name, labels in generator.labels.items():
                self.history[name] = torch.cat([self.history[name], labels.unsqueeze(0)])

    def save(self, folder: str | Path) -> None:
        """Write `unimodal_labels.safetensors` into a folder, atomically."""
        path = Path(folder) / FILE
        temporary = path.with_name(f".{FILE}.tmp")
        save_file(self._tensors(), temporary, FORMAT | {"ids": json.dumps(self.ids)})
        os.replace(temporary, path)

    def load(self, folder: str | Path) -> None:
        """Restore the state that `save` wrote into a folder.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged, or belongs to other samples, tasks or another generator.
        """
        tensors, ids = _read_file(Path(folder) / FILE)
        if ids != self.ids or tensors.keys() != self._tensors().keys():
            raise ValueError(
                f"{Path(folder) / FILE} belongs to other training rows, other tasks or another generator; start the training "
                "again."
            )
        self.history = {name: tensors[f"history/{name}"] for name in self.history}
        for generator in self.generators:
            prefix = f"state/{generator.origin.name}/"
            generator.load({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Return all tensors of the file, by name."""
        tensors = {f"history/{name}": labels for name, labels in self.history.items()}
        for generator in self.generators:
            tensors[f"origin/{generator.origin.name}"] = generator.origin_labels
            tensors |= {f"state/{generator.origin.name}/{name}": tensor for name, tensor in generator.state().items()}
        return tensors


def task_presence(generator: LabelGenerator, observation: Observation) -> dict[str, torch.Tensor]:
    """Return for each generated task which samples have its modality, `(n,)`; all have a view that is not a modality."""
    everywhere = torch.ones_like(observation.rows, dtype=torch.bool)
    return {task.name: observation.present.get(task.view, everywhere) for task in generator.tasks}


def modality_presence(inputs: dict, like: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return for each modality which rows of a batch have it, `(batch,)`.

    Args:
        inputs: Batch of model inputs.
        like: Tensor `(batch,)` on the device of the result.
    """
    present = {}
    for modality in MODALITIES:
        tokens = modality == "text" and "input_ids" in inputs
        values, mask = ("input_ids", "attention_mask") if tokens else (modality, f"{modality}_mask")
        if values in inputs:
            full = torch.ones(inputs[values].shape[:2], dtype=torch.bool, device=like.device)
            present[modality] = inputs.get(mask, full).bool().any(1)
        else:
            present[modality] = torch.zeros_like(like, dtype=torch.bool)
    return present


def deduplicate(observation: Observation) -> Observation:
    """Return the first occurrence of each sample, without the negative positions that pad what processes gather."""
    order = observation.rows.argsort(stable=True)
    ordered = observation.rows[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    kept = order[first & (ordered >= 0)]
    views = {view: features[kept] for view, features in observation.views.items()}
    return Observation(observation.rows[kept], views, {name: mask[kept] for name, mask in observation.present.items()})


def concatenate(parts: list[Observation]) -> Observation:
    """Concatenate observations along the samples."""
    views = {view: torch.cat([part.views[view] for part in parts]) for view in parts[0].views}
    present = {name: torch.cat([part.present[name] for part in parts]) for name in parts[0].present}
    return Observation(torch.cat([part.rows for part in parts]), views, present)


class LabelHistory(NamedTuple):
    """Labels generated from one origin task over the epochs of a training.

    Args:
        origin: Name of the task that the labels were generated from.
        ids: Ids of the samples.
        labels: Labels of the origin task, `(samples,)`; NaN if unknown.
        generated: Task -> generated labels, `(epochs, samples)`; NaN where there is none.
    """

    origin: str
    ids: list[str]
    labels: np.ndarray
    generated: dict[str, np.ndarray]


def read_labels(folder: str | Path) -> list[LabelHistory]:
    """Read the generated labels that a training saved in the folder of a seed, one history per origin task.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If the file is damaged.
    """
    tensors, ids = _read_file(Path(folder) / FILE)
    histories = []
    for name in sorted(tensors):
        kind, _, origin = name.partition("/")
        if kind == "origin":
            prefix = f"state/{origin}/labels/"
            tasks = sorted(key.removeprefix(prefix) for key in tensors if key.startswith(prefix))
            generated = {task: tensors[f"history/{task}"].numpy() for task in tasks}
            histories.append(LabelHistory(origin, ids, tensors[name].numpy(), generated))
    return histories


def _read_file(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return the tensors of a file that `UnimodalLabels.save` wrote, and the ids of its samples."""
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no generated labels {path}; a training of tasks with `generated_from` writes them."
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if {name: metadata.get(name) for name in FORMAT} != FORMAT:
                raise ValueError(f"{path} is not a file of generated labels in a format that this version reads.")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["ids"])  # noqa: SIM118, no iterator
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); train the run again.") from None
