# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect push`: a finished run, or a folder of rows, to the Hub."""

from pathlib import Path


def add_hub_commands(commands) -> None:
    """Add the command to the parser of `mm-affect`."""
    push = commands.add_parser("push", help="upload a finished run, or rows, to the Hub, in one commit")
    push.add_argument("folder", type=Path, help="output folder of a run, or folder of rows")
    push.add_argument("repo_id", metavar="NAME", help="organisation/name; made if it does not exist")
    push.add_argument("--private", action="store_true", help="only you and your organisation can read it")
    push.add_argument("--revision", metavar="BRANCH", help="made if it does not exist; default: main")
    push.add_argument("--with-code", action="store_true", help="with the model's code, for those without mm_affect")
    push.set_defaults(run=push_folder)


def push_folder(arguments) -> None:
    """`mm-affect push`; a folder with a corpus.json and no results holds rows."""
    from .data.publish import push_rows
    from .hub import push

    folder = arguments.folder
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the output folder of a finished run, or one of rows.")
    if (folder / "corpus.json").is_file() and not (folder / "results.json").is_file():
        if arguments.with_code:
            raise ValueError(f"{folder} holds rows, which have no code; leave --with-code out.")
        visibility = "private" if arguments.private else None  # else as the licence of its corpus has it
        print(push_rows(folder, arguments.repo_id, visibility=visibility, revision=arguments.revision))
    else:
        print(push(folder, arguments.repo_id, arguments.private, arguments.revision, arguments.with_code))
