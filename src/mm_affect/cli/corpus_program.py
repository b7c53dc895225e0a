# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The program behind `datasets_scripts/<corpus>.py`: inspect a copy, build its rows with their card, push them."""

import argparse
import ast
import shlex
import sys
from pathlib import Path

from ..data.corpora.registry import find_layout, get_corpus
from ..data.dataset_card import write_dataset_card
from ..data.doctor import examine, format_report
from ..data.parallel_build import build_rows
from ..data.record import CorpusRecord
from ..preparation.publishing import VISIBILITY, push_rows


def main(corpus: str, description: str, argv: list[str] | None = None) -> int:
    """Run the program of one corpus; returns the exit code. Expected failures print one sentence and give 1."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser(corpus, description).parse_args(argv)
    arguments.corpus = corpus
    words = [Path(word).name if Path(word).is_absolute() else word for word in argv]  # the card may be published
    arguments.command_line = shlex.join(["python", f"datasets_scripts/{corpus}.py", *words])
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print(f"{corpus}: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print(f"{corpus}: {error}", file=sys.stderr)
        return 1


def _parser(corpus: str, description: str) -> argparse.ArgumentParser:
    known = get_corpus(corpus)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="<what>", required=True)
    inspect = commands.add_parser("inspect", help="what a folder holds, and what is wrong with it")
    build = commands.add_parser("build", help="write the rows as Parquet, with corpus.json and the card")
    for command in (inspect, build):
        command.add_argument("folder", type=Path, help="the folder (or file) of the copy")
        add_layout_arguments(command, tuple(known.configs))
    build.add_argument("output", type=Path, help="folder of rows to write")
    build.add_argument("--workers", type=int, default=2)
    build.add_argument("--overwrite", action="store_true", help="replace earlier rows in the output folder")
    push = commands.add_parser("push", help="upload built rows to the Hub")
    push.add_argument("folder", type=Path, help="folder of rows")
    push.add_argument("repo_id", help="organization/name")
    push.add_argument("--visibility", choices=VISIBILITY, help=f"default: {'private' if known.gated else 'public'}")
    inspect.set_defaults(run=_inspect)
    build.set_defaults(run=_build)
    push.set_defaults(run=_push)
    return parser


def add_layout_arguments(parser: argparse.ArgumentParser, configs: tuple[str, ...] | None = None) -> None:
    """`--config`, `--allow-partial` and `--option name=value`, which `copy_options` reads."""
    parser.add_argument("--config", choices=configs, help="named configuration of the corpus")
    parser.add_argument(
        "--allow-partial", action="store_true", help="go on with counts that are not the documented ones"
    )
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="option of the copy")


def layout_options(arguments: argparse.Namespace) -> dict:
    """The options of the copy that a command line gives, with `config`."""
    options = {"config": arguments.config} | ({"allow_partial": True} if arguments.allow_partial else {})
    for text in arguments.option:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"--option is {text!r}; expected name=value, such as fold=3.")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):  # a plain word
            options[name] = value
    return options


def _inspect(arguments: argparse.Namespace) -> int:
    report = examine(arguments.corpus, arguments.folder, **layout_options(arguments))
    print("\n".join(format_report(report)))
    return 1 if report.problems else 0


def _build(arguments: argparse.Namespace) -> int:
    layout = find_layout(arguments.corpus, arguments.folder, **layout_options(arguments))
    access = get_corpus(arguments.corpus).access

    def card(folder: Path, record: CorpusRecord) -> None:
        write_dataset_card(folder, record, access, arguments.command_line)

    def progress(done: int, total: int) -> None:
        print(f"\r{layout.name}: {done} of {total} parts", end="\n" if done == total else "", file=sys.stderr)

    record = build_rows(layout, arguments.output, arguments.workers, arguments.overwrite, card, progress)
    counts = ", ".join(f"{split} {count}" for split, count in record.counts.items())
    print(f"Rows: {arguments.output} ({counts}; {len(record.dropped)} left out)")
    return 0


def _push(arguments: argparse.Namespace) -> int:
    print(push_rows(arguments.folder, arguments.repo_id, arguments.corpus, arguments.visibility))
    return 0
