# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect train`, `compare` and `pretrain`."""

import argparse
import contextlib
import shlex
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .config_fields import add_config_flags, config_flag_words, read_config_flags
from .console import print_error, print_scores
from .options import add_jobs_option, add_resume_options, add_table_option, check_table_name


if TYPE_CHECKING:
    from ..evaluation.comparison import TableLayout
    from ..evaluation.results import Results
    from ..training.config import RunConfig


Failures = dict[str, Exception]


def add_run_config_flags(
    parser: argparse.ArgumentParser, words: list[str], without: Collection[str] = (), config: str | None = "config"
) -> None:
    """Add the positional config file (unless `config` is None) and a flag for every field of a run's config."""
    from ..training.config import RunConfig

    if config is not None:
        parser.add_argument(config, type=Path, help="JSON file; see examples/configs")
    add_config_flags(parser, RunConfig, without, words)


# train ------------------------------------------------------------------------------------------------------------


def add_train_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect train`."""
    add_resume_options(parser)
    add_jobs_option(parser)
    add_run_config_flags(parser, words)
    parser.set_defaults(run=train_run)


def train_run(arguments: argparse.Namespace) -> None:
    """Train the seeds of a config, measure them, write results and card."""
    from ..training.config import RunConfig
    from ..training.run import run

    config = RunConfig.load(arguments.config, read_config_flags(arguments, RunConfig))
    results = run(config, arguments.command_line, arguments.resume, arguments.overwrite, arguments.jobs)
    print_scores({"test, " + results.full_subset: results.summary[results.full_subset]}, with_std=True)
    for name in ("results.json", "README.md", "plots"):
        print(f"{name:13} {Path(config.output) / name}")


# compare ----------------------------------------------------------------------------------------------------------


def add_compare_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect compare`."""
    parser.add_argument("configs", nargs="+", type=Path, metavar="config", help="JSON files, or folders of them")
    parser.add_argument("--metrics", metavar="A,B,...", help="columns; default: those usual for the first task")
    parser.add_argument("--per-label", action="store_true", help="add the metrics of every label")
    parser.add_argument(
        "--best",
        action="store_true",
        help="scores of the seed with the best validation score, with 95 %% intervals; default: mean ± std over the seeds",
    )
    parser.add_argument(
        "--subsets",
        metavar="A,B,...",
        help="scores with only these modalities at test time, such as audio,audio+visual; default: all",
    )
    parser.add_argument(
        "--renormalize",
        action="store_true",
        help="add a line for models that weigh modalities, with the weights of absent ones given to the others",
    )
    add_table_option(parser, help="write the table to this file, and as CSV beside it")
    add_resume_options(parser)
    add_jobs_option(parser)
    add_run_config_flags(parser, words, without=("name", "output"), config=None)
    parser.set_defaults(run=compare_runs)


def compare_runs(arguments: argparse.Namespace) -> int:
    """Train every run that is not finished and print one table; returns 1 if a run failed."""
    from ..evaluation import comparison
    from ..training.config import RunConfig

    metrics = arguments.metrics and [name.strip() for name in arguments.metrics.split(",")]
    comparison.check_metrics(metrics or [])
    subsets = comparison.parse_subsets(arguments.subsets)
    check_table_name(arguments.output)
    overrides = read_config_flags(arguments, RunConfig)
    configs: dict[str, RunConfig] = {}
    failures: Failures = {}
    for path in list_config_files(arguments.configs):  # all of them before the first is trained, which may take long
        with report_failure(str(path), failures):
            configs[str(path)] = RunConfig.load(path, overrides)
    check_output_folders(configs)
    flags = config_flag_words(arguments)
    commands = {path: shlex.join(["mm-affect", "train", path, *flags]) for path in configs}
    compared = train_all(configs, commands, failures, arguments.resume, arguments.overwrite, arguments.jobs)
    if compared:
        columns = comparison.select_columns(compared, metrics, arguments.per_label)
        _print_comparison(compared, comparison.TableLayout(columns, subsets, arguments.best), arguments, failures)
    return int(bool(failures))


def _print_comparison(
    compared: list["Results"], layout: "TableLayout", arguments: argparse.Namespace, failures: Failures
) -> None:
    from ..evaluation import comparison
    from ..files import write_atomically

    if arguments.renormalize:
        compared = [line for results in compared for line in add_renormalized(results, failures)]
    table = comparison.make_comparison_table(compared, layout)
    print(table)
    if arguments.output is not None:
        write_atomically(arguments.output, table + "\n")
        write_atomically(arguments.output.with_suffix(".csv"), comparison.make_comparison_csv(compared, layout))


def train_all(
    configs: dict[str, "RunConfig"],
    commands: dict[str, str],
    failures: Failures,
    resume: bool,
    overwrite: bool,
    jobs: int,
) -> list["Results"]:
    """Return the results of every run, trained unless it is finished; `failures` gets the errors of those without."""
    from ..training.run import run
    from ..training.run_output import read_finished

    compared = []
    for number, (name, config) in enumerate(configs.items(), 1):
        with report_failure(name, failures):
            results = None if overwrite else read_finished(config)
            state = "train" if results is None else "already finished"
            print(f"{number} of {len(configs)}, {config.name}: {state}", file=sys.stderr)
            compared.append(results or run(config, commands[name], resume, overwrite, jobs))
    return compared


def add_renormalized(results: "Results", failures: Failures) -> list["Results"]:
    """Return the results and, if the model weighs modalities, those with re-normalized weights."""
    from ..experiments.renormalized import renormalize

    with report_failure(results.name, failures):
        return [results, renormalize(results)]
    return [results]


def list_config_files(paths: list[Path]) -> list[Path]:
    """Return these files, and those of these folders in alphabetical order, each once."""
    unique: dict[Path, None] = {}
    for path in paths:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path} holds no configs (*.json); give a folder that does, or config files.")
        unique |= dict.fromkeys(files)
    return list(unique)


def check_output_folders(configs: dict[str, "RunConfig"]) -> None:
    """Raise `ValueError` if two runs would write to the same folder."""
    owners: dict[Path, str] = {}
    for path, config in configs.items():
        folder = Path(config.output).resolve()
        if folder in owners:
            raise ValueError(f"{owners[folder]} and {path} both write to {config.output}; give each its own folder.")
        owners[folder] = path


@contextlib.contextmanager
def report_failure(name: str, failures: Failures) -> Iterator[None]:
    """Print and keep an expected failure, so that the other runs continue."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        print_error(error, f"{name}: ")
        failures[name] = error


# pretrain ---------------------------------------------------------------------------------------------------------


def add_pretrain_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect pretrain`."""
    from ..training.pretraining.options import PretrainingOptions

    parser.add_argument("config", type=Path, help="JSON file; see examples/configs/pretrain_sample.json")
    add_resume_options(parser)
    parser.add_argument("--report-to", metavar="NAME", help="a tracker of Accelerate, such as tensorboard or wandb")
    add_config_flags(parser, PretrainingOptions, words=words)
    parser.set_defaults(run=pretrain_model)


def pretrain_model(arguments: argparse.Namespace) -> int:
    """Pretrain joint embeddings; returns 130 if the run was interrupted, and can be resumed."""
    from ..training.pretraining.options import PretrainingOptions
    from ..training.pretraining.run import run_pretraining

    options = PretrainingOptions.load(arguments.config, read_config_flags(arguments, PretrainingOptions))
    return run_pretraining(options, arguments.resume, arguments.overwrite, arguments.report_to)
