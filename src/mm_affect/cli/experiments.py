# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect grid`, `mm-affect benchmark` and `mm-affect significance`: many runs, and what they tell together."""

import json
import shlex
import sys
from pathlib import Path

from ..files import as_json
from .train import OVERRIDES, add_training_options, overrides_of, reported, train_all


SET_BY_THE_BENCHMARK = ("name", "rows", "output_dir", "architecture", "preset", "model", "tasks")


def add_study_commands(commands) -> None:
    """Add the three commands to the parser of `mm-affect`."""
    grid = commands.add_parser(
        "grid",
        help="search hyper-parameters, on validation alone",
        allow_abbrev=False,
        description=f"Train every point of a grid that is not finished yet, and score it on validation. {OVERRIDES}",
    )
    grid.add_argument("config", type=Path, help="JSON file; see examples/configs")
    axis_help = "such as training.learning_rate=1e-3,5e-4 training.batch_size=16,32; default: that of Dai et al. 2021"
    grid.add_argument("--grid", nargs="+", metavar="FIELD=A,B,...", help=axis_help)
    grid.add_argument("--output", type=Path, required=True, help="folder of grid.csv and of what was trained")
    grid.add_argument("--overwrite", action="store_true", help="train finished points again")
    add_training_options(grid, without=("name", "output_dir"))
    grid.set_defaults(run=search_grid)

    benchmark = commands.add_parser(
        "benchmark",
        help="train the twelve models of Dai et al. 2021 on rows, and tables of them",
        allow_abbrev=False,
        description=f"Train every model and seed that is not finished yet, and write tables of all. {OVERRIDES}",
    )
    benchmark.add_argument("rows", type=Path, help="folder of rows")
    benchmark.add_argument("--output", type=Path, required=True, help="folder of the runs, tables and figure")
    benchmark.add_argument("--models", metavar="A,B,...", help="some of them; default: all twelve")
    benchmark.add_argument(
        "--corpus", help="whose settings: cmu_mosei or iemocap; default: that of the rows, or cmu_mosei"
    )
    benchmark.add_argument(
        "--task", default="emotion", help="label column that they are measured by; default: emotion"
    )
    vectors_help = "word vectors of the labels for EMO-EMB, in GloVe's format: those that the rows were made with"
    benchmark.add_argument("--label-vectors", type=Path, metavar="FILE", help=vectors_help)
    benchmark.add_argument("--overwrite", action="store_true", help="train finished models again")
    add_training_options(benchmark, without=SET_BY_THE_BENCHMARK)
    benchmark.set_defaults(run=benchmark_models)

    bench = commands.add_parser(
        "bench",
        help="what every architecture costs on a corpus, beside what finished runs score",
        description="Measure parameters, FLOPs, times and memory of every architecture on one corpus, each in its paper's "
        "setting or, where finished runs are given, in theirs; print a table, and draw score against parameters.",
    )
    bench.add_argument("--rows", type=Path, required=True, help="folder of rows")
    bench.add_argument("--architectures", nargs="+", metavar="A", help="only these, such as tailor mfn")
    bench.add_argument("--results", nargs="+", type=Path, default=[], metavar="RUN", help="output folders of runs")
    bench.add_argument("--metric", metavar="TASK.METRIC", help="of the scores; default: that of the first task")
    bench.add_argument("--batch-size", type=int, default=32)
    bench.add_argument("--rounds", type=int, default=3, help="measurements, of which the median counts; default: 3")
    bench.add_argument(
        "--output", type=Path, default=Path("bench"), help="folder for tables and figure; default: bench"
    )
    bench.set_defaults(run=bench_architectures)

    significance = commands.add_parser("significance", help="is one run better than another? paired bootstrap")
    significance.add_argument("one", type=Path, help="folder of a finished run")
    significance.add_argument("other", type=Path, help="folder of another one, on the same test rows and seeds")
    metric_help = "such as emotion.wacc, or emotion.wacc.happy; default: the primary metric of the first task"
    significance.add_argument("--metric", help=metric_help)
    significance.add_argument("--resamples", type=int, default=10_000, metavar="N")
    significance.add_argument("--seed", type=int, default=0, help="of the resampling")
    significance.add_argument("--json", action="store_true")
    significance.set_defaults(run=compare_two)


def search_grid(arguments) -> int:
    """`mm-affect grid`; 1 if a point failed."""
    from ..experiments.grid_search import PAPER_GRID, run_grid, write_grid
    from ..training.config import RunConfig

    overrides = {name: as_json(text) for name, text in overrides_of(arguments).items()}
    found = run_grid(
        lambda fields: RunConfig.load(arguments.config, overrides | fields),
        arguments.grid or PAPER_GRID,
        arguments.output,
        arguments.jobs,
        arguments.overwrite,
    )
    table, best = write_grid(arguments.output, *found)
    print(table)
    for point in found[-1]:
        if point.failure:
            print(f"Failed: {point.config.output_dir}: {point.failure}")
    if best is not None:
        flags = [word for name, value in best.fields.items() for word in (f"--{name}", json.dumps(value))]
        given = [word for name, text in overrides_of(arguments).items() for word in (f"--{name}", text)]
        print("The best point: " + shlex.join(["mm-affect", "train", str(arguments.config), *given, *flags]))
    return int(any(point.failure for point in found[-1]))


def benchmark_models(arguments) -> int:
    """`mm-affect benchmark`; 1 if a model could not be measured, the others are."""
    from ..data import read_corpus
    from ..evaluation.comparison import TableLayout, make_comparison_csv
    from ..evaluation.plots import plot_models
    from ..experiments.backbone_benchmark import (
        BACKBONES,
        CORPORA,
        benchmark_config,
        benchmark_task,
        format_tables,
        score_columns,
    )
    from ..files import write_atomically
    from ..messages import did_you_mean

    corpus = read_corpus(arguments.rows)
    settings = arguments.corpus or (corpus.name if corpus.name in CORPORA else CORPORA[0])
    names = [name.strip() for name in arguments.models.split(",")] if arguments.models else list(BACKBONES)
    for name, known in ((settings, CORPORA), *((name, BACKBONES) for name in names)):
        if name not in known:
            raise ValueError(f"There are no settings for {name!r}.{did_you_mean(name, known)}")
    task = benchmark_task(corpus.label_fields, arguments.task)
    overrides = {name: as_json(text) for name, text in overrides_of(arguments).items()}
    configs, failures = {}, {}
    for name in dict.fromkeys(names):
        vectors = {"model.label_vectors": str(arguments.label_vectors)} if arguments.label_vectors else {}
        given = overrides | (vectors if name == "EMO-EMB" else {})
        configs[name] = benchmark_config(name, arguments.rows, arguments.output, task, settings, given)
    commands = dict.fromkeys(configs, arguments.command_line)
    measured = train_all(configs, commands, failures, not arguments.overwrite, arguments.overwrite, arguments.jobs)
    if measured:
        reasons = {name: " ".join(str(error).split()) for name, error in failures.items()}
        columns = [key for block in score_columns(measured).values() for key in block.values()]
        table = format_tables(measured, reasons)
        print(table, end="")
        write_atomically(arguments.output / "benchmark.md", table)
        write_atomically(arguments.output / "benchmark.tex", format_tables(measured, reasons, latex=True))
        write_atomically(arguments.output / "benchmark.csv", make_comparison_csv(measured, TableLayout(columns)))
        with reported("scores.png", failures):
            plot_models(measured, score_columns(measured), arguments.output / "scores.png")
    return int(bool(failures))


def compare_two(arguments) -> None:
    """`mm-affect significance`."""
    from ..evaluation.significance import compare

    found = compare(arguments.one, arguments.other, arguments.metric, arguments.resamples, arguments.seed)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    seeds = f"{found['seeds']} seeds each" if found["seeds"] > 1 else "one seed each, which says nothing of others"
    print(f"{found['metric']} on {found['samples']} test rows, {seeds}")
    for folder, score in zip((arguments.one, arguments.other), found["scores"], strict=True):
        print(f"  {score:.4f}  {folder}")
    low, high = found["interval"]
    print(f"  {found['difference']:+.4f}  difference, 95 % interval {low:+.4f} to {high:+.4f}, p = {found['p']:.4f}")


def bench_architectures(arguments) -> int:
    """`mm-affect bench`; 1 if nothing could be measured."""
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


def reproduce_card(arguments) -> int:
    """`mm-affect reproduce`; 1 if a primary metric is not reproduced."""
    from ..experiments import reproduce

    card, seeds = reproduce.read_card_results(arguments.card), seeds_of(arguments.seeds)
    here = reproduce.reproduce(card, arguments.output, arguments.rows, arguments.realdata, seeds)
    lines = reproduce.compare(card, here, arguments.all)
    print(f"\n{card.name}, {card.corpus.name}, published {card.date}: test split, all modalities\n")
    print(reproduce.format_comparison(lines))
    print(f"\n{reproduce.compare_hashes(card.corpus.to_dict(), here.corpus.to_dict())}")
    differing = reproduce.find_environment_differences(card, here)
    print(f"\nNot as when it was made: {'; '.join(differing) or 'nothing'}.\n\n{reproduce.RULE}\n")
    succeeded = reproduce.is_reproduced(card, lines)
    print(f"{card.name} is {'reproduced' if succeeded else 'NOT reproduced'}.")
    return int(not succeeded)


def seeds_of(text: str | None) -> list[int] | None:
    """Seeds as typed: a number, several after commas, or a JSON list."""
    if text is None:
        return None
    seeds = as_json(text if text.lstrip().startswith("[") else f"[{text}]")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ValueError(f"--seeds is {text}; expected whole numbers from 0, such as 0,1.")
    return seeds
