# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect train` and `mm-affect compare`."""

import argparse
import contextlib
import shlex
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

from .console import as_json, print_error, print_scores


OVERRIDES = "Every field of a config can be overridden, e.g. --training.epochs 3 --seeds '[0]'."


def add_run_commands(commands) -> None:
    """Add the two commands to the parser of `mm-affect`."""
    train = commands.add_parser(
        "train",
        help="train, select, measure and write a card",
        allow_abbrev=False,  # a misspelt field must not pass for a longer one
        description=f"Train a run. {OVERRIDES}",
    )
    train.add_argument("config", type=Path, help="JSON file; see examples/configs")
    add_run_options(train)
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
    compare.add_argument("--output", type=Path, metavar="TABLE.md", help="write the table there, and beside it as CSV")
    add_run_options(compare)
    compare.set_defaults(run=compare_runs)


def add_run_options(parser) -> None:
    """What to do about earlier runs, and a flag for every field of a config."""
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    earlier.add_argument("--overwrite", action="store_true", help="replace an earlier run in the output folder")
    for name, kind in config_fields():
        parser.add_argument(f"--{name}", dest=f"set:{name}", metavar=kind, help=argparse.SUPPRESS)


def config_fields() -> list[tuple[str, str]]:
    """Dotted names and types of every field of a run's config."""
    from .runs import RunConfig

    found = []
    for f in fields(RunConfig):
        inner = fields(f.type) if is_dataclass(f.type) else ()
        found += [(f"{f.name}.{g.name}", str(getattr(g.type, "__name__", g.type))) for g in inner] or [
            (f.name, str(getattr(f.type, "__name__", f.type)))
        ]
    return found


def overrides_of(arguments) -> dict[str, str]:
    """The fields that were given as flags, as typed."""
    return {name[4:]: text for name, text in vars(arguments).items() if name.startswith("set:") and text is not None}


def load_run(path: Path, overrides: dict[str, str]):
    """The config in a file, with its overrides."""
    from .runs import RunConfig

    return RunConfig.load(path, {name: as_json(text) for name, text in overrides.items()})


def train_run(arguments) -> None:
    """`mm-affect train`."""
    from . import experiments
    from .results import full_subset

    config = load_run(arguments.config, overrides_of(arguments))
    results = experiments.run(config, arguments.command_line, arguments.resume, arguments.overwrite)
    print_scores({"test, " + full_subset(results): results["summary"][full_subset(results)]}, spread=True)
    for name in ("results.json", "README.md", "plots"):
        print(f"{name:13} {Path(config.output_dir) / name}")


def compare_runs(arguments) -> int:
    """`mm-affect compare`; 1 if a run could not be had, the others are compared."""
    from . import comparison, experiments
    from .results import write_atomically

    metrics = arguments.metrics and [name.strip() for name in arguments.metrics.split(",")]
    comparison.check_metrics(metrics or [])
    if arguments.output is not None and arguments.output.suffix != ".md":
        raise ValueError(f"--output is {arguments.output}; expected a file name that ends in .md.")
    overrides = overrides_of(arguments)
    flags = [word for name, text in overrides.items() for word in (f"--{name}", text)]
    paths = config_files(arguments.configs)
    configs, compared = {}, []
    for path in paths:  # all before the first is trained, which may take long
        with reported(path):
            configs[path] = load_run(path, overrides)
    check_apart(configs)
    for number, (path, config) in enumerate(configs.items(), 1):
        with reported(path):
            results = None if arguments.overwrite else experiments.finished(config)
            state = "train" if results is None else "finished before"
            print(f"{number} of {len(configs)}, {config.name}: {state}", file=sys.stderr)
            command = shlex.join(["mm-affect", "train", str(path), *flags])
            compared.append(results or experiments.run(config, command, arguments.resume, arguments.overwrite))
    if compared:
        columns = comparison.columns_of(compared, metrics, arguments.per_label)
        table = comparison.comparison_table(compared, columns)
        print(table)
        if arguments.output is not None:
            write_atomically(arguments.output, table + "\n")
            write_atomically(arguments.output.with_suffix(".csv"), comparison.comparison_csv(compared, columns))
    return int(len(compared) < len(paths))


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
def reported(path: Path):
    """Print an expected failure of this config, so that the other runs go on."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        print_error(error, f"{path}: ")
