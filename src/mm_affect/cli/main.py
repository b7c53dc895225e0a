# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command `mm-affect`: it finds the subcommand that was typed and imports nothing of the others.

`COMMANDS` names the module of each subcommand. That module has a function `add_<name>_arguments(parser, words)`, which also
sets the function to call.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from ..messages import did_you_mean
from ..version import __version__
from .console import print_error


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Args:
        module: Module of this package that defines it.
        help: One line for the list of commands.
    """

    module: str
    help: str


COMMANDS: dict[str, dict[str, Command]] = {  # in the order in which a user needs them
    "corpora": {
        "data sample": Command("data", "generate the synthetic sample corpus, laid out as your own would be"),
        "data check": Command("data", "print what a corpus or a folder of rows holds, or what is wrong with it"),
        "data doctor": Command("data", "print what a folder holds of a published corpus, and what is wrong with it"),
        "data show": Command("data", "print or draw one row"),
        "data statistics": Command("data", "count samples per class and correlate labels"),
    },
    "rows": {
        "extract": Command("prepare", "extract features from the clips of a corpus into rows"),
        "data align": Command("data", "align the audio and visual features of rows with their words"),
        "transcribe": Command("prepare", "transcribe a corpus with a speech recognizer"),
        "embed": Command("prepare", "add the embeddings of a model to rows, as one modality"),
        "weak-labels": Command("prepare", "add the predictions of a model to rows, as a label column"),
    },
    "training": {
        "train": Command("train", "train a config with every seed, select on validation, write results and card"),
        "pretrain": Command("train", "pretrain joint embeddings by speech recognition and person identification"),
        "compare": Command("train", "train several configs and print one table of them"),
        "grid": Command("experiments", "search hyperparameters on the validation split"),
        "benchmark": Command("experiments", "train the twelve models of Dai et al. 2021 on rows and tabulate them"),
    },
    "evaluation": {
        "evaluate": Command("inference", "measure a checkpoint on rows, for every subset of the modalities"),
        "significance": Command("experiments", "test whether one run is better than another by a paired bootstrap"),
        "cost": Command("experiments", "measure parameters, FLOPs, time and memory of every architecture"),
        "plot": Command("inference", "draw the figures of an architecture's paper from a checkpoint and rows"),
        "reproduce": Command("experiments", "train a published card again and compare the scores"),
    },
    "inference": {
        "predict": Command("inference", "predict the labels of raw clips"),
        "demo": Command("inference", "open a local page that recognizes clips and explains the result (extra: demo)"),
    },
    "publishing": {
        "card": Command("publish", "write the card and the plots of a run again, from its results.json"),
        "push": Command("publish", "upload a finished run or rows to the Hub, in one commit"),
        "export": Command("publish", "export a checkpoint as an ONNX graph"),
        "convert": Command("publish", "convert a checkpoint of the authors' public code"),
    },
    "installation": {
        "env": Command("environment", "print versions, and which optional parts work here"),
    },
}

EXAMPLES = """\
from clips to a checkpoint:
  mm-affect data sample corpus/
  mm-affect data check corpus/
  mm-affect extract corpus/ --output rows/
  mm-affect train config.json --rows rows/
  mm-affect evaluate --model runs/x --rows rows/
  mm-affect predict clip.mp4 --model runs/x
  mm-affect push runs/x org/name

A model is always --model, a folder of rows --rows, and the result --output; `mm-affect COMMAND --help` has the details.
"""


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors suggest the option that was meant, and which never takes one option for another."""

    def __init__(self, prog: str, **options: object):
        super().__init__(prog, allow_abbrev=False, **options)  # type: ignore[arg-type]  # passed through

    def parse_words(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words behind the name of the command; exits with status 2 if one of them is unknown."""
        arguments, unknown = self.parse_known_args(words)
        if unknown:
            self._reject(unknown)
        return arguments

    def _reject(self, unknown: list[str]) -> NoReturn:
        flags = [word.partition("=")[0] for word in unknown if word.startswith("--")]
        hints = "".join(did_you_mean(flag, self._option_string_actions, list_known=False) for flag in flags)
        self.error(f"unrecognized arguments: {shlex.join(unknown)}.{hints}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Expected failures print one sentence and return 1, an interruption returns 130.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        build_overview().print_help()
        return 2
    arguments = parse(argv)
    arguments.command_line = shlex.join(["mm-affect", *argv])
    try:
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print("mm-affect: interrupted; everything that was complete is kept.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print_error(error)
        return 1


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; `run` of the result is the function that executes it."""
    known = {name: command for group in COMMANDS.values() for name, command in group.items()}
    name = next((name for name in (" ".join(argv[:2]), argv[0]) if name in known), None)
    if name is None:
        _parse_overview(argv, known)
    words = list(argv[len(name.split()) :])
    parser = CommandParser(f"mm-affect {name}", description=f"{known[name].help[0].upper()}{known[name].help[1:]}.")
    module = import_module(f".{known[name].module}", __package__)
    getattr(module, f"add_{name.replace(' ', '_').replace('-', '_')}_arguments")(parser, words)
    return parser.parse_words(words)


def _parse_overview(argv: Sequence[str], known: dict[str, Command]) -> NoReturn:
    """Exit for a command line without a command: print help or version, or reject what was typed."""
    group = f"{argv[0]} "
    inner = [name.removeprefix(group) for name in known if name.startswith(group)]
    parser, words = (build_overview(argv[0]), argv[1:]) if inner else (build_overview(), argv)
    if words and not words[0].startswith("-"):
        names = inner or {name.partition(" ")[0] for name in known}
        parser.error(f"there is no command {words[0]!r}.{did_you_mean(words[0], names)}")
    parser.parse_words(words)
    parser.error("give a command.")


def build_overview(prefix: str = "") -> CommandParser:
    """Return the parser behind `mm-affect --help`, or `mm-affect data --help` with a prefix; it knows no command."""
    lines = []
    for group, commands in COMMANDS.items():
        names = [name for name in commands if name.startswith(f"{prefix} " if prefix else "")]
        if names:
            lines += [f"{group}:", *(f"  {name:16} {commands[name].help}" for name in names), ""]
    parser = CommandParser(
        f"mm-affect {prefix}".rstrip(),
        usage=f"{f'mm-affect {prefix}'.rstrip()} COMMAND ...",
        description="Recognize emotion, sentiment and sarcasm from text, audio and video.\n\n" + "\n".join(lines),
        epilog=None if prefix else EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if not prefix:
        parser.add_argument("--version", action="version", version=f"mm_affect {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
