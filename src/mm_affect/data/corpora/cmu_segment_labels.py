# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Read the segment labels of CMU-MOSI and CMU-MOSEI, with their times, from a label sequence (.csd) or a csv table."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..readers.csd import ComputationalSequence
from ..readers.tables import parse_float, read_table
from .layouts import deduplicate_ids


@dataclass(frozen=True)
class Segments:
    """The segments of a video.

    Args:
        ids: their ids.
        times: start and end in seconds, (n, 2).
        values: their labels, (n, labels).
    """

    ids: list[str]
    times: np.ndarray
    values: np.ndarray


def read_segments(path: Path, columns: tuple[str, ...]) -> tuple[dict[str, Segments], int]:
    """Read the segments of every video.

    Args:
        path: label sequence (.csd), or csv with the columns `id`, `segment_id`, `start`, `end` and `columns`.
        columns: the labels, in the order of the sequence.

    Returns:
        Video -> segments, and the number of repeated ids, which were made unique.
    """
    if path.suffix == ".csd":
        with ComputationalSequence(path) as sequence:
            if sequence.size != len(columns):
                raise ValueError(f"{path} has {sequence.size} labels per segment; expected {len(columns)}.")
            return {video: _read_video(sequence, video) for video in sequence.videos}, 0
    lines_by_video: dict[str, list] = {}
    for where, cells in read_table(path, ("id", "segment_id", "start", "end", *columns)):
        numbers = [parse_float(cells[column], where, column) for column in ("start", "end", *columns)]
        lines_by_video.setdefault(cells["id"], []).append((f"{cells['id']}[{cells['segment_id']}]", numbers))
    segments, repeated = {}, 0
    for video, lines in lines_by_video.items():
        values = np.array([numbers for _, numbers in lines])
        ids, count = deduplicate_ids(clip for clip, _ in lines)
        segments[video] = Segments(ids, values[:, :2], values[:, 2:])
        repeated += count
    return segments, repeated


def _read_video(sequence: ComputationalSequence, video: str) -> Segments:
    times, values = sequence.intervals(video), sequence.features(video)
    return Segments([f"{video}[{k}]" for k in range(len(times))], times, values)
