# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect grid`, `benchmark`, `significance`, `cost` and `reproduce`: commands about many runs."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .config_fields import config_flag_words, read_config_flags
from .options import (
    add_jobs_option,
    add_json_option,
    add_output_option,
    add_overwrite_option,
    add_rows_option,
    add_seed_option,
    parse_seeds,
)
from .train import Failures, add_run_config_flags, report_failure, train_all


if TYPE_CHECKING:
    from ..evaluation.results import Results
    from ..training.config import RunConfig


SET_BY_THE_BENCHMARK = ("name", "rows", "output", "architecture", "preset", "model", "tasks")


# grid -------------------------------------------------------------------------------------------------------------


def add_grid_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect grid`."""
    add_output_option(parser, help="folder of grid.csv and of the trained points")
    parser.add_argument(
        "--grid",
        nargs="+",
        metavar="FIELD=A,B,...",
        help="such as training.learning_rate=1e-3,5e-4 training.batch_size=16,32; default: that of Dai et al. 2021",
    )
    add_overwrite_option(parser, help="train finished points again")
    add_jobs_option(parser)
    add_run_config_flags(parser, words, without=("name", "output"))
    parser.set_defaults(run=search_grid)


def search_grid(arguments: argparse.Namespace) -> int:
    """Train every point of a grid that is not finished and print a table; returns 1 if a point failed."""
    from ..experiments.grid_search import PAPER_GRID, run_grid, write_grid
    from ..training.config import RunConfig

    overrides = read_config_flags(arguments, RunConfig)
    metric, greater, points = run_grid(
        lambda fields: RunConfig.load(arguments.config, overrides | fields),
        arguments.grid or list(PAPER_GRID),
        arguments.output,
        arguments.jobs,
        arguments.overwrite,
    )
    table, best = write_grid(arguments.output, metric, greater, points)
    print(table)
    for point in points:
        if point.failure:
            print(f"Failed: {point.config.output}: {point.failure}")
    if best is not None:
        flags = [word for name, value in best.fields.items() for word in (f"--{name}", json.dumps(value))]
        command = ["mm-affect", "train", str(arguments.config), *config_flag_words(arguments), *flags]
        print(f"The best point: {shlex.join(command)}")
    return int(any(point.failure for point in points))


# benchmark --------------------------------------------------------------------------------------------------------


def add_benchmark_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect benchmark`."""
    add_rows_option(parser)
    add_output_option(parser, help="folder of the runs, tables and figure")
    parser.add_argument("--models", metavar="A,B,...", help="some of the models; default: all twelve")
    parser.add_argument(
        "--corpus",
        metavar="NAME",
        help="corpus whose settings are used: cmu_mosei or iemocap; default: that of the rows, or cmu_mosei",
    )
    parser.add_argument("--task", default="emotion", help="label column that is predicted; default: emotion")
    parser.add_argument(
        "--label-vectors",
        type=Path,
        metavar="FILE",
        help="word vectors of the labels for EMO-EMB, in GloVe's format: those that the rows were made with",
    )
    add_overwrite_option(parser, help="train finished models again")
    add_jobs_option(parser)
    add_run_config_flags(parser, words, without=SET_BY_THE_BENCHMARK, config=None)
    parser.set_defaults(run=benchmark_models)


def benchmark_models(arguments: argparse.Namespace) -> int:
    """Train the twelve models that are not finished and write tables; returns 1 if a model failed."""
    failures: Failures = {}
    configs = _benchmark_configs(arguments)
    commands = dict.fromkeys(configs, arguments.command_line)
    measured = train_all(configs, commands, failures, not arguments.overwrite, arguments.overwrite, arguments.jobs)
    if measured:
        _write_benchmark(measured, arguments.output, failures)
    return int(bool(failures))


def _benchmark_configs(arguments: argparse.Namespace) -> dict[str, "RunConfig"]:
    from ..data.loading import read_corpus
    from ..experiments.backbone_benchmark import BACKBONES, CORPORA, benchmark_config, benchmark_task
    from ..messages import did_you_mean
    from ..training.config import RunConfig

    corpus = read_corpus(arguments.rows)
    settings = arguments.corpus or (corpus.name if corpus.name in CORPORA else CORPORA[0])
    names = [name.strip() for name in arguments.models.split(",")] if arguments.models else list(BACKBONES)
    if settings not in CORPORA:
        raise ValueError(f"There are no settings for {settings!r}.{did_you_mean(settings, CORPORA)}")
    for name in names:
        if name not in BACKBONES:
            raise ValueError(f"There are no settings for {name!r}.{did_you_mean(name, BACKBONES)}")
    task = benchmark_task(corpus.label_fields, arguments.task)
    overrides = read_config_flags(arguments, RunConfig)
    vectors = {"model.label_vectors": str(arguments.label_vectors)} if arguments.label_vectors else {}
    return {
        name: benchmark_config(
            name,
            arguments.rows,
            arguments.output,
            task,
            settings,
            overrides | (vectors if name == "EMO-EMB" else {}),
        )
        for name in dict.fromkeys(names)
    }


def _write_benchmark(measured: list["Results"], output: Path, failures: Failures) -> None:
    from ..evaluation.comparison import TableLayout, make_comparison_csv
    from ..evaluation.plots import plot_models
    from ..experiments.backbone_benchmark import format_tables, score_columns
    from ..files import write_atomically

    reasons = {name: " ".join(str(error).split()) for name, error in failures.items()}
    columns = [key for block in score_columns(measured).values() for key in block.values()]
    table = format_tables(measured, reasons)
    print(table, end="")
    write_atomically(output / "benchmark.md", table)
    write_atomically(output / "benchmark.tex", format_tables(measured, reasons, latex=True))
    write_atomically(output / "benchmark.csv", make_comparison_csv(measured, TableLayout(columns)))
    with report_failure("scores.png", failures):
        plot_models(measured, score_columns(measured), output / "scores.png")


# significance -----------------------------------------------------------------------------------------------------


def add_significance_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect significance`."""
    parser.add_argument("run_a", type=Path, help="folder of a finished run")
    parser.add_argument("run_b", type=Path, help="folder of another one, on the same test rows and seeds")
    parser.add_argument(
        "--metric",
        metavar="TASK.METRIC",
        help="such as emotion.wacc, or emotion.wacc.happy; default: the primary metric of the first task",
    )
    parser.add_argument(
        "--resamples", type=int, default=10_000, metavar="N", help="bootstrap resamples; default: 10000"
    )
    add_seed_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=run_significance_test)


def run_significance_test(arguments: argparse.Namespace) -> None:
    """Compare two runs by a paired bootstrap."""
    from ..evaluation.significance import compare

    result = compare(arguments.run_a, arguments.run_b, arguments.metric, arguments.resamples, arguments.seed)
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    seeds = f"{result['seeds']} seeds each" if result["seeds"] > 1 else "one seed each, which says nothing of others"
    print(f"{result['metric']} on {result['samples']} test rows, {seeds}")
    for folder, score in zip((arguments.run_a, arguments.run_b), result["scores"], strict=True):
        print(f"  {score:.4f}  {folder}")
    low, high = result["interval"]
    print(f"  {result['difference']:+.4f}  difference, 95 % interval {low:+.4f} to {high:+.4f}, p = {result['p']:.4f}")


# cost -------------------------------------------------------------------------------------------------------------


def add_cost_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect cost`."""
    parser.description = (
        "Measure parameters, FLOPs, times and memory of every architecture on one corpus, in the setting of its paper or, for "
        "finished runs, in theirs; print a table, and draw score against parameters."
    )
    add_rows_option(parser)
    add_output_option(parser, help="folder of tables and figure")
    parser.add_argument("--architectures", nargs="+", metavar="A", help="only these, such as tailor mfn")
    parser.add_argument("--results", nargs="+", type=Path, default=[], metavar="RUN", help="output folders of runs")
    parser.add_argument(
        "--metric", metavar="TASK.METRIC", help="metric of the scores; default: the primary metric of the first task"
    )
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="rows per batch; default: 32")
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="measurements, of which the median counts; default: 3"
    )
    parser.set_defaults(run=measure_cost)


def measure_cost(arguments: argparse.Namespace) -> int:
    """Print what every architecture costs; returns 1 if nothing could be measured."""
    from ..experiments.cost_benchmark import measure_costs

    names = ("rows", "output", "architectures", "results", "metric", "batch_size", "rounds")
    table, failed = measure_costs(**{name: getattr(arguments, name) for name in names})
    for name, reason in failed.items():
        print(f"mm-affect: {name} could not be measured: {reason}", file=sys.stderr)
    if table.count("\n") < 2:
        return 1
    print(table)
    print(f"\nTables{' and figure' if arguments.results else ''}: {arguments.output}")
    return 0


# reproduce --------------------------------------------------------------------------------------------------------


def add_reproduce_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect reproduce`."""
    parser.description = (
        "Train a published card again, on its data, and compare every primary metric per seed and over seeds. The exit code is 1 "
        "if one of them is not reproduced."
    )
    parser.add_argument("card", help="folder with a results.json, or the model's name on the Hub")
    parser.add_argument("--rows", metavar="FOLDER", help="folder of rows; default: that of the card's config")
    parser.add_argument(
        "--realdata",
        metavar="FOLDER",
        help="folder of the real data, for a card that a program in benchmarks/ made; default: MM_AFFECT_REALDATA, or "
        "../shared/realdata beside the checkout",
    )
    parser.add_argument("--seeds", metavar="A,B,...", help="only these seeds; default: those of the card")
    parser.add_argument("--all", action="store_true", help="compare every metric, not only the primary ones")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="keep what is trained; default: a temporary folder"
    )
    parser.set_defaults(run=reproduce_card)


def reproduce_card(arguments: argparse.Namespace) -> int:
    """Train a card again and compare; returns 1 if a primary metric is not reproduced."""
    from ..experiments import reproduce

    card, seeds = reproduce.read_card_results(arguments.card), parse_seeds(arguments.seeds)
    here = reproduce.reproduce(card, arguments.output, arguments.rows, arguments.realdata, seeds)
    lines = reproduce.compare(card, here, arguments.all)
    print(f"\n{card.name}, {card.corpus.name}, published {card.date}: test split, all modalities\n")
    print(reproduce.format_comparison(lines))
    print(f"\n{reproduce.compare_hashes(card.corpus.to_dict(), here.corpus.to_dict())}")
    differences = reproduce.find_environment_differences(card, here)
    print(f"\nNot as when it was made: {'; '.join(differences) or 'nothing'}.\n\n{reproduce.RULE}\n")
    succeeded = reproduce.is_reproduced(card, lines)
    print(f"{card.name} is {'reproduced' if succeeded else 'NOT reproduced'}.")
    return int(not succeeded)
