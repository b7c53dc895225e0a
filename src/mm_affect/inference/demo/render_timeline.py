# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The time line of one task as HTML: what is answered when, every score as a curve, and who says what when."""

import itertools
from html import escape

import numpy as np

from ...tasks import Task
from .recognition import ClipFeatures
from .render_answers import MAX_BARS, PALETTE, label_color


LANES = 3  # rows of words, so that neighbors do not cover each other
WORD_WIDTH = 30  # pixels per word at least; a long clip scrolls
SECOND_WIDTH = 14  # pixels per second at least
TICKS = (0.5, 1, 2, 5, 10, 20)  # seconds between marks of the axis


def render_timeline(task: Task, windows: list[dict], reading: ClipFeatures, ends: tuple[float, float] | None) -> str:
    """The drawing of `windows`, as `Recognizer.timeline` gives them; a sentence if there are none."""
    if not windows:
        return '<p class="mma-fine">No time line: words without times are not bound to a moment.</p>'
    duration = reading.duration
    spans = reading.row["spans"]
    words = list(zip(reading.clip.transcript.split(), spans, strict=True)) if spans else []
    words = [(word, span) for word, span in words if span[0] < duration]
    if task.problem_type == "regression":
        drawn, legend = render_value_curve(task, windows, duration, ends)
    else:
        drawn, legend = render_class_curves(task, windows, duration)
    width = max(WORD_WIDTH * len(words), SECOND_WIDTH * duration)
    length = windows[0]["end"] - windows[0]["start"]
    return (
        f'<div class="mma-panel mma-time"><h3>{escape(task.name)} over time</h3>{legend}<div class="mma-scroll">'
        f'<div style="min-width:{width:.0f}px">{drawn}{render_axis(duration)}{render_words(words, duration)}</div></div>'
        f'<p class="mma-fine">Windows of {length:.1f} s that overlap by half'
        f"{'' if words or not reading.steps.get('text') else '; without times of the words, sound and faces only'}.</p></div>"
    )


def render_class_curves(task: Task, windows: list[dict], duration: float) -> tuple[str, str]:
    """A strip of the strongest class above a curve per class, and the legend; the strongest classes if there are many."""
    scores = {label: [w["tasks"][task.name]["scores"][label] for w in windows] for label in task.labels}
    shown = sorted(scores, key=lambda label: -max(scores[label]))[:MAX_BARS]
    strip = "".join(
        f'<b style="left:{100 * start / duration:.2f}%;width:{100 * (end - start) / duration:.2f}%;'
        f'background:{label_color(task, label)}" title="{escape(label)}, {start:.1f} to {end:.1f} s"></b>'
        for start, end, label in strongest_labels(task, windows, duration)
    )
    curves = "".join(
        render_curve(windows, scores[label], duration, 0.0, 1.0, label_color(task, label)) for label in shown
    )
    legend = "".join(
        f'<span><i style="background:{label_color(task, label)}"></i>{escape(label)}</span>'
        for label in task.labels
        if label in shown
    )
    return f'<div class="mma-strip">{strip}</div>{render_canvas(curves)}', f'<div class="mma-legend">{legend}</div>'


def strongest_labels(task: Task, windows: list[dict], duration: float) -> list[tuple[float, float, str]]:
    """Start, end and strongest label of each stretch: half-way from one window's middle to the next."""
    middles = [(window["start"] + window["end"]) / 2 for window in windows]
    borders = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(middles)), duration]
    labels = [max(w["tasks"][task.name]["scores"].items(), key=lambda item: item[1])[0] for w in windows]
    return list(zip(borders, borders[1:], labels))


def render_value_curve(task: Task, windows: list[dict], duration: float, ends) -> tuple[str, str]:
    """The curve of a regression on its scale, or between its own ends, and a legend that says which."""
    values = [window["tasks"][task.name]["value"] for window in windows]
    low, high = ends or (min(*values, 0.0), max(*values, 0.0) + 1e-9)
    zero = f'<line class="mma-zero" x1="0" x2="100" y1="{100 * high / (high - low):.1f}" y2="{100 * high / (high - low):.1f}"/>'
    drawn = render_canvas(
        (zero if low < 0 < high else "") + render_curve(windows, values, duration, low, high, PALETTE[0])
    )
    return drawn, f'<div class="mma-legend"><span>from {low:+g} (bottom) to {high:+g} (top)</span></div>'


def render_canvas(inside: str) -> str:
    """A drawing area that stretches with the page; lines keep their width."""
    return (
        f'<svg class="mma-curves" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{inside}</svg>'
    )


def render_curve(windows: list[dict], values, duration: float, low: float, high: float, stroke: str) -> str:
    """A line through the middles of the windows, drawn on to both ends."""
    middles = [50 * (window["start"] + window["end"]) / duration for window in windows]
    heights = 100 - 100 * (np.clip(values, low, high) - low) / (high - low)
    points = [(0.0, heights[0]), *zip(middles, heights), (100.0, heights[-1])]
    return f'<polyline stroke="{stroke}" points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in points)}"/>'


def render_axis(duration: float) -> str:
    """Seconds."""
    step = next((tick for tick in TICKS if duration / tick <= 7), TICKS[-1])
    marks = [
        f'<span style="left:{100 * second / duration:.2f}%">{second:g} s</span>'
        for second in np.arange(0, duration * 0.96, step)
    ]
    return f'<div class="mma-axis">{"".join(marks)}</div>'


def render_words(words: list, duration: float) -> str:
    """Every word where it is said."""
    if not words:
        return ""
    lanes = "".join(
        f'<span style="left:{100 * start / duration:.2f}%;top:{1.35 * (i % LANES):.2f}em" '
        f'title="{start:.2f} to {end:.2f} s">{escape(word)}</span>'
        for i, (word, (start, end)) in enumerate(words)
    )
    return f'<div class="mma-words" style="height:{1.35 * min(LANES, len(words)) + 0.3:.2f}em">{lanes}</div>'
