# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures of a run: training curves, scores by modality subset, confusion matrix, timeline of a clip.

The building blocks are shared with the figures of single architectures (`experiments/figures/`). Each figure is written as a PNG with its numbers beside it as a CSV file of the same name. Needs the extra `plots`.
"""

import csv
import functools
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..files import write_atomically
from .metrics import PRIMARY, get_primary_metric
from .results import SUBSETS, UNMEASURED, Results


COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Okabe and Ito, color-blind safe
MODALITY_COLORS = {"text": COLORS[1], "audio": COLORS[0], "visual": COLORS[2]}
STYLES = ("-", "--", ":")
MARKERS = "os^Dv"
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": "medium",
    "figure.titlesize": "large",
    "font.size": 9,
}


class FigureInputs(NamedTuple):
    """Inputs of the figures of a checkpoint.

    Args:
        folder: of the checkpoint.
        model, processor: as loaded from it, the model in evaluation mode.
        rows: feature rows.
        title: says which rows these are.
    """

    folder: Path
    model: Any
    processor: Any
    rows: list[dict]
    title: str


def find_seed_folder(folder: Path) -> Path:
    """Return the folder of a seed: `folder` itself, or the best seed's folder if `folder` is a run."""
    from .selection import read_best_seed

    return folder / "seeds" / f"seed-{read_best_seed(folder)}" if (folder / "results.json").is_file() else folder


def read_history(folder: Path) -> list[dict]:
    """Read the training history of a checkpoint.

    Args:
        folder: folder of a seed, or of a run, whose best seed is read.

    Raises:
        FileNotFoundError: the folder has no history, such as that of a converted checkpoint.
        ValueError: the history is damaged.
    """
    path = find_seed_folder(folder) / "history.json"
    if not path.is_file():
        raise FileNotFoundError(f"There is no training history {path}; only `mm-affect train` writes one.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"The training history {path} is not JSON ({error}); train the run again.") from None


def styled(plot: Callable) -> Callable:
    """Decorate a plot function to use the style of the package.

    Raises:
        ImportError: when the function is called and matplotlib is not installed.
    """

    @functools.wraps(plot)
    def plot_in_style(*args, **kwargs):
        try:
            from matplotlib import rc_context
        except ImportError as error:
            raise ImportError("Plots need matplotlib: pip install 'mm_affect[plots]'") from error
        with rc_context(STYLE):
            return plot(*args, **kwargs)

    return plot_in_style


def make_figure(panels: int, width: float, height: float, columns: int, **options):
    """Create a figure that needs no display, and its axes.

    Args:
        panels: number of panels.
        width: width of a panel in inches.
        height: height of a panel in inches.
        columns: maximum number of panels side by side.
        options: options of `Figure.subplots`.

    Returns:
        The figure and the array of its axes, `(panels,)`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for spare in axes[panels:]:
        spare.set_visible(False)
    return figure, axes[:panels]


def save_figure(figure, path: str | Path, header: list[str], rows: list[list]) -> Path:
    """Write the figure as PNG and its numbers beside it as CSV, and return the path of the PNG.

    Raises:
        ValueError: the path does not end with .png.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"Plots are written as PNG, but the path is {path}; use a path that ends with .png.")
    image, table = io.BytesIO(), io.StringIO()
    figure.savefig(image, format="png", dpi=150)
    csv.writer(table, lineterminator="\n").writerows([header, *rows])
    write_atomically(path.with_suffix(".csv"), table.getvalue())
    write_atomically(path, image.getvalue())
    return path


def get_line_style(index: int) -> dict:
    """Return color, dash and marker of the curve with this index; 105 combinations are distinct."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": STYLES[index // len(COLORS) % len(STYLES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


@styled
def plot_training(history: list[dict], path: str | Path) -> Path:
    """Plot losses and primary metrics over the epochs, one panel each, for training and validation.

    Args:
        history: `trainer.state.log_history`, entries with `epoch`, losses (`loss` and `loss_<task>`) and, prefixed with `eval_`,
            validation losses and metrics.
        path: PNG file to write.

    Raises:
        ValueError: the history holds no losses.
    """
    primary = tuple(name for name, _ in PRIMARY.values())
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for entry in history:
        for key, value in entry.items():
            name = key.removeprefix("eval_")
            selected = name == "eval_loss" or name.startswith("loss") or name.partition(".")[2] in primary
            if selected and "epoch" in entry and not name.startswith(("train_", "test_")) and np.isfinite(value):
                split = "validation" if key.startswith("eval_") else "training"
                curves.setdefault(name, {}).setdefault(split, []).append((entry["epoch"], value))
    if not curves:
        raise ValueError("The training history has no losses with epochs; pass `trainer.state.log_history`.")
    names = sorted(curves, key=lambda name: (name != "loss", "loss" not in name))
    figure, axes = make_figure(len(names), 3.0, 2.2, columns=3)
    for panel, name in zip(axes, names, strict=True):
        for split, color in (("training", COLORS[0]), ("validation", COLORS[1])):
            if split in curves[name]:
                epochs, values = zip(*curves[name][split], strict=True)
                panel.plot(epochs, values, color=color, marker="o", markersize=2.5, linewidth=1.3, label=split)
        panel.set_title(name)
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
    handles = {label: line for panel in axes for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=2)
    rows = [[name, split, *point] for name in names for split in curves[name] for point in curves[name][split]]
    return save_figure(figure, path, ["name", "split", "epoch", "value"], rows)


@styled
def plot_subsets(results: Results, path: str | Path) -> Path:
    """Plot the primary metric of each task for every subset of the modalities: mean and standard deviation over the seeds."""
    subsets = [subset for subset in SUBSETS if subset in results.summary]
    keys = [(f"{task['name']}.{get_primary_metric(task)[0]}", get_primary_metric(task)[1]) for task in results.tasks]
    figure, axes = make_figure(len(keys), max(3.0, 6.0 / len(keys)), 0.9 + 0.28 * len(subsets), columns=3, sharey=True)
    rows = []
    for panel, (key, greater_is_better) in zip(axes, keys, strict=True):
        for height, subset in enumerate(subsets):
            score = results.summary[subset].get(key, UNMEASURED)
            rows.append([key, subset, score.mean, score.std, score.n])
            if score.mean is not None:
                color = COLORS[subset.count("+")]
                panel.errorbar(score.mean, height, xerr=score.std, fmt="o", color=color, markersize=5, capsize=3)
        panel.set_yticks(range(len(subsets)), [subset.replace("+", " + ") for subset in subsets])
        panel.set_ylim(len(subsets) - 0.5, -0.5)
        panel.grid(axis="y", visible=False)
        panel.set_title(key)
        panel.set_xlabel("greater is better" if greater_is_better else "less is better")
    seeds = len(results.seeds)
    figure.suptitle(f"{results.name} on {results.corpus.title}, {seeds} seed{'s' * (seeds > 1)}")
    return save_figure(figure, path, ["metric", "subset", "mean", "std", "n"], rows)


@styled
def plot_models(list_of_results: list[Results], blocks: dict[str, dict[str, str]], path: str | Path) -> Path:
    """Compare models, mean and standard deviation over the seeds: a row of panels per metric, a panel per label.

    Args:
        list_of_results: results of the models.
        blocks: per metric, the keys of the summary by panel title (`backbone_benchmark.score_columns`).
        path: PNG file to write.
    """
    names = [results.name for results in list_of_results]
    wide = max(len(columns) for columns in blocks.values())
    figure, axes = make_figure(wide * len(blocks), 1.6, 0.9 + 0.2 * len(names), columns=wide, sharey=True)
    rows = []
    for line, (metric, columns) in enumerate(blocks.items()):
        for panel, (header, key) in zip(axes[line * wide :], columns.items(), strict=False):
            for height, results in enumerate(list_of_results):
                score = results.summary[results.full_subset].get(key, UNMEASURED)
                rows.append([results.name, key, score.mean, score.std, score.n])
                if score.mean is not None:
                    panel.errorbar(
                        score.mean, height, xerr=score.std, fmt="o", color=COLORS[line], markersize=4, capsize=2
                    )
            panel.set_title(f"{metric}\n{header}")
            panel.set_yticks(range(len(names)), names)
            panel.set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle(f"{list_of_results[0].corpus.title}, test split")
    return save_figure(figure, path, ["model", "metric", "mean", "std", "n"], rows)


@styled
def plot_confusion(matrix, labels: list[str], path: str | Path) -> Path:
    """Plot a confusion matrix (rows true, columns predicted): counts as text, fraction of the true class as color."""
    matrix = np.asarray(matrix)
    if matrix.shape != (len(labels), len(labels)):
        raise ValueError(f"The confusion matrix has shape {matrix.shape}, but there are {len(labels)} labels.")
    fraction = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.5 * len(labels)
    figure, (panel,) = make_figure(1, side + 0.7, side, columns=1)
    image = panel.imshow(fraction, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        color = "white" if fraction[row, column] > 0.5 else "black"
        panel.text(column, row, matrix[row, column], ha="center", va="center", color=color)
    panel.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    panel.set_yticks(range(len(labels)), labels)
    panel.set_xlabel("predicted")
    panel.set_ylabel("true")
    panel.grid(False)
    figure.colorbar(image, ax=panel, label="fraction of the true class", shrink=0.8)
    rows = [[label, *map(int, row)] for label, row in zip(labels, matrix, strict=True)]
    return save_figure(figure, path, ["true \\ predicted", *labels], rows)


@styled
def plot_timeline(windows: list[dict], path: str | Path) -> Path:
    """Plot scores over the time of a clip, one panel per task, each window as a point at its center.

    Args:
        windows: dicts {"start", "end", "scores": {task: {label: score}}}, times in seconds.
        path: PNG file to write.

    Raises:
        ValueError: there are no windows.
    """
    if not windows:
        raise ValueError("There are no windows to plot; predict a clip first.")
    tasks = {task: list(scores) for task, scores in windows[0]["scores"].items()}
    figure, axes = make_figure(len(tasks), 8.0, 1.9, columns=1, sharex=True)
    for panel, (task, labels) in zip(axes, tasks.items(), strict=True):
        for index, label in enumerate(labels):
            values = [window["scores"][task][label] for window in windows]
            middles = [(window["start"] + window["end"]) / 2 for window in windows]
            panel.plot(middles, values, markersize=3.5, linewidth=1.3, label=label, **get_line_style(index))
        panel.set_title(task, loc="left")
        if len(labels) > 1:
            panel.set_ylim(-0.03, 1.03)
            panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[-1].set_xlabel("seconds")
    axes[-1].set_xlim(min(window["start"] for window in windows), max(window["end"] for window in windows))
    rows = [
        [window["start"], window["end"], task, label, score]
        for window in windows
        for task, scores in window["scores"].items()
        for label, score in scores.items()
    ]
    return save_figure(figure, path, ["start", "end", "task", "label", "score"], rows)
