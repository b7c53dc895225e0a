# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Grid search over hyperparameters (Dai et al. 2021, section 6.1: 4 learning rates x 6 batch sizes) on the validation split.

The test split is never loaded. A point of the grid is a config with some fields set. It has its own folder, so finished points
are not trained again, even if the grid has changed.
"""

import csv
import hashlib
import io
import itertools
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.results import Score, SeedResult, format_markdown_table, format_score
from ..evaluation.selection import get_selection_metric
from ..files import as_json, write_atomically
from ..training.config import RunConfig
from ..training.parallel import run_parallel
from ..training.prepared_run import PreparedRun, prepare
from ..training.run_output import claim_output
from ..training.seed_training import train_seed


PAPER_GRID = (
    "training.learning_rate=1e-3,5e-4,1e-4,5e-5",
    "training.batch_size=16,32,64,128,256,512",
)
FIXED = ("name", "rows", "output", "seeds")  # fields that all points of a grid share


@dataclass
class GridPoint:
    """One point of a grid.

    Args:
        fields: Values of the grid's fields, as overrides of a config.
        config: The resolved config.
        seeds: Results of each finished seed, without test scores.
        failure: Error that prevented the training; empty if there was none.
    """

    fields: dict[str, Any]
    config: RunConfig
    seeds: list[SeedResult]
    failure: str = ""


def expand_grid(axes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the fields of every point of a grid; those of the last axis change fastest.

    Args:
        axes: Fields and their values, such as `"training.learning_rate=1e-3,5e-4"`.

    Raises:
        ValueError: If an axis has no values, is given twice, or is a field that all points share.
    """
    values: dict[str, list] = {}
    for axis in axes:
        name, _, text = axis.partition("=")
        if not name or not text.strip():
            raise ValueError(f"The axis {axis!r} has no field and values; expected FIELD=VALUE,VALUE,...")
        if name in values or name in FIXED:
            problem = "is given twice" if name in values else "is the same for all points of a grid"
            raise ValueError(f"The axis {name} {problem}; remove it.")
        parsed = as_json(f"[{text}]")  # "1,2" and "[1,2],[3]" are JSON; "mean,last" is not
        if not isinstance(parsed, list):
            parsed = [as_json(part.strip()) for part in text.split(",")]
        values[name] = [value for i, value in enumerate(parsed) if value not in parsed[:i]]
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def run_grid(
    load: Callable[[dict], RunConfig], axes: Sequence[str], folder: Path, jobs: int = 1, overwrite: bool = False
) -> tuple[str, bool, list[GridPoint]]:
    """Train every point of a grid that is not finished yet.

    Args:
        load: Function that makes a config from overrides, see `RunConfig.load`.
        axes: Axes of the grid, see `expand_grid`.
        folder: Folder that gets `points/`, with a folder per point for the history of its seeds; weights are not kept.
        jobs: Number of trainings in parallel.
        overwrite: Train finished points again.

    Returns:
        The selecting validation metric, True if greater values are better, and the points in the order of the grid.

    Raises:
        ValueError: Before any training, if a point cannot run, differs from the run in its folder, or is selected by another
            metric than the others.
    """
    points: list[GridPoint] = []
    prepared: list[PreparedRun] = []
    for fields in expand_grid(axes):
        config = load(fields | {"output": str(folder / "points" / _folder_name(fields))})
        try:
            prepared.append(prepare(config, measure_test=False))
        except ValueError as error:
            raise ValueError(f"The point {_format_fields(fields)} cannot run: {error}") from None
        points.append(GridPoint(fields, config, []))
    selections = {get_selection_metric(run.config.training.select_by, run.tasks) for run in prepared}
    if len(selections) > 1:
        names = ", ".join(sorted(name for name, _ in selections))
        raise ValueError(f"The points are selected by {names}, which cannot be compared; set training.select_by.")
    for run in prepared:
        claim_output(run.config, run.corpora, resume=not overwrite, overwrite=overwrite)
    trainings = [
        (point, (run, seed, _seed_folder(point, seed)))
        for point, run in zip(points, prepared, strict=True)
        for seed in point.config.seeds
        if not (_seed_folder(point, seed) / "seed.json").exists()
    ]
    failures = run_parallel(train_without_weights, [call for _, call in trainings], jobs)
    for (point, _), failure in zip(trainings, failures, strict=True):
        point.failure = point.failure or failure
    for point in points:
        files = [_seed_folder(point, seed) / "seed.json" for seed in point.config.seeds]
        contents = [json.loads(file.read_text()) for file in files if file.exists()]
        point.seeds = [SeedResult.from_dict({"test": {}} | content) for content in contents]
    metric, greater = selections.pop()
    return metric, greater, points


def train_without_weights(prepared: PreparedRun, seed: int, folder: Path) -> str:
    """Train one seed of a point and delete its weights; return the error if it failed, else an empty string."""
    try:
        train_seed(prepared, seed, folder)
    except (ValueError, RuntimeError) as error:  # the loss diverged, or memory ran out; other points may still work
        return " ".join(str(error).split())
    (folder / "model.safetensors").unlink()
    return ""


def format_grid(metric: str, greater: bool, points: list[GridPoint]) -> tuple[str, str, GridPoint | None]:
    """Format the points of a grid as tables, with their mean validation score over the seeds; the best point is marked.

    Args:
        metric: Validation metric.
        greater: True if greater values are better.
        points: The points.

    Returns:
        A Markdown table, a CSV table with unrounded numbers, and the best complete point, None if no point is complete.
    """
    scores = [_score(point, metric) for point in points]
    means = {i: score.mean for i, score in enumerate(scores) if score is not None and score.mean is not None}
    best = (max if greater else min)(means, key=lambda i: means[i], default=None)
    header = [*points[0].fields, f"validation {metric}", "seeds", "epochs", "seconds", "best"]
    lines, file = [], io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*header[:-4], f"validation {metric} std", *header[-4:], "failure", "folder"])
    for i, (point, score) in enumerate(zip(points, scores, strict=True)):
        values = [value if isinstance(value, str) else json.dumps(value) for value in point.fields.values()]
        epochs, seconds = sum(seed.epochs for seed in point.seeds), sum(seed.seconds for seed in point.seeds)
        facts = [len(point.seeds), epochs, round(seconds, 1), "*" if i == best else ""]
        lines.append([*values, format_score(score) if score or not point.failure else "failed", *facts])
        numbers = [getattr(score, part) if score else None for part in ("mean", "std")]
        writer.writerow([*values, *numbers, *facts, point.failure, point.config.output])
    return format_markdown_table(header, lines), file.getvalue(), None if best is None else points[best]


def write_grid(folder: Path, metric: str, greater: bool, points: list[GridPoint]) -> tuple[str, GridPoint | None]:
    """Write `grid.csv` into a folder, and return the Markdown table and the best point, see `format_grid`."""
    table, numbers, best = format_grid(metric, greater, points)
    write_atomically(folder / "grid.csv", numbers)
    return table, best


def _score(point: GridPoint, metric: str) -> Score | None:
    """Return mean and standard deviation over the seeds, None if a seed is missing or the metric is undefined."""
    scores = [seed.validation[metric] for seed in point.seeds]
    values = [score for score in scores if score is not None and not math.isnan(score)]
    if len(values) < len(point.config.seeds):
        return None
    return Score(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def _seed_folder(point: GridPoint, seed: int) -> Path:
    return Path(point.config.output) / "seeds" / f"seed-{seed}"


def _folder_name(fields: dict) -> str:
    """Return a folder name that depends on the fields alone, not on their order or the grid."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def _format_fields(fields: dict) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items())
