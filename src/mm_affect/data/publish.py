# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The program behind `datasets_scripts/<corpus>.py`: inspect a copy, build its rows with their card, push them."""

import argparse
import ast
import shlex
import sys
from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import HfApi

from ..hub import upload
from .corpora import CORPORA, find_copy, get_corpus
from .dataset_card import write_dataset_card
from .doctor import examine, in_words
from .rows import read_corpus
from .shards import build_rows


VISIBILITY = ("private", "gated", "public")
PUBLISHED = ["*.parquet", "corpus.json", "README.md", "processor_config.json", "word_vectors.*"]


def push_rows(
    folder: str | Path,
    repo_id: str,
    corpus: str | None = None,
    visibility: str | None = None,
    revision: str | None = None,
    api: HfApi | None = None,
) -> str:
    """Upload a folder of rows to the data set `repo_id`, with its card, in one commit; returns the commit's address.

    `corpus` is by default the published one whose name the rows carry, if any. `visibility` is by default `private` where
    the licence of the corpus asks for it, or where the rows are of no published corpus, else `public`; `gated` shows the
    card to everyone and the rows to whom you grant it. Raises `ValueError` if a protected corpus is to be public, if the
    rows are those of another corpus, or if they name media files of this machine instead of holding features; and what
    `hub.upload` raises.
    """
    folder = Path(folder)
    record = read_corpus(folder)
    owner = {other.title: name for name, other in CORPORA.items()}.get(record["name"], corpus)
    known = None if (corpus or owner) is None else get_corpus(corpus or owner)
    visibility = visibility or ("public" if known and not known.gated else "private")
    if visibility not in VISIBILITY:
        raise ValueError(f"`visibility` is {visibility!r}; expected one of {', '.join(VISIBILITY)}.")
    if known and known.gated and visibility == "public":
        raise ValueError(
            f"{known.title} may not be given to everyone ({known.licence}); push it as private, or as gated."
        )
    if corpus is not None and owner != corpus:
        raise ValueError(f"{folder} holds rows of {record['name']}; push them with datasets_scripts/{owner}.py.")
    for path in sorted(folder.glob("*.parquet")):
        for column in pq.read_table(path, columns=["audio_file", "video_file"]).columns:
            if column.null_count < len(column):
                raise ValueError(
                    f"{path} names media files, which stay on this machine; extract features with `mm-affect extract` "
                    "and push those."
                )
    if not (folder / "README.md").is_file():  # as after `mm-affect extract`
        write_dataset_card(folder, record, known.access if known else "")
    return upload(
        folder,
        PUBLISHED,
        repo_id,
        {"corpus.json": "label_fields"},
        repo_type="dataset",
        private=visibility == "private",
        gated=visibility == "gated",
        revision=revision,
        api=api,
    )


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
        add_copy_arguments(command, tuple(known.configs))
    build.add_argument("output", type=Path, help="folder of rows to write")
    build.add_argument("--workers", type=int, default=2)
    build.add_argument("--overwrite", action="store_true", help="replace earlier rows in the output folder")
    push = commands.add_parser("push", help="upload built rows to the Hub")
    push.add_argument("folder", type=Path, help="folder of rows")
    push.add_argument("repo_id", help="organisation/name")
    push.add_argument("--visibility", choices=VISIBILITY, help=f"default: {'private' if known.gated else 'public'}")
    inspect.set_defaults(run=_inspect)
    build.set_defaults(run=_build)
    push.set_defaults(run=_push)
    return parser


def add_copy_arguments(parser: argparse.ArgumentParser, configs: tuple[str, ...] | None = None) -> None:
    """`--config`, `--allow-partial` and `--option name=value`, which `copy_options` reads."""
    parser.add_argument("--config", choices=configs, help="named configuration of the corpus")
    parser.add_argument(
        "--allow-partial", action="store_true", help="go on with counts that are not the documented ones"
    )
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="option of the copy")


def copy_options(arguments: argparse.Namespace) -> dict:
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
    report = examine(arguments.corpus, arguments.folder, **copy_options(arguments))
    print("\n".join(in_words(report)))
    return 1 if report["problems"] else 0


def _build(arguments: argparse.Namespace) -> int:
    copy = find_copy(arguments.corpus, arguments.folder, **copy_options(arguments))
    access = get_corpus(arguments.corpus).access

    def card(folder: Path, record: dict) -> None:
        write_dataset_card(folder, record, access, arguments.command_line)

    def progress(done: int, total: int) -> None:
        print(f"\r{copy.name}: {done} of {total} parts", end="\n" if done == total else "", file=sys.stderr)

    record = build_rows(copy, arguments.output, arguments.workers, arguments.overwrite, card, progress)
    counts = ", ".join(f"{split} {count}" for split, count in record["counts"].items())
    print(f"Rows: {arguments.output} ({counts}; {len(record['dropped'])} left out)")
    return 0


def _push(arguments: argparse.Namespace) -> int:
    print(push_rows(arguments.folder, arguments.repo_id, arguments.corpus, arguments.visibility))
    return 0
