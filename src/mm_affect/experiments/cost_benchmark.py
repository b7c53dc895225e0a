# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Measure parameters, operations, time and memory of architectures on one corpus, and compare them with their scores.

The results are a table, and Figure 1 of the LMR-CBT paper (Fu et al. 2021). Each architecture is measured in its own process, on
one CPU thread, with the rows, the processor and the losses of a training; times are CPU times. An architecture that cannot
read the rows is listed with the reason.
"""

import csv
import io
import json
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import CONFIG_MAPPING

from ..data import load, read_corpus
from ..data.ragged import RowDataset
from ..evaluation.metrics import get_primary_metric
from ..evaluation.plots import get_line_style, make_figure, save_figure, styled
from ..evaluation.results import UNMEASURED, Environment, Score, format_markdown_table, format_score, read_results
from ..features.collator import AffectCollator
from ..files import write_atomically
from ..messages import did_you_mean
from ..models.configuration import AffectConfig
from ..training.config import RunConfig
from ..training.prepared_run import prepare
from .flops import count_flops


BATCHES = 3
HEADER = ["name", "architecture", "parameters", "MFLOP", "forward ms", "train ms", "peak MB"]


@dataclass(frozen=True)
class Cost:
    """Cost of a model.

    Args:
        parameters: Number of trainable parameters.
        flops: Floating point operations of a forward pass, per sample; see `flops`.
        forward: Seconds per sample of a forward pass in evaluation mode, without gradients.
        train: Seconds per sample of forward pass, loss and backward pass in training mode.
        peak: Peak memory of the process in megabytes; None if the operating system does not report it.
    """

    parameters: int
    flops: float
    forward: float
    train: float
    peak: float | None


@dataclass(frozen=True)
class BenchmarkedRun:
    """A run whose cost is measured.

    Args:
        name: Name in tables and figure.
        config: Config of the run.
        score: Score of a finished run.
    """

    name: str
    config: RunConfig
    score: Score | None = None


def list_architectures() -> list[str]:
    """Return the model types of the registered architectures."""
    return sorted(name for name, kind in CONFIG_MAPPING.items() if issubclass(kind, AffectConfig))


def select_runs(
    rows: Path, architectures: list[str] | None, results: Sequence[Path], metric: str | None
) -> tuple[list[BenchmarkedRun], str | None]:
    """Select the runs to measure: finished runs, and the paper's configuration of every other architecture.

    Args:
        rows: Folder of rows.
        architectures: Model types, with or without the prefix `mm_affect_`; None: all that are registered.
        results: Output folders of finished runs on these rows.
        metric: Metric of the scores, `task.metric`; None: the primary metric of the first task of the first run.

    Returns:
        The runs, and the metric; None without finished runs.

    Raises:
        FileNotFoundError: If there are no rows or no results.
        ValueError: If an architecture does not exist, or a run has other rows or no such score.
    """
    known, corpus = list_architectures(), read_corpus(rows)
    if "train" not in load(rows):
        raise ValueError(f"{rows} has no train split; the cost is measured on training rows.")
    short = {name.removeprefix("mm_affect_"): name for name in known}
    wanted = [short.get(name, name) for name in architectures or known]
    for name in wanted:
        if name not in known:
            raise ValueError(f"Unknown architecture {name!r}.{did_you_mean(name, known)}")
    runs = []
    for folder in results:
        result = read_results(folder / "results.json")
        if result.corpus.manifest_hash != corpus.manifest_hash:
            raise ValueError(
                f"{folder} was trained on other rows ({result.corpus.name}) than {rows} ({corpus.name}); scores "
                "of different rows cannot be compared."
            )
        task, scores = result.tasks[0], result.summary[result.full_subset]
        metric = metric or f"{task['name']}.{get_primary_metric(task)[0]}"
        if scores.get(metric) is None or scores[metric].mean is None:
            raise ValueError(f"{folder} has no score {metric!r}.{did_you_mean(metric, scores)}")
        config = replace(RunConfig.from_dict(result.config), rows=str(rows))
        if config.architecture in wanted:
            runs.append(BenchmarkedRun(config.name, config, scores[metric]))
    finished = {run.config.architecture for run in runs}
    runs += [
        BenchmarkedRun(name.removeprefix("mm_affect_"), RunConfig(name, str(rows), "", architecture=name))
        for name in dict.fromkeys(wanted)
        if name not in finished
    ]
    return runs, metric


def measure(config: RunConfig, batch_size: int, rounds: int) -> Cost:
    """Measure the cost of the model of a run on its training rows, in this process.

    Args:
        config: Config of the run.
        batch_size: Rows per batch.
        rounds: Number of measurements; the median counts.

    Raises:
        ValueError: If the architecture cannot read the rows.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    prepared = prepare(config, measure_test=False)
    model, train = prepared.make_model(), RowDataset(prepared.train, prepared.processor.modalities)
    collator = AffectCollator(prepared.processor, prepared.tasks, prepared.training_fields)
    chosen = np.random.default_rng(0).permutation(len(train))[: BATCHES * batch_size].tolist()
    parts = [chosen[first : first + batch_size] for first in range(0, len(chosen), batch_size)]
    batches = [collator([train[row] for row in part]) for part in parts]

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            for batch in batches:
                model(**{name: value for name, value in batch.items() if name != "labels"})

    def train_step() -> None:
        model.train()
        for batch in batches:
            model.zero_grad()
            model(**batch).loss.backward()

    flops = count_flops(forward)
    train_step()  # warm-up: allocates memory and fills caches
    forward_seconds, train_seconds = (
        statistics.median(time_call(call) for _ in range(rounds)) / len(chosen) for call in (forward, train_step)
    )
    parameters = model.num_parameters(only_trainable=True)
    return Cost(parameters, flops / len(chosen), forward_seconds, train_seconds, read_peak_memory())


def time_call(call: Callable[[], object]) -> float:
    """Return the CPU time of a call in seconds."""
    start = time.process_time()
    call()
    return time.process_time() - start


def read_peak_memory() -> float | None:
    """Return the peak memory of this process in megabytes, None on systems other than Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


def measure_in_subprocess(config: RunConfig, batch_size: int, rounds: int) -> Cost | str:
    """Measure the cost of a run in its own process; return an error message if that fails."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(measure, config, batch_size, rounds).result()
    except BrokenProcessPool:
        return "The operating system ended the process, most likely because memory ran out."
    except (ValueError, ImportError) as error:
        return " ".join(str(error).split())


def measure_costs(
    rows: Path,
    output: Path,
    architectures: list[str] | None = None,
    results: Sequence[Path] = (),
    metric: str | None = None,
    batch_size: int = 32,
    rounds: int = 3,
) -> tuple[str, dict[str, str]]:
    """Measure the cost of runs, and write `costs.md`, `costs.csv`, `costs.json` and, with scores, `parameters.png`.

    Args:
        rows: Folder of rows.
        output: Folder for the files.
        architectures: Model types, see `select_runs`.
        results: Output folders of finished runs.
        metric: Metric of the scores.
        batch_size: Rows per batch.
        rounds: Number of measurements; the median counts.

    Returns:
        The table as Markdown, and the error messages of the runs that could not be measured, by name.

    Raises:
        FileNotFoundError: If there are no rows or no results.
        ValueError: If an argument is wrong, see `select_runs`.
    """
    for name, value in (("batch size", batch_size), ("number of rounds", rounds)):
        if value < 1:
            raise ValueError(f"The {name} is {value}; expected 1 or more.")
    runs, metric = select_runs(rows, architectures, results, metric)
    outcomes = [(run, measure_in_subprocess(run.config, batch_size, rounds)) for run in runs]
    measured = [(run, cost) for run, cost in outcomes if isinstance(cost, Cost)]
    failed = {run.name: cost for run, cost in outcomes if isinstance(cost, str)}
    table, numbers = format_costs(measured, metric)
    corpus = read_corpus(rows)
    notes = [f"* {name} could not be measured: {reason}" for name, reason in failed.items()]
    record = {"rows": str(rows), "corpus": corpus.name, "batch_size": batch_size, "rounds": rounds,
              "metric": metric, "threads": 1, **asdict(Environment.current("cpu")), "failed": failed,
              "measured": [{"name": run.name, "config": run.config.to_dict(), "score": run.score and run.score.to_dict()}
                           | asdict(cost) for run, cost in measured]}  # fmt: skip
    write_atomically(output / "costs.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_atomically(output / "costs.csv", numbers)
    write_atomically(output / "costs.md", "\n".join([table, "", *notes]).rstrip() + "\n")
    scored = [(run.name, run.score, cost) for run, cost in measured if run.score]
    if scored and metric:
        plot_parameters(scored, metric, corpus.name + " (SYNTHETIC)" * corpus.synthetic, output / "parameters.png")
    return table, failed


def format_costs(measured: list[tuple[BenchmarkedRun, Cost]], metric: str | None) -> tuple[str, str]:
    """Format the costs of runs as a Markdown table, and unrounded as CSV; operations and times are per sample."""
    header = [*HEADER, *([metric] if metric else [])]
    lines: list[list[str]] = []
    numbers_file = io.StringIO()
    writer = csv.writer(numbers_file, lineterminator="\n")
    writer.writerow([*HEADER, *([metric, f"{metric} std"] if metric else [])])
    for run, cost in measured:
        score, names = run.score or UNMEASURED, [run.name, run.config.architecture]
        numbers = [cost.flops / 1e6, 1000 * cost.forward, 1000 * cost.train]
        peak = "–" if cost.peak is None else f"{cost.peak:.0f}"
        line = [
            *names,
            f"{cost.parameters:,}",
            *(f"{number:.3g}" if number < 100 else f"{number:,.0f}" for number in numbers),
            peak,
        ]
        lines.append(line + ([format_score(score)] if metric else []))
        writer.writerow([*names, cost.parameters, *numbers, cost.peak, *([score.mean, score.std] if metric else [])])
    return format_markdown_table(header, lines), numbers_file.getvalue()


@styled
def plot_parameters(scored: list[tuple[str, Score, Cost]], metric: str, title: str, path: Path) -> Path:
    """Plot the score of each run, mean and standard deviation over its seeds, against its number of parameters.

    Args:
        scored: Name, score and cost of each run.
        metric: Metric of the scores.
        title: Title of the figure.
        path: Path of the PNG file.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    figure, (panel,) = make_figure(1, 6.4, 3.4, columns=1)
    for index, (name, score, cost) in enumerate(scored):
        style = get_line_style(index) | {"linestyle": "none"}
        panel.errorbar(cost.parameters, score.mean, yerr=score.std, capsize=3, label=name, **style)
    panel.set_xscale("log")
    panel.margins(x=0.15)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_title(title)
    panel.set_xlabel("parameters")
    panel.set_ylabel(metric)
    figure.legend(loc="outside right upper")
    rows = [[name, cost.parameters, score.mean, score.std, score.n] for name, score, cost in scored]
    return save_figure(figure, path, ["name", "parameters", "mean", "std", "n"], rows)
