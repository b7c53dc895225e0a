# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A grid of hyper-parameters (Dai et al. 2021, section 6.1: 4 learning rates x 6 batch sizes), scored on validation alone.

The test split plays no part: what trains a point of the grid is not given it. A point is a config with some fields set, and
has a folder of its own, so that what is finished is not run again, also if the grid has grown meanwhile.
"""

import csv
import hashlib
import io
import itertools
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.results import Score, format_markdown_table, format_score
from ..evaluation.selection import get_selection_metric
from ..files import as_json, write_atomically
from ..training.config import RunConfig
from ..training.parallel import run_parallel
from ..training.run import claim_output, prepare, train_seed


PAPER_GRID = (
    "training.learning_rate=1e-3,5e-4,1e-4,5e-5",
    "training.batch_size=16,32,64,128,256,512",
)
FIXED = ("name", "rows", "output_dir", "seeds")  # a grid is of one run


@dataclass
class GridPoint:
    """One point of a grid.

    Args:
        fields: what is set, as overrides of a config.
        config: the resolved config.
        seeds: what each seed found on validation.
        failure: why it could not be trained, if so.
    """

    fields: dict
    config: RunConfig
    seeds: list[dict]
    failure: str = ""


def expand_grid(axes: list[str]) -> list[dict]:
    """The fields of every point from axes such as `"training.learning_rate=1e-3,5e-4"`, the last one changing fastest.

    Raises:
        ValueError: an axis without values, twice, or of a field that makes no grid.
    """
    values = {}
    for axis in axes:
        name, _, text = axis.partition("=")
        if not name or not text.strip():
            raise ValueError(f"The axis {axis!r} has no field and values; write FIELD=VALUE,VALUE,...")
        if name in values or name in FIXED:
            raise ValueError(
                f"The axis {name} {'is given twice' if name in values else 'makes no grid'}; leave it out."
            )
        listed = as_json(f"[{text}]")  # "1,2" and "[1,2],[3]" are JSON; "mean,last" is not
        found = listed if isinstance(listed, list) else [as_json(part.strip()) for part in text.split(",")]
        values[name] = [value for i, value in enumerate(found) if value not in found[:i]]
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def run_grid(
    load: Callable[[dict], RunConfig], axes: list[str], folder: Path, jobs: int = 1, overwrite: bool = False
) -> tuple[str, bool, list[GridPoint]]:
    """Train every point that is not finished yet.

    Args:
        load: makes the config from overrides (see `RunConfig.load`).
        folder: gets `points/`, a folder per point with the history of its seeds; weights are not kept.
        jobs: trainings at a time.
        overwrite: train finished points, too.

    Returns: the validation metric that selects, whether greater is better, and the points in the order of the grid.

    Raises:
        ValueError: a point cannot run, differs from what its folder holds, or selects by another metric than the others;
            nothing is trained then.
    """
    points, prepared = [], []
    for fields in expand_grid(axes):
        config = load(fields | {"output_dir": str(folder / "points" / _folder_name(fields))})
        try:
            prepared.append(prepare(config, ("train", "validation")))
        except ValueError as error:
            raise ValueError(f"The point {_format_fields(fields)} cannot run: {error}") from None
        points.append(GridPoint(fields, config, []))
    selections = {
        get_selection_metric(point.config, tasks) for point, (_, _, tasks, _) in zip(points, prepared, strict=True)
    }
    if len(selections) > 1:
        names = ", ".join(sorted(name for name, _ in selections))
        raise ValueError(f"The points are selected by {names}, which cannot be compared; set training.select_by.")
    for point, (_, corpus, _, _) in zip(points, prepared, strict=True):
        claim_output(point.config, corpus, resume=not overwrite, overwrite=overwrite)
    trainings = [
        (point, (point.config, seed, _seed_folder(point, seed), *parts))
        for point, parts in zip(points, prepared, strict=True)
        for seed in point.config.seeds
        if not (_seed_folder(point, seed) / "seed.json").exists()
    ]
    failures = run_parallel(train_without_weights, [call for _, call in trainings], jobs)
    for (point, _), failure in zip(trainings, failures, strict=True):
        point.failure = point.failure or failure
    for point in points:
        files = [_seed_folder(point, seed) / "seed.json" for seed in point.config.seeds]
        point.seeds = [json.loads(file.read_text()) for file in files if file.exists()]
    return *selections.pop(), points


def train_without_weights(config: RunConfig, seed: int, folder: Path, *prepared) -> str:
    """`train_seed` of one point; the weights are not kept. Returns why it failed, or nothing."""
    try:
        train_seed(config, seed, folder, *prepared)
    except (ValueError, RuntimeError) as error:  # diverged, or too large for the memory: the other points go on
        return " ".join(str(error).split())
    (folder / "model.safetensors").unlink()
    return ""


def format_grid(metric: str, greater: bool, points: list[GridPoint]) -> tuple[str, str, GridPoint | None]:
    """The points as Markdown and as CSV with unrounded numbers, and the best of those that are complete.

    The score is the mean of `metric` on validation over the seeds; the best point is marked.
    """
    scores = [_score(point, metric) for point in points]
    known = [i for i, score in enumerate(scores) if score is not None]
    best = (max if greater else min)(known, key=lambda i: scores[i].mean, default=None)
    header = [*points[0].fields, f"validation {metric}", "seeds", "epochs", "seconds", "best"]
    lines, file = [], io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*header[:-4], f"validation {metric} std", *header[-4:], "failure", "folder"])
    for i, (point, score) in enumerate(zip(points, scores, strict=True)):
        values = [value if isinstance(value, str) else json.dumps(value) for value in point.fields.values()]
        epochs, seconds = (sum(seed[name] for seed in point.seeds) for name in ("epochs", "seconds"))
        facts = [len(point.seeds), epochs, round(seconds, 1), "*" if i == best else ""]
        lines.append([*values, format_score(score) if score or not point.failure else "failed", *facts])
        numbers = [getattr(score, part) if score else None for part in ("mean", "std")]
        writer.writerow([*values, *numbers, *facts, point.failure, point.config.output_dir])
    return format_markdown_table(header, lines), file.getvalue(), None if best is None else points[best]


def write_grid(folder: Path, metric: str, greater: bool, points: list[GridPoint]) -> tuple[str, GridPoint | None]:
    """Write `grid.csv`; the Markdown table and the best point."""
    table, numbers, best = format_grid(metric, greater, points)
    write_atomically(folder / "grid.csv", numbers)
    return table, best


def _score(point: GridPoint, metric: str) -> Score | None:
    """Mean and deviation over the seeds, None if a seed is missing or the metric was undefined."""
    values = [seed["validation"][metric] for seed in point.seeds]
    if len(values) < len(point.config.seeds) or any(value is None or value != value for value in values):
        return None
    return Score(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def _seed_folder(point: GridPoint, seed: int) -> Path:
    return Path(point.config.output_dir) / "seeds" / f"seed-{seed}"


def _folder_name(fields: dict) -> str:
    """The same for the same fields, in whatever grid they are."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


def _format_fields(fields: dict) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items())
