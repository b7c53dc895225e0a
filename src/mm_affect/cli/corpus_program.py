# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The program behind `datasets_scripts/<corpus>.py`: inspect the files of a corpus, build its rows with their card, push them."""

import argparse
import shlex
import sys
from pathlib import Path

from ..data.corpora.registry import find_layout, get_corpus
from ..data.dataset_card import write_dataset_card
from ..data.doctor import examine, format_report
from ..data.parallel_build import build_rows
from ..data.record import CorpusRecord
from ..preparation.publishing import VISIBILITY, push_rows
from .console import format_counts, shard_progress
from .options import (
    add_layout_options,
    add_output_option,
    add_overwrite_option,
    add_workers_option,
    read_layout_options,
)


def main(corpus: str, description: str, argv: list[str] | None = None) -> int:
    """Run the program of one corpus and return its exit code; expected failures print one sentence and return 1."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _make_parser(corpus, description).parse_args(argv)
    arguments.corpus = corpus
    words = [Path(word).name if Path(word).is_absolute() else word for word in argv]  # the card may be published
    arguments.command_line = shlex.join(["python", f"datasets_scripts/{corpus}.py", *words])
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print(f"{corpus}: interrupted; the same command continues from here.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print(f"{corpus}: {error}", file=sys.stderr)
        return 1


def _make_parser(corpus: str, description: str) -> argparse.ArgumentParser:
    known = get_corpus(corpus)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    inspect = commands.add_parser("inspect", help="print what a folder holds, and what is wrong with it")
    build = commands.add_parser("build", help="write the rows as Parquet, with corpus.json and the card")
    for command in (inspect, build):
        command.add_argument("folder", type=Path, help="folder (or file) of the corpus")
        add_layout_options(command, tuple(known.configs))
    add_output_option(build, "folder of rows to write")
    add_workers_option(build)
    add_overwrite_option(build)
    push = commands.add_parser("push", help="upload built rows to the Hub")
    push.add_argument("folder", type=Path, help="folder of rows")
    push.add_argument("repo_id", metavar="ORG/NAME", help="repository; created if it does not exist")
    push.add_argument("--visibility", choices=VISIBILITY, help=f"default: {'private' if known.gated else 'public'}")
    inspect.set_defaults(run=_inspect)
    build.set_defaults(run=_build)
    push.set_defaults(run=_push)
    return parser


def _inspect(arguments: argparse.Namespace) -> int:
    report = examine(arguments.corpus, arguments.folder, **read_layout_options(arguments))
    print("\n".join(format_report(report)))
    return 1 if report.problems else 0


def _build(arguments: argparse.Namespace) -> int:
    layout = find_layout(arguments.corpus, arguments.folder, **read_layout_options(arguments))
    access = get_corpus(arguments.corpus).access

    def card(folder: Path, record: CorpusRecord) -> None:
        write_dataset_card(folder, record, access, arguments.command_line)

    progress = shard_progress(layout.name, "parts")
    record = build_rows(layout, arguments.output, arguments.workers, arguments.overwrite, card, progress)
    print(f"Rows: {arguments.output} ({format_counts(record.counts)}; {len(record.dropped)} left out)")
    return 0


def _push(arguments: argparse.Namespace) -> int:
    print(push_rows(arguments.folder, arguments.repo_id, arguments.corpus, arguments.visibility))
    return 0
