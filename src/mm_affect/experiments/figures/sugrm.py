# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figure 4 of the SUGRM paper (Hwang and Kim 2023) and a plot of its Table 5, from a checkpoint trained by this package.

Both show the labels generated during training, which are saved next to the checkpoint of each seed. Only training rows have
generated labels, so plot those: `mm-affect plot --model runs/sugrm --rows rows/ --split train --output figures/`.
"""

import textwrap
from collections.abc import Callable
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...evaluation.plots import (
    MODALITY_COLORS,
    STYLES,
    FigureInputs,
    find_seed_folder,
    make_figure,
    save_figure,
    styled,
)
from ...tasks import Task
from ...training.generated_labels import LabelHistory, read_labels


BINS = 24  # of the distribution of labels
MAX_PLOTTED_SAMPLES = 6
LINE_LENGTH = 46  # characters per line of a transcript
MAX_TRANSCRIPT_LENGTH = 3 * LINE_LENGTH
BATCH_SIZE = 32


class SampleLabels(NamedTuple):
    """Labels and predictions of one row for an origin task and the tasks generated from it.

    Args:
        id: Id of the row.
        transcript: Transcript of the row; empty if it has none.
        label: Label of the origin task; NaN if unknown.
        generated: Modality -> generated label after the last epoch; NaN if there is none.
        predicted: View -> prediction; the views are the modalities and `"fusion"`.
    """

    id: str
    transcript: str
    label: float
    generated: dict[str, float]
    predicted: dict[str, float]


def figures(
    inputs: FigureInputs, compared: FigureInputs | None = None, seed: int = 0
) -> dict[str, Callable[[Path], Path]]:
    """Return the functions that draw the figures, by name: two figures per task that labels were generated from.

    Raises:
        ValueError: If the model has no unimodal tasks, or a checkpoint to compare with is given.
    """
    if compared is not None:
        raise ValueError("The figures of SUGRM are of one checkpoint; leave out the one to compare with.")
    tasks: dict[str, list[Task]] = {}
    for task in inputs.model.config.tasks:
        if task.generated_from is not None:
            tasks.setdefault(task.generated_from, []).append(task)
    if not tasks:
        raise ValueError(
            f"{inputs.folder} has no unimodal tasks, so no labels were generated; give a checkpoint with tasks that have `generated_from`."
        )
    drawings: dict[str, Callable[[Path], Path]] = {}
    for origin, generated in tasks.items():
        drawings[f"unimodal_labels_{origin}"] = partial(_draw_labels, inputs, origin, generated)
        drawings[f"unimodal_samples_{origin}"] = partial(_draw_samples, inputs, origin, generated)
    return drawings


def _draw_labels(inputs: FigureInputs, origin: str, tasks: list[Task], path: Path) -> Path:
    history = read_label_history(inputs.folder, origin)
    return plot_labels(history, {task.name: task.view for task in tasks}, path, inputs.title.partition("\n")[0])


def _draw_samples(inputs: FigureInputs, origin: str, tasks: list[Task], path: Path) -> Path:
    return plot_samples(collect_samples(inputs, origin, tasks), origin, path, inputs.title)


def read_label_history(folder: Path, origin: str) -> LabelHistory:
    """Read the labels that were generated from the task `origin` while a checkpoint was trained.

    Raises:
        FileNotFoundError: If there are none, as for a converted checkpoint.
        ValueError: If the file is damaged, or its labels were generated from another task.
    """
    histories = {history.origin: history for history in read_labels(find_seed_folder(folder))}
    if origin not in histories:
        raise ValueError(f"{folder} has labels generated from {', '.join(histories)}, but none from {origin}.")
    return histories[origin]


@torch.no_grad()
def collect_samples(inputs: FigureInputs, origin: str, tasks: list[Task]) -> list[SampleLabels]:
    """Collect the labels and predictions of every row.

    Args:
        inputs: Checkpoint and rows.
        origin: Name of the task that labels were generated from.
        tasks: Tasks whose labels were generated.
    """
    history = read_label_history(inputs.folder, origin)
    positions = {row_id: position for position, row_id in enumerate(history.ids)}
    model, source = inputs.model, next(task for task in inputs.model.config.tasks if task.name == origin)
    samples = []
    for start in range(0, len(inputs.rows), BATCH_SIZE):
        rows = inputs.rows[start : start + BATCH_SIZE]
        logits = model(**{name: values.to(model.device) for name, values in inputs.processor(rows).items()}).logits
        views = {task.view: logits[task.name][:, 0].float().cpu().numpy() for task in (source, *tasks)}
        for i, row in enumerate(rows):
            label, position = (row.get("labels") or {}).get(source.source), positions.get(row["id"])
            generated = {
                task.view: np.nan if position is None else float(history.generated[task.name][-1, position])
                for task in tasks
            }
            predicted = {view: float(values[i]) for view, values in views.items()}
            label = np.nan if label is None else float(label)
            samples.append(SampleLabels(row["id"], row.get("transcript") or "", label, generated, predicted))
    return samples


@styled
def plot_labels(history: LabelHistory, views: dict[str, str], path: str | Path, title: str = "") -> Path:
    """Plot the distribution of the labels of each modality after every epoch, and their mean change per epoch (Figure 4).

    Epoch 0 is the labels of the origin task, which all generated labels start from.

    Args:
        history: Labels of the origin task, and those generated from it.
        views: Task -> its modality.
        path: Path of the PNG file.
        title: Title of the figure.

    Raises:
        ValueError: If no epoch of the training was finished.
    """
    labels = {task: np.concatenate([history.labels[None], history.generated[task]]) for task in views}
    epochs = len(next(iter(labels.values())))
    if epochs < 2:
        raise ValueError("No epoch of the training was finished, so no labels were generated.")
    known = np.concatenate([values[np.isfinite(values)] for values in labels.values()])
    edges = np.linspace(known.min(), known.max(), BINS + 1)
    changes = {task: compute_mean_changes(values) for task, values in labels.items()}
    fractions = {
        task: np.stack(
            [np.histogram(row[np.isfinite(row)], edges)[0] / max(1, np.isfinite(row).sum()) for row in values]
        )
        for task, values in labels.items()
    }
    figure, axes = make_figure(len(views) + 1, 2.9, 2.7, columns=len(views) + 1)
    highest = max(fraction.max() for fraction in fractions.values())
    for panel, (task, fraction) in zip(axes, fractions.items(), strict=False):
        image = panel.pcolormesh(
            np.arange(epochs + 1) - 0.5, edges, 100 * fraction.T, cmap="Blues", vmin=0, vmax=100 * highest
        )
        panel.plot(range(epochs), [_mean(row) for row in labels[task]], color=MODALITY_COLORS[views[task]])
        panel.set_title(views[task])
        panel.grid(False)
    axes[0].set_ylabel(f"label ({history.origin})")
    figure.colorbar(image, ax=list(axes[:-1]), label="share in % (line: mean)", shrink=0.95)
    for (task, change), style in zip(changes.items(), cycle(STYLES)):
        color = MODALITY_COLORS[views[task]]
        axes[-1].plot(range(1, epochs), change, style, linewidth=1.6, color=color, label=views[task])
    axes[-1].set_title("mean absolute change")
    axes[-1].set_ylim(bottom=0)
    axes[-1].legend()
    for panel in axes:
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(f"{title}\nlabels generated from {history.origin}, {len(history.ids)} training clips")
    names = [f"share {low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    rows = [
        [task, epoch, int(np.isfinite(labels[task][epoch]).sum()), change, *map(float, fractions[task][epoch])]
        for task in views
        for epoch, change in enumerate([None, *changes[task]])
    ]
    return save_figure(figure, path, ["task", "epoch", "samples", "mean absolute change", *names], rows)


def compute_mean_changes(labels: np.ndarray) -> list[float | None]:
    """Return the mean absolute change of labels `(epochs, samples)` from each epoch to the next, without unknown labels."""
    return [_mean(np.abs(after - before)) for before, after in pairwise(labels)]


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


@styled
def plot_samples(samples: list[SampleLabels], origin: str, path: str | Path, title: str = "") -> Path:
    """Plot transcript, label, generated labels (filled) and predictions (hollow) of single samples (Table 5).

    The figure has a few samples at equal steps of rank from the lowest to the highest label; the CSV file has all.

    Args:
        samples: Labels and predictions of each row.
        origin: Name of the task that labels were generated from.
        path: Path of the PNG file.
        title: Title of the figure.

    Raises:
        ValueError: If no sample has a label.
    """
    known = sorted((sample for sample in samples if np.isfinite(sample.label)), key=lambda sample: sample.label)
    if not known:
        raise ValueError(f"No row has a label of {origin}; choose labeled rows.")
    ranks = np.unique(np.linspace(0, len(known) - 1, MAX_PLOTTED_SAMPLES).round().astype(int))
    plotted = [known[rank] for rank in ranks[::-1]]
    views = [*plotted[0].generated]
    figure, (panel,) = make_figure(1, 9.5, 1.2 + 0.8 * len(plotted), columns=1)
    for height, sample in enumerate(plotted):
        panel.plot(sample.label, height, "|", color="black", markersize=26, markeredgewidth=2, zorder=3)
        panel.plot(sample.predicted["fusion"], height, "D", mfc="white", mec="black", markersize=6, zorder=4)
        for i, view in enumerate(views):
            offset, color = height + 0.2 * (i - (len(views) - 1) / 2), MODALITY_COLORS[view]
            panel.plot(sample.generated[view], offset, "o", color=color, markersize=4.5)
            panel.plot(sample.predicted[view], offset, "o", mfc="none", mec=color, markersize=8)
    markers: dict[str, dict[str, Any]] = {
        "label": {"marker": "|", "color": "black", "markersize": 14, "markeredgewidth": 2},
        "prediction from all": {"marker": "D", "mfc": "white", "mec": "black"},
        **{
            f"{view}: generated label": {"marker": "o", "markersize": 4.5, "color": MODALITY_COLORS[view]}
            for view in views
        },
        **{f"{view}: prediction": {"marker": "o", "mfc": "none", "mec": MODALITY_COLORS[view]} for view in views},
    }
    for kind, marker in markers.items():
        panel.plot([], [], linestyle="none", label=kind, **marker)
    panel.set_yticks(range(len(plotted)), [_format_transcript(sample) for sample in plotted])
    panel.set_ylim(len(plotted) - 0.5, -0.5)
    panel.set_xlabel(f"label ({origin})")
    for height in range(1, len(plotted)):
        panel.axhline(height - 0.5, color="#aaaaaa", linewidth=0.6)
    panel.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=4)
    figure.suptitle(f"{title}; {len(plotted)} of them, from the highest to the lowest label")
    header = ["id", "transcript", "label", "prediction",
              *(f"{view} {kind}" for view in views for kind in ("generated", "prediction"))]  # fmt: skip
    rows = [
        [sample.id, sample.transcript, *map(_cell, [sample.label, sample.predicted["fusion"]]),
         *(_cell(part[view]) for view in views for part in (sample.generated, sample.predicted))]
        for sample in samples
    ]  # fmt: skip
    return save_figure(figure, path, header, rows)


def _format_transcript(sample: SampleLabels) -> str:
    text = textwrap.shorten(sample.transcript or sample.id, MAX_TRANSCRIPT_LENGTH, placeholder=" ...")
    return textwrap.fill(text, LINE_LENGTH).replace("$", r"\$")  # a dollar sign would start a formula


def _cell(value: float) -> float | None:
    return value if np.isfinite(value) else None
