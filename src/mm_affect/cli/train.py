# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect train`, `mm-affect compare` and `mm-affect bench`."""

import argparse
import contextlib
import shlex
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

from ..files import as_json
from .console import print_error, print_scores


OVERRIDES = "Every field of a config can be overridden, e.g. --training.epochs 3 --seeds '[0]'."


def add_run_commands(commands) -> None:
    """Add these commands to the parser of `mm-affect`."""
    train = commands.add_parser(
        "train",
        help="train, select, measure and write a card",
        allow_abbrev=False,  # a misspelled field must not pass for a longer one
        description=f"Train a run. {OVERRIDES}",
    )
    train.add_argument("config", type=Path, help="JSON file; see examples/configs")
    add_earlier_options(train)
    add_training_options(train)
    train.set_defaults(run=train_run)

    compare = commands.add_parser(
        "compare",
        help="train several runs and print one table",
        allow_abbrev=False,
        description=f"Train every run that is not finished yet, then print one table of all. {OVERRIDES}",
    )
    compare.add_argument("configs", nargs="+", type=Path, metavar="config", help="JSON files, or folders of them")
    compare.add_argument("--metrics", metavar="A,B,...", help="columns; default: those usual for the first task")
    compare.add_argument("--per-label", action="store_true", help="also the metrics of every label")
    best_help = (
        "scores of the seed that validation preferred, with 95 %% intervals; default: mean ± std over the seeds"
    )
    compare.add_argument("--best", action="store_true", help=best_help)
    subsets_help = "given only these modalities at test time, such as audio,audio+visual; default: all"
    compare.add_argument("--subsets", metavar="A,B,...", help=subsets_help)
    again_help = "a second line for models that weigh modalities: weights of absent ones given to the others"
    compare.add_argument("--renormalize", action="store_true", help=again_help)
    compare.add_argument("--output", type=Path, metavar="TABLE.md", help="write the table there, and beside it as CSV")
    add_earlier_options(compare)
    add_training_options(compare)
    compare.set_defaults(run=compare_runs)


def add_earlier_options(parser) -> None:
    """What to do about earlier runs."""
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    earlier.add_argument("--overwrite", action="store_true", help="replace an earlier run in the output folder")


def add_training_options(parser, without: tuple[str, ...] = ()) -> None:
    """How many trainings run at a time, and a flag for every field of a config but those `without` one."""
    jobs_help = "trainings at a time, each in a process of its own; pays if one takes minutes; default: 1"
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help=jobs_help)
    names = {name: kind for name, kind in config_fields() if name not in without}
    for name, kind in names.items():
        parser.add_argument(f"--{name}", dest=f"set:{name}", metavar=kind, help=argparse.SUPPRESS)
    parser.epilog = f"Fields of a config: {', '.join(names)}."


def config_fields(kind: type | None = None) -> list[tuple[str, str]]:
    """Dotted names and types of every field of a run's config, and of the parts within it."""
    from ..training.config import RunConfig

    found = []
    for f in fields(kind or RunConfig):
        inner = config_fields(f.type) if is_dataclass(f.type) else []
        found += [(f"{f.name}.{name}", of) for name, of in inner] or [
            (f.name, str(getattr(f.type, "__name__", f.type)))
        ]
    return found


def overrides_of(arguments) -> dict[str, str]:
    """The fields that were given as flags, as typed."""
    return {name[4:]: text for name, text in vars(arguments).items() if name.startswith("set:") and text is not None}


def load_run(path: Path, overrides: dict[str, str]):
    """The config in a file, with its overrides."""
    from ..training.config import RunConfig

    return RunConfig.load(path, {name: as_json(text) for name, text in overrides.items()})


def train_run(arguments) -> None:
    """`mm-affect train`."""
    from ..training import run as experiments

    config = load_run(arguments.config, overrides_of(arguments))
    results = experiments.run(config, arguments.command_line, arguments.resume, arguments.overwrite, arguments.jobs)
    print_scores({"test, " + results.full_subset: results.summary[results.full_subset]}, spread=True)
    for name in ("results.json", "README.md", "plots"):
        print(f"{name:13} {Path(config.output_dir) / name}")


def compare_runs(arguments) -> int:
    """`mm-affect compare`; 1 if a run could not be had, the others are compared."""
    from ..evaluation import comparison
    from ..files import write_atomically

    metrics = arguments.metrics and [name.strip() for name in arguments.metrics.split(",")]
    comparison.check_metrics(metrics or [])
    subsets = comparison.parse_subsets(arguments.subsets)
    if arguments.output is not None and arguments.output.suffix != ".md":
        raise ValueError(f"--output is {arguments.output}; expected a file name that ends in .md.")
    overrides = overrides_of(arguments)
    flags = [word for name, text in overrides.items() for word in (f"--{name}", text)]
    paths = config_files(arguments.configs)
    configs, failures = {}, {}
    for path in paths:  # all before the first is trained, which may take long
        with reported(path, failures):
            configs[path] = load_run(path, overrides)
    check_apart(configs)
    commands = {path: shlex.join(["mm-affect", "train", str(path), *flags]) for path in configs}
    compared = train_all(configs, commands, failures, arguments.resume, arguments.overwrite, arguments.jobs)
    if compared:
        shown = comparison.TableLayout(
            comparison.select_columns(compared, metrics, arguments.per_label), subsets, arguments.best
        )
        if arguments.renormalize:
            compared = [line for results in compared for line in with_renormalized(results, failures)]
        table = comparison.make_comparison_table(compared, shown)
        print(table)
        if arguments.output is not None:
            write_atomically(arguments.output, table + "\n")
            write_atomically(arguments.output.with_suffix(".csv"), comparison.make_comparison_csv(compared, shown))
    return int(bool(failures))


def train_all(configs: dict, commands: dict, failures: dict, resume: bool, overwrite: bool, jobs: int) -> list[dict]:
    """The results of every run, trained unless it was finished before; `failures` gets the reasons why some have none."""
    from ..training import run as experiments

    compared = []
    for number, (name, config) in enumerate(configs.items(), 1):
        with reported(name, failures):
            results = None if overwrite else experiments.read_finished(config)
            state = "train" if results is None else "finished before"
            print(f"{number} of {len(configs)}, {config.name}: {state}", file=sys.stderr)
            compared.append(results or experiments.run(config, commands[name], resume, overwrite, jobs))
    return compared


def with_renormalized(results: dict, failures: dict) -> list[dict]:
    """The results and, if they can be had, those with re-normalized weights of modalities."""
    from ..experiments.renormalized import renormalized

    with reported(results.name, failures):
        return [results, renormalized(results)]
    return [results]


def config_files(given: list[Path]) -> list[Path]:
    """These files, and those of these folders in alphabetical order; none twice."""
    found = {}
    for path in given:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path} holds no configs (*.json); give a folder that does, or config files.")
        found |= dict.fromkeys(files)
    return list(found)


def check_apart(configs: dict) -> None:
    """Refuse runs that would write to the same folder."""
    owners = {}
    for path, config in configs.items():
        folder = Path(config.output_dir).resolve()
        if folder in owners:
            raise ValueError(
                f"{owners[folder]} and {path} both write to {config.output_dir}; give each its own folder."
            )
        owners[folder] = path


@contextlib.contextmanager
def reported(name: str | Path, failures: dict):
    """Print and keep an expected failure of what has this name, so that the others go on."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        print_error(error, f"{name}: ")
        failures[name] = error
