# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Output of commands: errors as one sentence, progress, counts, scores as a table."""

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from tqdm import tqdm


def print_error(error: Exception, prefix: str = "") -> None:
    """Print an error on one line of stderr; that of the operating system is completed to a sentence."""
    sentence = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f" at {error.filename}" if error.filename else ""
        sentence = (
            f"The system reports {error.strerror!r}{where}; everything that was complete is kept: resolve this, then run the "
            "command again."
        )
    print(f"mm-affect: {prefix}{' '.join(sentence.split())}", file=sys.stderr)


def print_scores(subsets: Mapping[str, Mapping], with_std: bool = False) -> None:
    """Print one column per subset and one line per metric over all labels; `mean ± std` for summaries over seeds."""
    from ..evaluation.results import format_score

    names = [name for name in next(iter(subsets.values())) if name.count(".") == 1]  # per label: in the JSON
    width = max(len(name) for name in names)
    print(" " * width + "  " + "  ".join(f"{subset:>18}" for subset in subsets))
    for name in names:
        cells = [scores[name] for scores in subsets.values()]
        texts = [format_score(cell) if with_std else f"{cell:.3f}" for cell in cells]
        print(f"{name:{width}}  " + "  ".join(f"{text:>18}" for text in texts))


def count_rows(counts: Mapping[str, int | None]) -> int:
    """Return the number of rows of all splits."""
    return sum(count or 0 for count in counts.values())


def format_counts(counts: Mapping[str, int | None]) -> str:
    """Return the number of rows of each split, as in `train 4, validation 2`."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def shard_progress(label: str, unit: str = "shards") -> Callable[[int, int], None]:
    """Return a function that prints how many of how many shards are done, on one line of stderr."""

    def progress(done: int, total: int) -> None:
        print(f"\r{label}: {done} of {total} {unit}", end="\n" if done == total else "", file=sys.stderr)

    return progress


def clip_progress(bar: "tqdm") -> Callable[[object, int], None]:
    """Return a function that moves a bar by one clip of so many."""

    def progress(clip: object, total: int) -> None:
        bar.total = total
        bar.update()

    return progress


def disable_library_progress() -> None:
    """Turn the progress bars of transformers off; commands show their own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
