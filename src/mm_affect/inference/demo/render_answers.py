# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Answers as HTML: the head of the page, bars per task, the table of modality subsets. Texts are escaped here."""

from html import escape

import numpy as np

from ...evaluation.plots import COLORS
from ...tasks import Task
from ..pipeline import format_answer, predicted_labels
from .clips import LIMIT
from .model_info import LIMITS, ModelInfo
from .recognition import NOUNS, ClipFeatures


PALETTE = (*COLORS[:6], "#8A8A8A")  # without black, which is no color on a dark page
MAX_BARS = 8  # of a task; the rest is counted


def label_color(task: Task, label: str) -> str:
    """The color of a class, the same in every drawing."""
    return PALETTE[task.labels.index(label) % len(PALETTE)]


def render_header(facts: ModelInfo) -> str:
    """What the page is, and which model answers."""
    badge = '<span class="mma-badge">SYNTHETIC</span>' if facts.synthetic else ""
    corpus = (
        f"trained on {escape(facts.corpus)} {badge}" if facts.corpus else "its files do not say on what it was trained"
    )
    meaning = "; a synthetic corpus of drawn faces says nothing about people" if facts.synthetic else ""
    return (
        '<div class="mma-head"><h1>How does this clip come across?</h1>'
        f"<p><b>{escape(facts.name)}</b> ({facts.architecture}, {facts.parameters / 1e6:.1f} M parameters) reads "
        f"{' + '.join(facts.modalities)}; {corpus}{meaning}.</p>"
        f'<p class="mma-fine">{LIMITS} Clips are processed where this page is served, and deleted within an hour.</p></div>'
    )


def render_error(sentence: str) -> str:
    """Something that went wrong, in one sentence."""
    return f'<div class="mma-notice" role="alert">{escape(sentence)}</div>'


def render_summary(reading: ClipFeatures, labels: dict[str, str] | None = None) -> str:
    """What of the clip was read, and, of a sample, its labels."""
    parts = [
        f"{steps} steps of {NOUNS[m]}" if m != "text" else f"{steps} word{'s' if steps > 1 else ''}"
        for m, steps in reading.steps.items()
        if steps
    ]
    parts += [f"<b>no {NOUNS[m]}</b>" for m, steps in reading.steps.items() if not steps]
    text = "Read: " + ", ".join(parts) + "."
    if reading.whole > LIMIT:
        text += f" <b>The clip lasts {format_duration(reading.whole)}; its first {LIMIT:.0f} seconds were read.</b>"
    if labels:
        told = "; ".join(f"{escape(task)} <b>{escape(label)}</b>" for task, label in labels.items())
        text += f" Labels of this sample: {told}."
    return f'<p class="mma-fine mma-read">{text}</p>'


def format_duration(seconds: float) -> str:
    """`3600` as 1:00:00, `75` as 1:15."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def render_answers(tasks: list[Task], answers: dict, ranges: dict[str, tuple[float, float]]) -> str:
    """A card per task: what is answered, and the score of every class, or the value on its scale."""
    cards = [
        render_value(task, answers[task.name]["value"], ranges.get(task.name))
        if task.problem_type == "regression"
        else render_classes(task, answers[task.name])
        for task in tasks
    ]
    return f'<div class="mma-cards">{"".join(cards)}</div>'


def render_card(task: Task, said: str, body: str) -> str:
    """A task's card."""
    return (
        f'<section class="mma-card" data-task="{escape(task.name)}"><header><h3>{escape(task.name)}</h3>'
        f"<strong>{escape(said)}</strong></header>{body}</section>"
    )


def render_classes(task: Task, answer: dict) -> str:
    """Bars of a classification; of several labels each with a tick at the score from which it is predicted."""
    ranked = sorted(answer["scores"].items(), key=lambda item: -item[1])
    thresholds = dict(zip(task.labels, np.broadcast_to(task.threshold, len(task.labels))))
    rows = []
    for label, score in ranked[:MAX_BARS]:
        tick = ""
        if task.problem_type == "multi_label_classification":
            threshold = thresholds[label]
            tick = (
                f'<i class="mma-tick" style="left:{100 * threshold:.1f}%" title="predicted from {threshold:.2f}"></i>'
            )
        chosen = " mma-chosen" if label in predicted_labels(answer) else ""
        rows.append(
            f'<div class="mma-bar{chosen}"><span>{escape(label)}</span><div class="mma-track">'
            f'<b style="width:{100 * score:.1f}%;background:{label_color(task, label)}"></b>{tick}</div>'
            f"<span>{score:.2f}</span></div>"
        )
    if len(ranked) > MAX_BARS:
        rows.append(f'<p class="mma-fine">and {len(ranked) - MAX_BARS} more, all below</p>')
    return render_card(task, format_answer(answer), "".join(rows))


def render_value(task: Task, value: float, ends: tuple[float, float] | None) -> str:
    """A value on its scale, from zero if that is on it; alone if no scale is known."""
    if ends is None:
        return render_card(
            task, format_answer({"value": value}), '<p class="mma-fine">The model does not say its scale.</p>'
        )
    low, high = ends
    place = lambda v: 100 * (min(max(v, low), high) - low) / (high - low)  # noqa: E731
    origin = place(0.0)
    left, right = sorted((origin, place(value)))
    side = PALETTE[1] if value < 0 else PALETTE[0]
    return render_card(
        task,
        format_answer({"value": value}),
        f'<div class="mma-scale"><div class="mma-track"><b style="left:{left:.1f}%;width:{right - left:.1f}%;'
        f'background:{side}"></b><i class="mma-tick" style="left:{origin:.1f}%"></i></div>'
        f'<div class="mma-ends"><span>{low:+g}</span><span>{high:+g}</span></div></div>',
    )


def render_subset_table(tasks: list[Task], subsets: dict[tuple[str, ...], dict], shown: tuple[str, ...]) -> str:
    """A row per subset of the clip's modalities: what the model would say if it saw only these. `shown` is marked."""
    present = max(subsets, key=len)
    head = "".join(f"<th>{modality}</th>" for modality in present) + "".join(
        f"<th>{escape(task.name)}</th>" for task in tasks
    )
    body = []
    for subset, answers in subsets.items():
        marks = "".join(f"<td>{'●' if modality in subset else '○'}</td>" for modality in present)
        cells = "".join(render_subset_cell(task, answers[task.name], subsets[present][task.name]) for task in tasks)
        mark = ' class="mma-shown"' if subset == shown else ""
        body.append(f'<tr{mark} data-subset="{"+".join(subset)}">{marks}{cells}</tr>')
    return (
        '<div class="mma-panel"><h3>What if a modality is switched off?</h3>'
        f'<div class="mma-scroll"><table class="mma-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
        '<p class="mma-fine">Scores are of the strongest label that is named, or of all; what differs from the answer to everything (first row) '
        "is set in italics.</p></div>"
    )


def render_subset_cell(task: Task, answer: dict, whole: dict) -> str:
    """The answer to one subset; a label other than that of the whole clip is in italics."""
    if "value" in answer:
        return f"<td>{answer['value']:+.2f}</td>"
    strongest = max(predicted_labels(answer) or answer["scores"], key=answer["scores"].get)
    said = (
        f"<em>{escape(format_answer(answer))}</em>"
        if predicted_labels(answer) != predicted_labels(whole)
        else escape(format_answer(answer))
    )
    score = answer["scores"][strongest]
    return (
        f'<td>{said} <span class="mma-fine">{score:.2f}</span><div class="mma-mini">'
        f'<b style="width:{100 * score:.0f}%;background:{label_color(task, strongest)}"></b></div></td>'
    )
