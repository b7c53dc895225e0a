# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Find and draw the figures that belong to a model's architecture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...evaluation.plots import FigureInputs


def sample_rows(rows, samples: int, seed: int = 0) -> list[dict]:
    """At most `samples` rows, drawn at random without repetition, in their order.

    Raises:
        ValueError: `samples` is less than 1.
    """
    if samples < 1:
        raise ValueError(f"The number of samples is {samples}; it must be 1 or more.")
    chosen = np.random.default_rng(seed).permutation(len(rows))[:samples]
    return [rows[int(i)] for i in np.sort(chosen)]


def find_figures(
    subject: FigureInputs, compared: FigureInputs | None = None, seed: int = 0
) -> dict[str, Callable[[Path], Path]]:
    """What draws each figure of the paper of the subject's architecture, by name.

    An architecture with figures has a function with these arguments, named here. What it returns may raise the reason
    why one figure cannot be drawn; it raises itself if the input is wrong.

    Raises:
        ValueError: the architecture has no figures, or the rows do not fit.
    """
    from . import sugrm as sugrm_plots
    from . import tailor as tailor_plots

    known = {"mm_affect_sugrm": sugrm_plots.figures, "mm_affect_tailor": tailor_plots.figures}
    architecture = subject.model.config.model_type
    if architecture not in known:
        raise ValueError(
            f"{subject.folder} is a checkpoint of {architecture}, whose paper has no figures that are drawn here; "
            f"give one of {', '.join(known)}."
        )
    return known[architecture](subject, compared, seed)


def draw_figures(
    figures: dict[str, Callable[[Path], Path]], folder: Path
) -> tuple[list[Path], list[tuple[Exception, list[str]]]]:
    """Draw figures into a folder, each under its name.

    Returns: the PNG files, and why figures could not be drawn: each reason with the names of those it stopped.
    """
    drawn, stopped = [], {}
    for name, draw in figures.items():
        try:
            drawn.append(draw(folder / f"{name}.png"))
        except (ValueError, OSError, ImportError) as error:
            stopped.setdefault(str(error), (error, []))[1].append(name)
    return drawn, list(stopped.values())
