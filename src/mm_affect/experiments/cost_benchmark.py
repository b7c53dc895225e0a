# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What architectures cost on one corpus, beside what they score: a table, and Figure 1 of the LMR-CBT paper (Fu et al. 2021).

Each is measured in a fresh process, on one thread of the CPU, with the rows, the processor and the losses of a training on
these rows; times are processor time. An architecture that cannot read the rows is listed with the reason.
"""

import csv
import io
import json
import multiprocessing
import statistics
import time
import warnings
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
from ..training.run import make_model, prepare
from .flops import count_flops


BATCHES = 3
HEADER = ["name", "architecture", "parameters", "MFLOP", "forward ms", "train ms", "peak MB"]


@dataclass(frozen=True)
class Cost:
    """What a model costs on some rows.

    Args:
        parameters: trainable ones.
        flops: floating point operations of a forward pass, per sample (see `flops`).
        forward, train: seconds per sample: in evaluation mode without gradients; and of forward, loss and backward in
            training mode.
        peak: megabytes that a process has needed in all, after that; None where the system does not tell.
    """

    parameters: int
    flops: float
    forward: float
    train: float
    peak: float | None


@dataclass(frozen=True)
class BenchmarkedRun:
    """What is measured: a name, a run's config, and the score of that run (`mean`, `std`, `n`) if it has one."""

    name: str
    config: RunConfig
    score: Score | None = None


def list_architectures() -> list[str]:
    """The model types of this package."""
    return sorted(name for name, kind in CONFIG_MAPPING.items() if issubclass(kind, AffectConfig))


def select_runs(
    rows: Path, architectures: list[str] | None, results: list[Path], metric: str | None
) -> tuple[list[BenchmarkedRun], str | None]:
    """What to measure, and the metric of the scores: finished runs on these rows, and the paper's setting of every
    architecture that none of them has.

    Args:
        architectures: model types, with or without `mm_affect_`; default: all, also those of others that are registered.
        results: output folders of runs.
        metric: as `task.metric`; default: the primary metric of the first task of the first run.

    Raises:
        FileNotFoundError, ValueError: no rows, no such architecture or run, a run on other rows or without this score.
    """
    known, corpus = list_architectures(), read_corpus(rows)
    if "train" not in load(rows):
        raise ValueError(f"{rows} has no train split, of which rows are measured.")
    short = {name.removeprefix("mm_affect_"): name for name in known}
    wanted = [short.get(name, name) for name in architectures or known]
    for name in wanted:
        if name not in known:
            raise ValueError(f"Unknown architecture {name!r}.{did_you_mean(name, known)}")
    subjects = []
    for folder in results:
        found = read_results(folder / "results.json")
        if found.corpus.manifest_hash != corpus.manifest_hash:
            raise ValueError(
                f"{folder} was trained on other rows ({found.corpus.name}) than {rows} ({corpus.name}); scores "
                "of different rows cannot be compared."
            )
        task, scores = found.tasks[0], found.summary[found.full_subset]
        metric = metric or f"{task['name']}.{get_primary_metric(task)[0]}"
        if scores.get(metric) is None or scores[metric].mean is None:
            raise ValueError(f"{folder} has no score {metric!r}.{did_you_mean(metric, scores)}")
        config = replace(RunConfig.from_dict(found.config), rows=str(rows))
        if config.architecture in wanted:
            subjects.append(BenchmarkedRun(config.name, config, scores[metric]))
    measured = {subject.config.architecture for subject in subjects}
    subjects += [
        BenchmarkedRun(name.removeprefix("mm_affect_"), RunConfig(name, str(rows), "", architecture=name))
        for name in dict.fromkeys(wanted)
        if name not in measured
    ]
    return subjects, metric


def measure(config: RunConfig, batch_size: int, rounds: int) -> Cost:
    """The cost of a run's model on rows of its training split; call it in a fresh process, for the sake of the memory.

    Raises:
        ValueError: the architecture cannot read these rows.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    splits, corpus, tasks, processor = prepare(config, ("train",))
    model, train = make_model(config, tasks, processor), RowDataset(splits["train"], processor.modalities)
    collator = AffectCollator(processor, tasks, corpus.training_fields)
    chosen = np.random.default_rng(0).permutation(len(train))[: BATCHES * batch_size].tolist()
    parts = [chosen[first : first + batch_size] for first in range(0, len(chosen), batch_size)]
    batches = [collator([train[row] for row in part]) for part in parts]

    def forward():
        model.eval()
        with torch.no_grad():
            for batch in batches:
                model(**{name: value for name, value in batch.items() if name != "labels"})

    def step():
        model.train()
        for batch in batches:
            model.zero_grad()
            model(**batch).loss.backward()

    flops = count_flops(forward)
    step()  # before anything is timed, memory is there and caches are warm
    return Cost(
        model.num_parameters(only_trainable=True),
        flops / len(chosen),
        *(statistics.median(seconds(run) for _ in range(rounds)) / len(chosen) for run in (forward, step)),
        peak_memory(),
    )


def seconds(run) -> float:
    """Processor time of a call."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def peak_memory() -> float | None:
    """Megabytes that this process has needed at most, as Linux tells them."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


def measure_in_subprocess(config: RunConfig, batch_size: int, rounds: int) -> Cost | str:
    """`measure` in a process of its own; a sentence that says why where that was not possible."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(measure, config, batch_size, rounds).result()
    except BrokenProcessPool:
        return "The process was ended by the system, most likely for want of memory."
    except (ValueError, ImportError) as error:
        return " ".join(str(error).split())


def measure_costs(
    rows: Path,
    output: Path,
    architectures: list[str] | None = None,
    results: list[Path] = (),
    metric: str | None = None,
    batch_size: int = 32,
    rounds: int = 3,
) -> tuple[str, dict[str, str]]:
    """Measure, and write `costs.md`, `costs.csv`, `costs.json` and, with scores, `parameters.png` into `output`.

    Returns: the table as Markdown, and by name the reasons why some could not be measured.

    Raises:
        FileNotFoundError, ValueError: see `select_runs`; nothing was measured.
    """
    for name, value in (("batch size", batch_size), ("number of rounds", rounds)):
        if value < 1:
            raise ValueError(f"The {name} is {value}; it must be 1 or more.")
    subjects, metric = select_runs(rows, architectures, results, metric)
    found = [(subject, measure_in_subprocess(subject.config, batch_size, rounds)) for subject in subjects]
    measured = [(subject, cost) for subject, cost in found if isinstance(cost, Cost)]
    failed = {subject.name: cost for subject, cost in found if isinstance(cost, str)}
    table, numbers = format_costs(measured, metric)
    corpus = read_corpus(rows)
    notes = [f"* {name} could not be measured: {reason}" for name, reason in failed.items()]
    record = {"rows": str(rows), "corpus": corpus.name, "batch_size": batch_size, "rounds": rounds,
              "metric": metric, "threads": 1, **asdict(Environment.current("cpu")), "failed": failed,
              "measured": [{"name": s.name, "config": s.config.to_dict(), "score": s.score and s.score.to_dict()} | asdict(cost)
                           for s, cost in measured]}  # fmt: skip
    write_atomically(output / "costs.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_atomically(output / "costs.csv", numbers)
    write_atomically(output / "costs.md", "\n".join([table, "", *notes]).rstrip() + "\n")
    scored = [(subject, cost) for subject, cost in measured if subject.score]
    if scored:
        plot_parameters(scored, metric, corpus.name + " (SYNTHETIC)" * corpus.synthetic, output / "parameters.png")
    return table, failed


def format_costs(measured: list[tuple[BenchmarkedRun, Cost]], metric: str | None) -> tuple[str, str]:
    """The costs, per sample but for parameters and memory, as Markdown and, unrounded, as CSV."""
    header = [*HEADER, *([metric] if metric else [])]
    shown, lines = [], [[*HEADER, *([metric, f"{metric} std"] if metric else [])]]
    for subject, cost in measured:
        score, names = subject.score or UNMEASURED, [subject.name, subject.config.architecture]
        numbers = [cost.flops / 1e6, 1000 * cost.forward, 1000 * cost.train]
        peak = "–" if cost.peak is None else f"{cost.peak:.0f}"
        line = [
            *names,
            f"{cost.parameters:,}",
            *(f"{number:.3g}" if number < 100 else f"{number:,.0f}" for number in numbers),
            peak,
        ]
        shown.append(line + ([format_score(score)] if metric else []))
        lines.append([*names, cost.parameters, *numbers, cost.peak, *([score.mean, score.std] if metric else [])])
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(lines)
    return format_markdown_table(header, shown), file.getvalue()


@styled
def plot_parameters(scored: list[tuple[BenchmarkedRun, Cost]], metric: str, title: str, path: Path) -> Path:
    """The score of each run against the number of its parameters: mean and standard deviation over its seeds."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    figure, (panel,) = make_figure(1, 6.4, 3.4, columns=1)
    for index, (subject, cost) in enumerate(scored):
        score, style = subject.score, get_line_style(index) | {"linestyle": "none"}
        panel.errorbar(cost.parameters, score.mean, yerr=score.std, capsize=3, label=subject.name, **style)
    panel.set_xscale("log")
    panel.margins(x=0.15)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_title(title)
    panel.set_xlabel("parameters")
    panel.set_ylabel(metric)
    figure.legend(loc="outside right upper")
    rows = [[s.name, cost.parameters, s.score.mean, s.score.std, s.score.n] for s, cost in scored]
    return save_figure(figure, path, ["name", "parameters", "mean", "std", "n"], rows)
