# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Options that several commands share: the same name, default and help everywhere."""

import argparse
import ast
import json
from pathlib import Path
from typing import Any


CHECKPOINT_HELP = "folder of a checkpoint, or its name on the Hub"


def add_model_option(parser: argparse.ArgumentParser, help: str = CHECKPOINT_HELP, required: bool = True) -> None:
    """Add `--model`, a checkpoint."""
    parser.add_argument("--model", required=required, metavar="MODEL", help=help)


def add_rows_option(parser: argparse.ArgumentParser, help: str = "folder of rows") -> None:
    """Add `--rows`, the folder of rows that a command reads."""
    parser.add_argument("--rows", type=Path, required=True, metavar="FOLDER", help=help)


def add_output_option(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--output`, the result of a command."""
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help=help)


def add_table_option(parser: argparse.ArgumentParser, help: str) -> None:
    """Add an optional `--output`, a Markdown file."""
    parser.add_argument("--output", type=Path, metavar="TABLE.md", help=help)


def check_table_name(path: Path | None) -> None:
    """Raise `ValueError` unless the value of `add_table_option` is None or names a Markdown file."""
    if path is not None and path.suffix != ".md":
        raise ValueError(f"--output is {path}; expected a file name that ends in .md.")


def add_overwrite_option(parser: Any, help: str = "replace earlier output") -> None:
    """Add `--overwrite` to a parser, or to a group of it."""
    parser.add_argument("--overwrite", action="store_true", help=help)


def add_resume_options(parser: argparse.ArgumentParser) -> None:
    """Add `--resume` and `--overwrite`, which exclude each other."""
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="continue an interrupted run")
    add_overwrite_option(earlier)


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def add_split_option(parser: argparse.ArgumentParser) -> None:
    """Add `--split`."""
    splits = ("train", "validation", "test")
    parser.add_argument("--split", default="test", choices=splits, help="split of the rows; default: test")


def add_seed_option(parser: argparse.ArgumentParser) -> None:
    """Add `--seed`, of a command that draws random numbers but trains nothing."""
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the random numbers; default: 0")


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """Add `--workers`."""
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="parallel processes; default: 2")


def add_jobs_option(parser: argparse.ArgumentParser) -> None:
    """Add `--jobs`."""
    text = "trainings at a time, each in its own process; worthwhile if one takes minutes; default: 1"
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help=text)


def add_modalities_option(parser: argparse.ArgumentParser) -> None:
    """Add `--modalities`, what a checkpoint reads."""
    text = "read only these: text, audio, visual; default: all"
    parser.add_argument("--modalities", nargs="+", metavar="M", help=text)


def add_layout_options(parser: argparse.ArgumentParser, configs: tuple[str, ...] | None = None) -> None:
    """Add `--config`, `--allow-partial` and `--option NAME=VALUE`, which `read_layout_options` reads."""
    parser.add_argument("--config", choices=configs, help="named configuration of the corpus")
    parser.add_argument(
        "--allow-partial", action="store_true", help="accept counts that differ from the documented ones"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="option of the layout, such as fold=3"
    )


def read_layout_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a layout from the command line, with `config`."""
    options: dict[str, Any] = {"config": arguments.config}
    if arguments.allow_partial:
        options["allow_partial"] = True
    for text in arguments.option:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"--option is {text!r}; expected name=value, such as fold=3.")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):  # plain text
            options[name] = value
    return options


def parse_seeds(text: str | None) -> list[int] | None:
    """Return the seeds in `"0"`, `"0,1"` or `"[0, 1]"`; None for None."""
    if text is None:
        return None
    try:
        seeds = json.loads(text if text.lstrip().startswith("[") else f"[{text}]")
    except json.JSONDecodeError:
        seeds = None
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ValueError(f"--seeds is {text}; expected whole numbers from 0, such as 0,1.")
    return seeds
