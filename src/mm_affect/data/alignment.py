# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Alignment by time: frames to the words they overlap, and words or frames to the segments they lie in.

The rule is that of the CMU Multimodal SDK (`mmdataset.align`): two intervals overlap if they share more than 10
microseconds, so that neighbors that only touch do not, and intervals without length overlap nothing. All words are
treated at once: after sorting by start, what a word may overlap is one range of frames, found by bisection.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array


EPSILON = 1e-5  # seconds
REDUCERS = ("mean", "max", "first", "last")
BLOCK = 2**14  # frames at a time: what a processor keeps near, however long the video


def align(features: np.ndarray, intervals: np.ndarray, words: np.ndarray, reducer: str = "mean") -> np.ndarray:
    """What was measured during each word: float32 (words, size) from frames (n, size) at `intervals` (n, 2) seconds.

    `words` are (words, 2) seconds; neither they nor the frames need to be in order, and frames may overlap each other.
    `first` and `last` are the frames that start first and last. A frame that is NaN throughout was not measured and
    does not count; a word that overlaps no measured frame is NaN throughout. Other non-finite values pass into their
    word, as in the SDK.
    """
    if reducer not in REDUCERS:
        raise ValueError(f"Reducer {reducer!r} is unknown; expected one of {', '.join(REDUCERS)}.")
    intervals, words = _checked(intervals, "intervals"), _checked(words, "words")
    if features.ndim != 2 or len(features) != len(intervals):
        raise ValueError(
            f"Features of shape {features.shape} come with {len(intervals)} intervals; expected (steps, size) and one "
            "interval for each step."
        )
    aligned = np.full((len(words), features.shape[1]), np.nan, dtype=np.float32)
    measured = _measured(features)
    for members, frames, starts in _overlaps(words, intervals[measured]):
        aligned[members] = _reduced(features, measured[frames], starts, reducer)
    return aligned


def inside(segments: np.ndarray, intervals: np.ndarray) -> list[np.ndarray]:
    """For each segment of (segments, 2) seconds the indices of the `intervals` (n, 2) that it overlaps, by start.

    With word intervals: the words of each segment. With frame intervals: its frames. What lies across a border
    belongs to both sides, as in the SDK.
    """
    segments, intervals = _checked(segments, "segments"), _checked(intervals, "intervals")
    found = [np.zeros(0, dtype=np.int64)] * len(segments)
    for members, indices, starts in _overlaps(segments, intervals):
        for member, part in zip(members, np.split(indices, starts[1:]), strict=True):
            found[member] = part
    return found


def _checked(intervals: np.ndarray, name: str) -> np.ndarray:
    intervals = np.asarray(intervals, dtype=np.float64)
    if intervals.size == 0:
        return intervals.reshape(0, 2)
    if intervals.ndim != 2 or intervals.shape[1] != 2:
        raise ValueError(f"`{name}` has shape {intervals.shape}; expected (n, 2), start and end in seconds.")
    if not np.isfinite(intervals).all():
        row = int(np.flatnonzero(~np.isfinite(intervals).all(axis=1))[0])
        raise ValueError(f"`{name}` holds {intervals[row].tolist()} in row {row}; expected finite seconds.")
    return intervals


def _measured(features: np.ndarray) -> np.ndarray:
    """The indices of the frames that are not NaN throughout."""
    missing = np.isnan(features[:, 0]) if features.shape[1] else np.zeros(len(features), dtype=bool)
    missing[missing] = np.isnan(features[missing]).all(axis=1)
    return np.flatnonzero(~missing)


def _overlaps(words: np.ndarray, frames: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of (words that overlap any frame, the frames of all of them in a row, where each word's frames start).

    A word's frames come in the order of their starts.
    """
    if not len(frames):
        return
    starts, ends = frames.T
    order = np.arange(len(frames))
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
    # Frames may be nested, so their ends need not be in order; the latest end so far always is.
    first = np.searchsorted(np.maximum.accumulate(ends), words[:, 0], side="right")
    stop = np.maximum(np.searchsorted(starts, words[:, 1], side="left"), first)
    total = np.concatenate([[0], np.cumsum(stop - first)])
    begin = 0
    while begin < len(words):
        end = max(begin + 1, int(np.searchsorted(total, total[begin] + BLOCK, side="right")) - 1)
        counts = np.diff(total[begin : end + 1])
        word = np.repeat(np.arange(begin, end), counts)
        frame = np.arange(total[begin], total[end]) + np.repeat(first[begin:end] - total[begin:end], counts)
        since, until = (np.repeat(words[begin:end, side], counts) for side in (0, 1))
        shared = np.minimum(ends[frame], until) - np.maximum(starts[frame], since) > EPSILON
        word, frame = word[shared], frame[shared]
        if len(word):
            offsets = np.flatnonzero(np.diff(word, prepend=-1))
            yield word[offsets], order[frame], offsets
        begin = end


def _reduced(features: np.ndarray, frames: np.ndarray, starts: np.ndarray, reducer: str) -> np.ndarray:
    """One row of `features` for each run of `frames` that begins at `starts`."""
    if reducer == "first":
        return features[frames[starts]]
    counts = np.diff(np.append(starts, len(frames)))
    if reducer == "last":
        return features[frames[starts + counts - 1]]
    if reducer == "max":
        return np.maximum.reduceat(features[frames], starts, axis=0)
    low, high = frames.min(), frames.max() + 1
    ones, ends = np.ones(len(frames), dtype=np.float32), np.append(starts, len(frames))
    members = csr_array((ones, frames - low, ends), (len(starts), high - low))
    return members @ features[low:high].astype(np.float32, copy=False) / counts[:, None]
