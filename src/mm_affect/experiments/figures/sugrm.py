# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figure 4 and the view of Table 5 of the SUGRM paper (Hwang and Kim 2023), from a checkpoint that was trained here.

Both show labels that were generated in training, which lie beside the checkpoint of each seed. Single samples (Table 5) have
them if they are training rows: `mm-affect plot runs/sugrm --rows rows/ --split train --output figures/`.
"""

import textwrap
from collections.abc import Callable
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ...evaluation.plots import MODALITY_COLORS, STYLES, FigureInputs, new_figure, save_figure, seed_folder, styled
from ...tasks import Task
from ...training.generated_labels import LabelHistory, read_labels


BINS = 24  # of the distribution of labels
SHOWN = 6  # samples of a picture
WRAPPED = 46  # letters of a line of a transcript
MOST_LETTERS = 3 * WRAPPED
BATCH_SIZE = 32


class SampleLabels(NamedTuple):
    """One row's labels and predictions of one origin.

    Args:
        label: the origin's own, NaN = unknown.
        generated: per modality the label that training ended with, NaN = none.
        predicted: per view, `"fusion"` included.
    """

    id: str
    transcript: str
    label: float
    generated: dict[str, float]
    predicted: dict[str, float]


def figures(
    subject: FigureInputs, compared: FigureInputs | None = None, seed: int = 0
) -> dict[str, Callable[[Path], Path]]:
    """What draws each figure at a path, by name: two for every origin of generated labels.

    Raises:
        ValueError: the model has no unimodal tasks, or another checkpoint is given to compare with.
    """
    if compared is not None:
        raise ValueError("The figures of SUGRM are of one checkpoint; leave out the one to compare with.")
    tasks = {}
    for task in subject.model.config.tasks:
        if task.generated_from is not None:
            tasks.setdefault(task.generated_from, []).append(task)
    if not tasks:
        raise ValueError(f"{subject.folder} has no unimodal tasks, so no labels were generated for it.")
    found = {}
    for origin, own in tasks.items():
        found[f"unimodal_labels_{origin}"] = partial(_draw_labels, subject, origin, own)
        found[f"unimodal_samples_{origin}"] = partial(_draw_samples, subject, origin, own)
    return found


def _draw_labels(subject: FigureInputs, origin: str, tasks: list[Task], path: Path) -> Path:
    history = read_label_history(subject.folder, origin)
    return plot_labels(history, {task.name: task.view for task in tasks}, path, subject.title.partition("\n")[0])


def _draw_samples(subject: FigureInputs, origin: str, tasks: list[Task], path: Path) -> Path:
    return plot_samples(collect_samples(subject, origin, tasks), origin, path, subject.title)


def read_label_history(folder: Path, origin: str) -> LabelHistory:
    """Labels generated from `origin` while a checkpoint was trained.

    Raises:
        FileNotFoundError: none lie there, as beside a checkpoint that was converted.
        ValueError: they are damaged, or of another origin.
    """
    histories = {history.origin: history for history in read_labels(seed_folder(folder))}
    if origin not in histories:
        raise ValueError(f"{folder} has labels generated from {', '.join(histories)}, none from {origin}.")
    return histories[origin]


@torch.no_grad()
def collect_samples(subject: FigureInputs, origin: str, tasks: list[Task]) -> list[SampleLabels]:
    """Labels and predictions of every row."""
    history = read_label_history(subject.folder, origin)
    places = {row: place for place, row in enumerate(history.ids)}
    model, source = subject.model, next(task for task in subject.model.config.tasks if task.name == origin)
    found = []
    for start in range(0, len(subject.rows), BATCH_SIZE):
        rows = subject.rows[start : start + BATCH_SIZE]
        logits = model(**{name: values.to(model.device) for name, values in subject.processor(rows).items()}).logits
        views = {task.view: logits[task.name][:, 0].float().cpu().numpy() for task in (source, *tasks)}
        for i, row in enumerate(rows):
            label, place = (row.get("labels") or {}).get(source.source), places.get(row["id"])
            generated = {
                task.view: np.nan if place is None else float(history.generated[task.name][-1, place])
                for task in tasks
            }
            predicted = {view: float(values[i]) for view, values in views.items()}
            label = np.nan if label is None else float(label)
            found.append(SampleLabels(row["id"], row.get("transcript") or "", label, generated, predicted))
    return found


@styled
def plot_labels(history: LabelHistory, views: dict[str, str], path: str | Path, title: str = "") -> Path:
    """Figure 4: the distribution of each modality's labels after every epoch, and how much they still change.

    Epoch 0 is the origin's own labels, from which all start.

    Args:
        views: the modality of each task.
    """
    labels = {task: np.concatenate([history.labels[None], history.generated[task]]) for task in views}
    epochs = len(next(iter(labels.values())))
    if epochs < 2:
        raise ValueError("No epoch of the training was finished, so no labels were generated.")
    known = np.concatenate([values[np.isfinite(values)] for values in labels.values()])
    edges = np.linspace(known.min(), known.max(), BINS + 1)
    changes = {task: compute_mean_changes(values) for task, values in labels.items()}
    shares = {
        task: np.stack(
            [np.histogram(row[np.isfinite(row)], edges)[0] / max(1, np.isfinite(row).sum()) for row in values]
        )
        for task, values in labels.items()
    }
    figure, axes = new_figure(len(views) + 1, 2.9, 2.7, columns=len(views) + 1)
    highest = max(share.max() for share in shares.values())
    for panel, (task, share) in zip(axes, shares.items(), strict=False):
        image = panel.pcolormesh(
            np.arange(epochs + 1) - 0.5, edges, 100 * share.T, cmap="Blues", vmin=0, vmax=100 * highest
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
        [task, epoch, int(np.isfinite(labels[task][epoch]).sum()), change, *map(float, shares[task][epoch])]
        for task in views
        for epoch, change in enumerate([None, *changes[task]])
    ]
    return save_figure(figure, path, ["task", "epoch", "samples", "mean absolute change", *names], rows)


def compute_mean_changes(labels: np.ndarray) -> list[float | None]:
    """Mean absolute change from each epoch to the next, of `(epochs, samples)`, over samples that have both labels."""
    return [_mean(np.abs(after - before)) for before, after in pairwise(labels)]


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


@styled
def plot_samples(samples: list[SampleLabels], origin: str, path: str | Path, title: str = "") -> Path:
    """Table 5's view: of single samples the words, the label, what was generated (filled) and what is predicted (hollow).

    The picture shows some, from the lowest to the highest label in equal steps of rank; the CSV file has all.

    Raises:
        ValueError: no sample has a label.
    """
    known = sorted((sample for sample in samples if np.isfinite(sample.label)), key=lambda sample: sample.label)
    if not known:
        raise ValueError("No row has a label to show beside what was generated; take other rows.")
    shown = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, SHOWN).round().astype(int))][::-1]
    views = [*shown[0].generated]
    figure, (panel,) = new_figure(1, 9.5, 1.2 + 0.8 * len(shown), columns=1)
    for height, sample in enumerate(shown):
        panel.plot(sample.label, height, "|", color="black", markersize=26, markeredgewidth=2, zorder=3)
        panel.plot(sample.predicted["fusion"], height, "D", mfc="white", mec="black", markersize=6, zorder=4)
        for i, view in enumerate(views):
            place, color = height + 0.2 * (i - (len(views) - 1) / 2), MODALITY_COLORS[view]
            panel.plot(sample.generated[view], place, "o", color=color, markersize=4.5)
            panel.plot(sample.predicted[view], place, "o", mfc="none", mec=color, markersize=8)
    for kind, marks in {
        "label": {"marker": "|", "color": "black", "markersize": 14, "markeredgewidth": 2},
        "prediction from all": {"marker": "D", "mfc": "white", "mec": "black"},
        **{
            f"{view}: generated label": {"marker": "o", "markersize": 4.5, "color": MODALITY_COLORS[view]}
            for view in views
        },
        **{f"{view}: prediction": {"marker": "o", "mfc": "none", "mec": MODALITY_COLORS[view]} for view in views},
    }.items():
        panel.plot([], [], linestyle="none", label=kind, **marks)
    panel.set_yticks(range(len(shown)), [_words(sample) for sample in shown])
    panel.set_ylim(len(shown) - 0.5, -0.5)
    panel.set_xlabel(f"label ({origin})")
    for height in range(1, len(shown)):
        panel.axhline(height - 0.5, color="#aaaaaa", linewidth=0.6)
    panel.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=4)
    figure.suptitle(f"{title}; {len(shown)} of them, from the highest to the lowest label")
    header = ["id", "transcript", "label", "prediction",
              *(f"{view} {kind}" for view in views for kind in ("generated", "prediction"))]  # fmt: skip
    rows = [
        [sample.id, sample.transcript, *map(_cell, [sample.label, sample.predicted["fusion"]]),
         *(_cell(part[view]) for view in views for part in (sample.generated, sample.predicted))]
        for sample in samples
    ]  # fmt: skip
    return save_figure(figure, path, header, rows)


def _words(sample: SampleLabels) -> str:
    text = textwrap.shorten(sample.transcript or sample.id, MOST_LETTERS, placeholder=" ...")
    return textwrap.fill(text, WRAPPED).replace("$", r"\$")  # a dollar would begin a formula


def _cell(value: float) -> float | None:
    return value if np.isfinite(value) else None
