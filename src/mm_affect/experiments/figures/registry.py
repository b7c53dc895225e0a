# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Find and draw the figures of the paper of a model's architecture."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...evaluation.plots import FigureInputs


def sample_rows(rows: Sequence[dict], samples: int, seed: int = 0) -> list[dict]:
    """Draw at most `samples` rows at random without replacement, and return them in their original order.

    Raises:
        ValueError: If `samples` is less than 1.
    """
    if samples < 1:
        raise ValueError(f"The number of samples is {samples}; expected 1 or more.")
    chosen = np.random.default_rng(seed).permutation(len(rows))[:samples]
    return [rows[int(i)] for i in np.sort(chosen)]


def find_figures(
    inputs: FigureInputs, compared: FigureInputs | None = None, seed: int = 0
) -> dict[str, Callable[[Path], Path]]:
    """Return the functions that draw the figures of the paper of the model's architecture, by figure name.

    To give an architecture figures, write a `figures` function with these arguments and register it here. A drawing
    function raises an error if its figure cannot be drawn; `figures` itself raises one if its input is wrong.

    Args:
        inputs: Checkpoint and rows that the figures are drawn from.
        compared: Another checkpoint that is drawn beside it, where a figure supports that.
        seed: Seed of the figures that draw random numbers.

    Raises:
        ValueError: If the architecture has no figures, or the rows do not fit the model.
    """
    from . import sugrm, tailor

    known = {"mm_affect_sugrm": sugrm.figures, "mm_affect_tailor": tailor.figures}
    architecture = inputs.model.config.model_type
    if architecture not in known:
        raise ValueError(
            f"{inputs.folder} is a checkpoint of {architecture}, which has no figures; expected a checkpoint of "
            f"{' or '.join(known)}."
        )
    return known[architecture](inputs, compared, seed)


def draw_figures(
    figures: dict[str, Callable[[Path], Path]], folder: Path
) -> tuple[list[Path], list[tuple[Exception, list[str]]]]:
    """Draw each figure into `folder`, under its own name.

    Returns:
        The paths of the PNG files, and the errors that prevented figures, each with the names of these figures.
    """
    drawn: list[Path] = []
    failures: dict[str, tuple[Exception, list[str]]] = {}
    for name, draw in figures.items():
        try:
            drawn.append(draw(folder / f"{name}.png"))
        except (ValueError, OSError, ImportError) as error:
            failures.setdefault(str(error), (error, []))[1].append(name)
    return drawn, list(failures.values())
