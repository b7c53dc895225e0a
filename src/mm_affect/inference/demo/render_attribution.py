# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Attribution as HTML: words shaded by weight, the loudness of the audio in color, a strip of frames with bars."""

from base64 import b64encode
from html import escape
from itertools import pairwise

import numpy as np

from ...features.faces import opencv
from ...features.media import iter_frames, read_audio
from ...tasks import Task
from ..pipeline import format_answer
from .attribution import Attribution, Segment
from .recognition import ClipFeatures
from .render_answers import PALETTE


FOR, AGAINST = PALETTE[0], PALETTE[1]
NUM_FRAMES = 12
FRAME_HEIGHT = 96  # pixels
LOUDNESS_BARS = 120
LOUDNESS_RATE = 4000  # Hz, enough for loudness
CAPTIONS = {
    "attention": "<b>Attention</b> of the model, averaged over its layers and heads; it is the same for every task.",
    "occlusion": "<b>Occlusion</b> (this model has no attention over single words and moments): each segment is masked "
    "once. {legend} Full color is a change of {strongest:.2f}{unit}.",
}
LEGENDS = {
    False: '<i style="color:{FOR}">Blue</i> supports <b>{answer}</b>, <i style="color:{AGAINST}">orange</i> opposes it.',
    True: '<i style="color:{FOR}">Blue</i> raises <b>{answer}</b>, <i style="color:{AGAINST}">orange</i> lowers it.',
}


def render_attribution(task: Task, attribution: Attribution, features: ClipFeatures, answer: dict) -> str:
    """Render what the answer to one task depends on: a strip per modality that the model read.

    Occlusion is scaled by the strongest segment of all modalities; attention, whose weights compare the steps of one
    modality, by the strongest of each.
    """
    segments = attribution.segments[task.name]
    strongest = max((abs(segment.weight) for strip in segments.values() for segment in strip), default=0.0)
    strips = []
    for modality, strip in segments.items():
        scale = strongest
        if attribution.method == "attention":
            scale = max((abs(segment.weight) for segment in strip), default=0.0)
        scaled = [segment._replace(weight=segment.weight / scale if scale else 0.0) for segment in strip]
        strips.append(RENDERERS[modality](scaled, features))
    is_value = "value" in answer
    target = format_answer(answer) if is_value else max(answer["scores"], key=answer["scores"].get)
    legend = LEGENDS[is_value].format(answer=escape(target), FOR=FOR, AGAINST=AGAINST)
    caption = CAPTIONS[attribution.method].format(
        legend=legend, strongest=strongest, unit="" if is_value else " in log-odds"
    )
    return (
        f'<div class="mma-panel mma-attribution" data-method="{attribution.method}"><h3>Which words and moments matter '
        f'for {escape(task.name)}?</h3><p class="mma-fine">{caption}</p>{"".join(strips)}</div>'
    )


def weight_color(weight: float) -> str:
    """Return the color of a weight in [-1, 1]; 0 has the color of borders."""
    side = FOR if weight >= 0 else AGAINST
    return f"color-mix(in srgb, {side} {100 * abs(weight):.0f}%, var(--border-color-primary))"


def render_words(segments: list[Segment], features: ClipFeatures) -> str:
    """Render the transcript with its segments shaded."""
    words = features.clip.transcript.split()
    chips = "".join(
        f'<span style="background:{weight_color(segment.weight)}" title="{segment.weight:+.2f} of the strongest">'
        f"{escape(' '.join(words[segment.first : segment.last]))}</span>"
        for segment in segments
    )
    return f'<div class="mma-chips">{chips}</div>'


def render_loudness(segments: list[Segment], features: ClipFeatures) -> str:
    """Render the loudness of the audio over time, in the colors of the weights."""
    assert features.clip.path is not None, "audio features come from a file"
    samples = read_audio(features.clip.path, LOUDNESS_RATE, end=features.end)
    parts = np.array_split(samples, min(LOUDNESS_BARS, len(samples)))
    loudness = np.sqrt([np.mean(part.astype(np.float64) ** 2) for part in parts])
    loudness = np.sqrt(loudness / max(loudness.max(), 1e-9))  # so that quiet audio is visible
    weights = resample_weights(segments, len(features.row["audio"]), len(parts))
    bars = "".join(
        f'<b style="height:{max(4, 100 * height):.0f}%;background:{weight_color(weight)}"></b>'
        for height, weight in zip(loudness, weights)
    )
    return f'<div class="mma-loudness" title="loudness of the audio">{bars}</div>'


def render_frames(segments: list[Segment], features: ClipFeatures) -> str:
    """Render frames along the clip, each above a bar in the color of its mean weight."""
    assert features.clip.path is not None, "visual features come from a file"
    cv2 = opencv()
    weights = resample_weights(segments, len(features.row["visual"]), NUM_FRAMES)
    figures = []
    frames = iter_frames(features.clip.path, NUM_FRAMES / features.duration, end=features.end)
    for frame, weight in zip(frames, weights):
        height, width = frame.shape[:2]
        small = cv2.resize(
            frame, (max(1, round(width * FRAME_HEIGHT / height)), FRAME_HEIGHT), interpolation=cv2.INTER_AREA
        )
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        figures.append(
            f'<figure><img alt="" src="data:image/jpeg;base64,{b64encode(jpeg.tobytes()).decode()}">'
            f'<b style="background:{weight_color(weight)}"></b></figure>'
        )
    return f'<div class="mma-frames">{"".join(figures)}</div>'


def resample_weights(segments: list[Segment], steps: int, parts: int) -> np.ndarray:
    """Average the weights of `steps` steps in each of `parts` equal parts; 0 where nothing was measured."""
    weights, counts = np.zeros(steps), np.zeros(steps)
    for segment in segments:
        weights[segment.first : segment.last] += segment.weight
        counts[segment.first : segment.last] += 1
    bounds = np.linspace(0, steps, parts + 1)
    means = np.zeros(parts)
    for i, (first, last) in enumerate(pairwise(bounds)):
        part = slice(int(first), max(int(first) + 1, int(np.ceil(last))))
        means[i] = weights[part].sum() / max(counts[part].sum(), 1)
    return means


RENDERERS = {"text": render_words, "audio": render_loudness, "visual": render_frames}
