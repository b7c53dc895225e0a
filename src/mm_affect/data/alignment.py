# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Alignment by time: frames to the words that they overlap, and words or frames to segments.

The rule is that of the CMU Multimodal SDK (`mmdataset.align`): two intervals overlap if they share more than 10
microseconds, so that neighbors that only touch do not, and empty intervals overlap nothing. All words are processed at
once: after sorting by start, the frames that a word may overlap are one range, which bisection yields.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array


EPSILON = 1e-5  # seconds
REDUCERS = ("mean", "max", "first", "last")
BLOCK = 2**14  # frames at a time, so that the working set stays in the cache


def align(features: np.ndarray, intervals: np.ndarray, words: np.ndarray, reducer: str = "mean") -> np.ndarray:
    """Reduce the frames that overlap each word to one step per word.

    Neither words nor frames need to be sorted, and frames may overlap each other. A frame of NaN was not measured and is
    ignored; a word without a measured frame is a step of NaN. Other non-finite values propagate, as in the SDK.

    Args:
        features: frames, float32 `(n, size)`.
        intervals: start and end of each frame in seconds, `(n, 2)`.
        words: start and end of each word in seconds, `(words, 2)`.
        reducer: `"mean"`, `"max"`, `"first"` or `"last"` (by start) of the frames of a word.

    Returns:
        Steps, float32 `(words, size)`.

    Raises:
        ValueError: the reducer is unknown, a shape is wrong, or a time is not finite.
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
    """Return for each segment the indices of the intervals that it overlaps, sorted by start.

    An interval across the border of two segments belongs to both, as in the SDK.

    Args:
        segments: start and end of each segment in seconds, `(segments, 2)`.
        intervals: start and end of each word or frame in seconds, `(n, 2)`.
    """
    segments, intervals = _checked(segments, "segments"), _checked(intervals, "intervals")
    overlapping = [np.zeros(0, dtype=np.int64)] * len(segments)
    for members, indices, starts in _overlaps(segments, intervals):
        for member, part in zip(members, np.split(indices, starts[1:]), strict=True):
            overlapping[member] = part
    return overlapping


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
    """Return the indices of the frames that are not all NaN."""
    missing = np.isnan(features[:, 0]) if features.shape[1] else np.zeros(len(features), dtype=bool)
    missing[missing] = np.isnan(features[missing]).all(axis=1)
    return np.flatnonzero(~missing)


def _overlaps(words: np.ndarray, frames: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield blocks of words that overlap any frame, their frames concatenated, and the offset of each word in these.

    The frames of a word are sorted by start.
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
    """Reduce each run of `frames` that begins at an offset of `starts` to one step."""
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
