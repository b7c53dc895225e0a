# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Metrics of speech recognition and speaker verification in numpy; the truth is the first argument, the prediction the second."""

from collections.abc import Sequence

import numpy as np


def edit_distance(truth: Sequence, prediction: Sequence) -> int:
    """Return the minimum number of insertions, deletions and substitutions that turn one sequence into the other.

    Source: Levenshtein (1966), by the dynamic program of Wagner and Fischer (1974). Insertions, which depend on the cell to
    the left, are a running minimum over the row, so that only the loop over rows remains.
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
    """Return the sum of the edit distances of all pairs, divided by the total length of the truths.

    This is not the mean of the rates of single pairs. It exceeds 1 if predictions contain many insertions.

    Raises:
        ValueError: numbers of truths and predictions differ, or all truths are empty.
    """
    if len(truths) != len(predictions):
        raise ValueError(f"There are {len(truths)} truths and {len(predictions)} predictions; expected equal numbers.")
    units = sum(map(len, truths))
    if not units:
        raise ValueError(
            "All reference transcripts are empty, so the error rate is undefined; pass transcripts with text."
        )
    return sum(map(edit_distance, truths, predictions)) / units


def character_error_rate(truths: Sequence[str], predictions: Sequence[str]) -> float:
    """Return the `error_rate` over characters, including spaces (CER)."""
    return error_rate(truths, predictions)


def word_error_rate(truths: Sequence[str], predictions: Sequence[str]) -> float:
    """Return the `error_rate` over words separated by white space (WER)."""
    return error_rate([text.split() for text in truths], [text.split() for text in predictions])


def equal_error_rate(same: np.ndarray, scores: np.ndarray) -> float:
    """Return the error rate at the threshold where false rejection rate and false acceptance rate are equal (EER).

    A pair is accepted if its score is at least the threshold. Between the thresholds given by the scores, both rates are
    interpolated linearly, as in the DET curve of Martin et al. (1997).

    Args:
        same: `(pairs,)`, True if both clips of the pair are of the same speaker.
        scores: `(pairs,)`, similarity of the pair.

    Raises:
        ValueError: shapes differ, scores are not finite, or there are no pairs of the same or of different speakers.
    """
    same, scores = np.asarray(same, bool), np.asarray(scores, np.float64)
    if same.ndim != 1 or same.shape != scores.shape:
        raise ValueError(f"`same` has shape {same.shape}, `scores` {scores.shape}; expected (pairs,) of both.")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite; look for a diverged model.")
    if same.all() or not same.any():
        raise ValueError("Expected pairs of the same speaker and pairs of different speakers; one kind is missing.")
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0, True)  # pairs of one score are accepted together
    accepted = np.concatenate([[0], np.cumsum(~same[order])[last_of_score]]) / (~same).sum()
    rejected = 1 - np.concatenate([[0], np.cumsum(same[order])[last_of_score]]) / same.sum()
    after = int(np.argmax(accepted >= rejected))
    gap = rejected - accepted  # falls from 1 to -1
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(accepted[after - 1] + share * (accepted[after] - accepted[after - 1]))


def make_verification_pairs(speakers: np.ndarray, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for all pairs of clips, whether the speaker is the same and the cosine similarity of the embeddings.

    Args:
        speakers: `(clips,)`, speaker of each clip.
        embeddings: `(clips, size)`; the similarity of a zero vector to any other is 0.

    Returns:
        `same` and `scores` of `equal_error_rate`, `(pairs,)` each.
    """
    speakers, embeddings = np.asarray(speakers), np.asarray(embeddings, np.float64)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(norms > 0, norms, 1)
    first, second = np.triu_indices(len(speakers), 1)
    return speakers[first] == speakers[second], (unit @ unit.T)[first, second]
