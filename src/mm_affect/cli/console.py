# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What commands share in reading and printing: values as typed, errors as one sentence, scores as a table."""

import sys

from ..evaluation.results import format_score


def print_error(error: Exception, about: str = "") -> None:
    """One line on stderr, after what it is about; what the operating system says is completed to a sentence."""
    sentence = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f" at {error.filename}" if error.filename else ""
        sentence = (
            f"The system reports {error.strerror!r}{where}; what was complete before is kept: put that right, then "
            "run the command again."
        )
    print(f"mm-affect: {about}{' '.join(sentence.split())}", file=sys.stderr)


def print_scores(subsets: dict, spread: bool = False) -> None:
    """One column per subset, one line per metric over all labels; `mean ± std` for summaries over seeds."""
    names = [name for name in next(iter(subsets.values())) if name.count(".") == 1]  # per label: in the JSON
    width = max(len(name) for name in names)
    print(" " * width + "  " + "  ".join(f"{subset:>18}" for subset in subsets))
    for name in names:
        cells = [scores[name] for scores in subsets.values()]
        shown = [format_score(cell) if spread else f"{cell:.3f}" for cell in cells]
        print(f"{name:{width}}  " + "  ".join(f"{cell:>18}" for cell in shown))
