# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect demo`."""

from pathlib import Path


def add_demo_command(commands) -> None:
    """Add the command to the parser of `mm-affect`."""
    demo = commands.add_parser("demo", help="a local page: recognise a clip, and see why (extra: demo)")
    demo.add_argument("--model", help="folder of a checkpoint, or its name on the Hub; default: demo_output/run")
    demo.add_argument(
        "--samples",
        type=Path,
        metavar="CORPUS",
        help="clips to pick from; default: demo_output/corpus, if it is there",
    )
    demo.add_argument("--port", type=int, help="default: the first that is free from 7860 on")
    demo.add_argument("--no-browser", action="store_true", help="print the address only")
    demo.set_defaults(run=demonstrate)


def demonstrate(arguments) -> None:
    """`mm-affect demo`."""
    from transformers.utils import logging

    from .demo.serve import open_demo

    logging.disable_progress_bar()
    open_demo(arguments.model, arguments.samples, arguments.port, browser=not arguments.no_browser)
