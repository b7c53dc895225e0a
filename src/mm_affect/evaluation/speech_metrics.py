# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Metrics of recognized speech and recognized persons, in numpy; truth comes first, prediction second."""

from collections.abc import Sequence

import numpy as np


def edit_distance(truth: Sequence, prediction: Sequence) -> int:
    """The least number of insertions, deletions and substitutions that turn one sequence into the other.

    Source: Levenshtein (1966). Row by row of the table of Wagner and Fischer (1974); insertions, which depend on the cell to
    their left, are a running minimum over the row, so only one loop is left.
    """
    if not len(prediction):
        return len(truth)
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys([*truth, *prediction]))}
    columns = np.array([numbers[unit] for unit in prediction])
    place = np.arange(len(columns) + 1)
    row = place.copy()
    for unit in truth:
        kept = np.minimum(row[1:] + 1, row[:-1] + (columns != numbers[unit]))
        row = np.concatenate([[row[0] + 1], kept])
        row = np.minimum.accumulate(row - place) + place
    return int(row[-1])


def error_rate(truths: Sequence[Sequence], predictions: Sequence[Sequence]) -> float:
    """Edits of all pairs by the units of all truths, not the mean over pairs; above 1 where much is made up.

    Raises:
        ValueError: unlike numbers of truths and predictions, or truths without a unit.
    """
    if len(truths) != len(predictions):
        raise ValueError(f"There are {len(truths)} truths and {len(predictions)} predictions; expected one for each.")
    units = sum(map(len, truths))
    if not units:
        raise ValueError(
            "No truth has anything in it, so there is no rate of errors; give transcripts that are not empty."
        )
    return sum(map(edit_distance, truths, predictions)) / units


def character_error_rate(truths: Sequence[str], predictions: Sequence[str]) -> float:
    """`error_rate` of characters, spaces included."""
    return error_rate(truths, predictions)


def word_error_rate(truths: Sequence[str], predictions: Sequence[str]) -> float:
    """`error_rate` of words, which are what stands between spaces."""
    return error_rate([text.split() for text in truths], [text.split() for text in predictions])


def equal_error_rate(same: np.ndarray, scores: np.ndarray) -> float:
    """The rate at which as many pairs of one person are rejected as pairs of two persons are accepted.

    A pair is accepted if its score is at least the threshold. Between the thresholds that the scores offer, both rates are
    taken as straight lines, as in the DET curve of Martin et al. (1997), so the answer does not jump.

    Args:
        same: `(pairs,)`, whether both are of one person.
        scores: `(pairs,)`, the higher, the more alike.

    Raises:
        ValueError: other shapes, scores that are not finite, or no pairs of one of the two kinds.
    """
    same, scores = np.asarray(same, bool), np.asarray(scores, np.float64)
    if same.ndim != 1 or same.shape != scores.shape:
        raise ValueError(f"`same` has shape {same.shape}, `scores` {scores.shape}; expected (pairs,) of both.")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite; a pair needs a number.")
    if same.all() or not same.any():
        raise ValueError("Expected pairs of one person and pairs of two; one kind is missing.")
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0, True)  # pairs of one score are accepted together
    accepted = np.concatenate([[0], np.cumsum(~same[order])[last_of_score]]) / (~same).sum()
    rejected = 1 - np.concatenate([[0], np.cumsum(same[order])[last_of_score]]) / same.sum()
    after = int(np.argmax(accepted >= rejected))
    gap = rejected - accepted  # falls from 1 to -1
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(accepted[after - 1] + share * (accepted[after] - accepted[after - 1]))


def make_verification_pairs(persons: np.ndarray, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of clips: whether both are of one person, and the cosine of their embeddings, `(pairs,)` each.

    Args:
        persons: `(clips,)`, who speaks.
        embeddings: `(clips, size)`; one of zeros is like nothing, cosine 0.
    """
    persons, embeddings = np.asarray(persons), np.asarray(embeddings, np.float64)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(norms > 0, norms, 1)
    first, second = np.triu_indices(len(persons), 1)
    return persons[first] == persons[second], (unit @ unit.T)[first, second]
