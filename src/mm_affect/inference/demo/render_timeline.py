# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The timeline of one task as HTML: the strongest class over time, every score as a curve, and the words."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np

from ...tasks import Task
from .recognition import ClipFeatures
from .render_answers import MAX_BARS, PALETTE, label_color


LANES = 3  # rows of words, so that neighbors do not overlap
WORD_WIDTH = 30  # minimum pixels per word; a long clip scrolls
SECOND_WIDTH = 14  # minimum pixels per second
TICKS = (0.5, 1, 2, 5, 10, 20)  # seconds between the ticks of the axis

Windows = Sequence[dict[str, Any]]  # as `Recognizer.predict_timeline` returns them
TimedWord = tuple[str, list[float]]


def render_timeline(
    task: Task, windows: Windows, features: ClipFeatures, value_range: tuple[float, float] | None
) -> str:
    """Render the timeline of a task, or one sentence if there are no windows."""
    if not windows:
        return '<p class="mma-fine">No timeline: words without time stamps have no position in time.</p>'
    duration = features.duration
    spans = features.row["spans"]
    words: list[TimedWord] = list(zip(features.clip.transcript.split(), spans, strict=True)) if spans else []
    words = [(word, span) for word, span in words if span[0] < duration]
    if task.problem_type == "regression":
        chart, legend = render_value_curve(task, windows, duration, value_range)
    else:
        chart, legend = render_class_curves(task, windows, duration)
    width = max(WORD_WIDTH * len(words), SECOND_WIDTH * duration)
    length = windows[0]["end"] - windows[0]["start"]
    untimed = "; the words have no time stamps, so windows contain audio and faces only"
    return (
        f'<div class="mma-panel mma-time"><h3>{escape(task.name)} over time</h3>{legend}<div class="mma-scroll">'
        f'<div style="min-width:{width:.0f}px">{chart}{render_axis(duration)}{render_words(words, duration)}</div></div>'
        f'<p class="mma-fine">Windows of {length:.1f} s that overlap by half'
        f"{'' if words or not features.steps.get('text') else untimed}.</p></div>"
    )


def render_class_curves(task: Task, windows: Windows, duration: float) -> tuple[str, str]:
    """Render a strip of the strongest class above a curve per class (at most `MAX_BARS`), and the legend."""
    scores = {label: [w["tasks"][task.name]["scores"][label] for w in windows] for label in task.labels}
    drawn = sorted(scores, key=lambda label: -max(scores[label]))[:MAX_BARS]
    strip = "".join(
        f'<b style="left:{100 * start / duration:.2f}%;width:{100 * (end - start) / duration:.2f}%;'
        f'background:{label_color(task, label)}" title="{escape(label)}, {start:.1f} to {end:.1f} s"></b>'
        for start, end, label in strongest_labels(task, windows, duration)
    )
    curves = "".join(
        render_curve(windows, scores[label], duration, 0.0, 1.0, label_color(task, label)) for label in drawn
    )
    legend = "".join(
        f'<span><i style="background:{label_color(task, label)}"></i>{escape(label)}</span>'
        for label in task.labels
        if label in drawn
    )
    return f'<div class="mma-strip">{strip}</div>{render_canvas(curves)}', f'<div class="mma-legend">{legend}</div>'


def strongest_labels(task: Task, windows: Windows, duration: float) -> list[tuple[float, float, str]]:
    """Return start, end and strongest label around the middle of each window."""
    middles = [(window["start"] + window["end"]) / 2 for window in windows]
    bounds = [0.0, *((a + b) / 2 for a, b in pairwise(middles)), duration]
    labels = [max(w["tasks"][task.name]["scores"].items(), key=lambda item: item[1])[0] for w in windows]
    return [(start, end, label) for (start, end), label in zip(pairwise(bounds), labels, strict=True)]


def render_value_curve(
    task: Task, windows: Windows, duration: float, value_range: tuple[float, float] | None
) -> tuple[str, str]:
    """Render the curve of a regression on its scale, by default that of its values, and the legend."""
    values = [window["tasks"][task.name]["value"] for window in windows]
    low, high = value_range or (min(*values, 0.0), max(*values, 0.0) + 1e-9)
    y = f"{100 * high / (high - low):.1f}"
    zero = f'<line class="mma-zero" x1="0" x2="100" y1="{y}" y2="{y}"/>' if low < 0 < high else ""
    chart = render_canvas(zero + render_curve(windows, values, duration, low, high, PALETTE[0]))
    return chart, f'<div class="mma-legend"><span>from {low:+g} (bottom) to {high:+g} (top)</span></div>'


def render_canvas(content: str) -> str:
    """Render a drawing area that stretches with the page while lines keep their width."""
    return (
        f'<svg class="mma-curves" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{content}</svg>'
    )


def render_curve(
    windows: Windows, values: Sequence[float], duration: float, low: float, high: float, stroke: str
) -> str:
    """Render a line through the middles of the windows, extended to both ends."""
    middles = [50 * (window["start"] + window["end"]) / duration for window in windows]
    heights = 100 - 100 * (np.clip(values, low, high) - low) / (high - low)
    points = [(0.0, heights[0]), *zip(middles, heights), (100.0, heights[-1])]
    return f'<polyline stroke="{stroke}" points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in points)}"/>'


def render_axis(duration: float) -> str:
    """Render the axis in seconds."""
    step = next((tick for tick in TICKS if duration / tick <= 7), TICKS[-1])
    labels = [
        f'<span style="left:{100 * second / duration:.2f}%">{second:g} s</span>'
        for second in np.arange(0, duration * 0.96, step)
    ]
    return f'<div class="mma-axis">{"".join(labels)}</div>'


def render_words(words: Sequence[TimedWord], duration: float) -> str:
    """Render every word at its time."""
    if not words:
        return ""
    lanes = "".join(
        f'<span style="left:{100 * start / duration:.2f}%;top:{1.35 * (i % LANES):.2f}em" '
        f'title="{start:.2f} to {end:.2f} s">{escape(word)}</span>'
        for i, (word, (start, end)) in enumerate(words)
    )
    return f'<div class="mma-words" style="height:{1.35 * min(LANES, len(words)) + 0.3:.2f}em">{lanes}</div>'
