# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Answers as HTML: the header of the page, a card per task, the table of modality subsets. All text is escaped here."""

from html import escape
from typing import Any

import numpy as np

from ...evaluation.plots import COLORS
from ...tasks import Task
from ..pipeline import format_answer, predicted_labels
from .clips import LIMIT
from .model_info import LIMITS, ModelInfo
from .recognition import MODALITY_NOUNS, Answers, ClipFeatures


PALETTE = (*COLORS[:6], "#8A8A8A")  # without black, which is invisible on a dark page
MAX_BARS = 8  # per task


def label_color(task: Task, label: str) -> str:
    """Return the color of a class, the same in every figure."""
    return PALETTE[task.labels.index(label) % len(PALETTE)]


def render_header(info: ModelInfo) -> str:
    """Render the title, the model and the limits of its use."""
    badge = '<span class="mma-badge">SYNTHETIC</span>' if info.synthetic else ""
    corpus = (
        f"trained on {escape(info.corpus)} {badge}" if info.corpus else "its files do not name the training corpus"
    )
    caveat = "; a synthetic corpus of drawn faces says nothing about people" if info.synthetic else ""
    return (
        '<div class="mma-head"><h1>How does this clip come across?</h1>'
        f"<p><b>{escape(info.name)}</b> ({info.architecture}, {info.parameters / 1e6:.1f} M parameters) reads "
        f"{' + '.join(info.modalities)}; {corpus}{caveat}.</p>"
        f'<p class="mma-fine">{LIMITS} Clips are processed on the machine that serves this page, and deleted within an '
        "hour.</p></div>"
    )


def render_error(sentence: str) -> str:
    """Render an error in one sentence."""
    return f'<div class="mma-notice" role="alert">{escape(sentence)}</div>'


def render_summary(features: ClipFeatures, labels: dict[str, str] | None = None) -> str:
    """Render what was read of the clip and, for a sample, its labels."""
    parts = [
        f"{steps} steps of {MODALITY_NOUNS[m]}" if m != "text" else f"{steps} word{'s' if steps > 1 else ''}"
        for m, steps in features.steps.items()
        if steps
    ]
    parts += [f"<b>no {MODALITY_NOUNS[m]}</b>" for m, steps in features.steps.items() if not steps]
    text = "Read: " + ", ".join(parts) + "."
    if features.file_duration > LIMIT:
        duration = format_duration(features.file_duration)
        text += f" <b>The clip lasts {duration}; its first {LIMIT:.0f} seconds were read.</b>"
    if labels:
        pairs = "; ".join(f"{escape(task)} <b>{escape(label)}</b>" for task, label in labels.items())
        text += f" Labels of this sample: {pairs}."
    return f'<p class="mma-fine mma-read">{text}</p>'


def format_duration(seconds: float) -> str:
    """Format `3600` as 1:00:00 and `75` as 1:15."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def render_answers(tasks: list[Task], answers: Answers, ranges: dict[str, tuple[float, float]]) -> str:
    """Render a card per task: the answer, and the score of every class or the value on its scale."""
    cards = [
        render_value(task, answers[task.name]["value"], ranges.get(task.name))
        if task.problem_type == "regression"
        else render_classes(task, answers[task.name])
        for task in tasks
    ]
    return f'<div class="mma-cards">{"".join(cards)}</div>'


def render_card(task: Task, title: str, body: str) -> str:
    """Render the card of a task."""
    return (
        f'<section class="mma-card" data-task="{escape(task.name)}"><header><h3>{escape(task.name)}</h3>'
        f"<strong>{escape(title)}</strong></header>{body}</section>"
    )


def render_classes(task: Task, answer: dict[str, Any]) -> str:
    """Render the scores of a classification as bars; in multi-label tasks a tick marks the threshold of each label."""
    ranked = sorted(answer["scores"].items(), key=lambda item: -item[1])
    thresholds = dict(zip(task.labels, np.broadcast_to(task.threshold, len(task.labels))))
    rows = []
    for label, score in ranked[:MAX_BARS]:
        tick = ""
        if task.problem_type == "multi_label_classification":
            threshold = thresholds[label]
            tick = (
                f'<i class="mma-tick" style="left:{100 * threshold:.1f}%" title="predicted above {threshold:.2f}"></i>'
            )
        chosen = " mma-chosen" if label in predicted_labels(answer) else ""
        rows.append(
            f'<div class="mma-bar{chosen}"><span>{escape(label)}</span><div class="mma-track">'
            f'<b style="width:{100 * score:.1f}%;background:{label_color(task, label)}"></b>{tick}</div>'
            f"<span>{score:.2f}</span></div>"
        )
    if len(ranked) > MAX_BARS:
        rows.append(f'<p class="mma-fine">and {len(ranked) - MAX_BARS} more with lower scores</p>')
    return render_card(task, format_answer(answer), "".join(rows))


def render_value(task: Task, value: float, value_range: tuple[float, float] | None) -> str:
    """Render a value as a bar on its scale, from zero if the scale includes it; as text if the scale is unknown."""
    if value_range is None:
        body = '<p class="mma-fine">The scale of this value is unknown.</p>'
        return render_card(task, format_answer({"value": value}), body)
    low, high = value_range
    origin, position = (100 * (min(max(v, low), high) - low) / (high - low) for v in (0.0, value))
    left, right = sorted((origin, position))
    color = PALETTE[1] if value < 0 else PALETTE[0]
    return render_card(
        task,
        format_answer({"value": value}),
        f'<div class="mma-scale"><div class="mma-track"><b style="left:{left:.1f}%;width:{right - left:.1f}%;'
        f'background:{color}"></b><i class="mma-tick" style="left:{origin:.1f}%"></i></div>'
        f'<div class="mma-ends"><span>{low:+g}</span><span>{high:+g}</span></div></div>',
    )


def render_subset_table(tasks: list[Task], subsets: dict[tuple[str, ...], Answers], selected: tuple[str, ...]) -> str:
    """Render a table of the answers to every subset of the clip's modalities; the row `selected` is highlighted."""
    present = max(subsets, key=len)
    columns = "".join(f"<th>{modality}</th>" for modality in present) + "".join(
        f"<th>{escape(task.name)}</th>" for task in tasks
    )
    rows = []
    for subset, answers in subsets.items():
        dots = "".join(f"<td>{'●' if modality in subset else '○'}</td>" for modality in present)
        cells = "".join(render_subset_cell(task, answers[task.name], subsets[present][task.name]) for task in tasks)
        highlight = ' class="mma-selected"' if subset == selected else ""
        rows.append(f'<tr{highlight} data-subset="{"+".join(subset)}">{dots}{cells}</tr>')
    return (
        '<div class="mma-panel"><h3>What if a modality is turned off?</h3>'
        f'<div class="mma-scroll"><table class="mma-table"><thead><tr>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="mma-fine">Scores are those of the strongest predicted label, or of the strongest label if none is predicted. Italics mark '
        "answers that differ from that of all modalities (first row).</p></div>"
    )


def render_subset_cell(task: Task, answer: dict[str, Any], whole: dict[str, Any]) -> str:
    """Render the answer to one subset, in italics if its labels differ from those of the whole clip."""
    if "value" in answer:
        return f"<td>{answer['value']:+.2f}</td>"
    strongest = max(predicted_labels(answer) or answer["scores"], key=answer["scores"].get)
    text = escape(format_answer(answer))
    if predicted_labels(answer) != predicted_labels(whole):
        text = f"<em>{text}</em>"
    score = answer["scores"][strongest]
    return (
        f'<td>{text} <span class="mma-fine">{score:.2f}</span><div class="mma-mini">'
        f'<b style="width:{100 * score:.0f}%;background:{label_color(task, strongest)}"></b></div></td>'
    )
