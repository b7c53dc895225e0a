# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Marks as HTML: words shaded by their weight, the loudness of the sound in colors, a film strip with bars."""

import itertools
from base64 import b64encode
from html import escape

import numpy as np

from ...features.faces import opencv
from ...features.media import iter_frames, read_audio
from ...tasks import Task
from ..pipeline import format_answer
from .attribution import Attribution, Segment
from .recognition import ClipFeatures
from .render_answers import PALETTE


FOR, AGAINST = PALETTE[0], PALETTE[1]
FRAME_COUNT = 12  # of the film strip
FRAME_HEIGHT = 96  # pixels
LOUDNESS_BARS = 120
LOUDNESS_RATE = 4000  # Hz, enough to see how loud it is
CAPTIONS = {
    "attention": "<b>Attention</b> of the model: where it looks, mean over its layers and heads, the same for every task.",
    "occlusion": "<b>Occlusion</b> (this model has no attention over single words and moments): each piece is hidden in "
    "turn. {legend} Full color is a change of {strongest:.2f}{unit}.",
}
LEGENDS = {
    False: '<i style="color:{FOR}">Blue</i> speaks for <b>{answer}</b>, <i style="color:{AGAINST}">orange</i> against.',
    True: '<i style="color:{FOR}">Blue</i> raises <b>{answer}</b>, <i style="color:{AGAINST}">orange</i> lowers it.',
}


def render_attribution(task: Task, marks: Attribution, reading: ClipFeatures, answer: dict) -> str:
    """What the answer to one task rests on: a strip per modality that was seen.

    Occlusion is on one scale for all; attention, whose weights compare steps of one modality, on one for each.
    """
    pieces = marks.segments[task.name]
    strongest = max((abs(piece.weight) for found in pieces.values() for piece in found), default=0.0)
    drawn = []
    for modality, found in pieces.items():
        largest = (
            max((abs(piece.weight) for piece in found), default=0.0) if marks.method == "attention" else strongest
        )
        scaled = [piece._replace(weight=piece.weight / largest if largest else 0.0) for piece in found]
        drawn.append(RENDERERS[modality](scaled, reading))
    value = "value" in answer
    asked = format_answer(answer) if value else max(answer["scores"], key=answer["scores"].get)
    legend = LEGENDS[value].format(answer=escape(asked), FOR=FOR, AGAINST=AGAINST)
    told = CAPTIONS[marks.method].format(legend=legend, strongest=strongest, unit="" if value else " in log-odds")
    return (
        f'<div class="mma-panel mma-marks" data-method="{marks.method}"><h3>Which words and moments count for '
        f'{escape(task.name)}?</h3><p class="mma-fine">{told}</p>{"".join(drawn)}</div>'
    )


def weight_color(weight: float) -> str:
    """The color of a weight in [-1, 1]; of 0 that of lines on the page."""
    side = FOR if weight >= 0 else AGAINST
    return f"color-mix(in srgb, {side} {100 * abs(weight):.0f}%, var(--border-color-primary))"


def render_words(pieces: list[Segment], reading: ClipFeatures) -> str:
    """The transcript, each piece shaded."""
    said = reading.clip.transcript.split()
    chips = "".join(
        f'<span style="background:{weight_color(piece.weight)}" title="{piece.weight:+.2f} of the strongest">'
        f"{escape(' '.join(said[piece.first : piece.last]))}</span>"
        for piece in pieces
    )
    return f'<div class="mma-chips">{chips}</div>'


def render_loudness(pieces: list[Segment], reading: ClipFeatures) -> str:
    """How loud it is over time, in the colors of the weights."""
    samples = read_audio(reading.clip.path, LOUDNESS_RATE, end=reading.end)
    parts = np.array_split(samples, min(LOUDNESS_BARS, len(samples)))
    loud = np.sqrt([np.mean(part.astype(np.float64) ** 2) for part in parts])
    loud = np.sqrt(loud / max(loud.max(), 1e-9))  # quiet sounds can be seen as well
    weights = resample_weights(pieces, len(reading.row["audio"]), len(parts))
    bars = "".join(
        f'<b style="height:{max(4, 100 * height):.0f}%;background:{weight_color(weight)}"></b>'
        for height, weight in zip(loud, weights)
    )
    return f'<div class="mma-sound" title="loudness of the sound">{bars}</div>'


def render_frames(pieces: list[Segment], reading: ClipFeatures) -> str:
    """Pictures along the clip, each above the mean weight of its stretch."""
    cv2 = opencv()
    weights = resample_weights(pieces, len(reading.row["visual"]), FRAME_COUNT)
    drawn = []
    frames = iter_frames(reading.clip.path, FRAME_COUNT / reading.duration, end=reading.end)
    for frame, weight in zip(frames, weights):
        height, width = frame.shape[:2]
        small = cv2.resize(
            frame, (max(1, round(width * FRAME_HEIGHT / height)), FRAME_HEIGHT), interpolation=cv2.INTER_AREA
        )
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        drawn.append(
            f'<figure><img alt="" src="data:image/jpeg;base64,{b64encode(jpeg.tobytes()).decode()}">'
            f'<b style="background:{weight_color(weight)}"></b></figure>'
        )
    return f'<div class="mma-film">{"".join(drawn)}</div>'


def resample_weights(pieces: list[Segment], steps: int, parts: int) -> np.ndarray:
    """The mean weight in each of `parts` equal stretches of `steps` steps; 0 where nothing was measured."""
    weights, known = np.zeros(steps), np.zeros(steps)
    for piece in pieces:
        weights[piece.first : piece.last] += piece.weight
        known[piece.first : piece.last] += 1
    borders = np.linspace(0, steps, parts + 1)
    found = np.zeros(parts)
    for i, (first, last) in enumerate(itertools.pairwise(borders)):
        stretch = slice(int(first), max(int(first) + 1, int(np.ceil(last))))
        found[i] = weights[stretch].sum() / max(known[stretch].sum(), 1)
    return found


RENDERERS = {"text": render_words, "audio": render_loudness, "visual": render_frames}
