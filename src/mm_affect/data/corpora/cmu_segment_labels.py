# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Labels of the segments of CMU-MOSI and CMU-MOSEI with their times, from the label sequence (.csd) or a csv table."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..readers.csd import ComputationalSequence
from ..readers.tables import parse_float, read_table
from .layouts import deduplicate_ids


@dataclass(frozen=True)
class Segments:
    """The segments of one video: `ids`, `times` (n, 2) in seconds, and `values` (n, labels)."""

    ids: list[str]
    times: np.ndarray
    values: np.ndarray


def read_segments(path: Path, columns: tuple[str, ...]) -> tuple[dict[str, Segments], int]:
    """Video -> its segments, and how many ids were there twice (now told apart).

    From a csd file, or a csv with `id`, `segment_id`, `start`, `end` and `columns`.
    """
    if path.suffix == ".csd":
        with ComputationalSequence(path) as sequence:
            if sequence.size != len(columns):
                raise ValueError(f"{path} has {sequence.size} labels per segment; expected {len(columns)}.")
            return {video: _of_video(sequence, video) for video in sequence.videos}, 0
    found: dict[str, list] = {}
    for where, cells in read_table(path, ("id", "segment_id", "start", "end", *columns)):
        numbers = [parse_float(cells[column], where, column) for column in ("start", "end", *columns)]
        found.setdefault(cells["id"], []).append((f"{cells['id']}[{cells['segment_id']}]", numbers))
    segments, doubled = {}, 0
    for video, lines in found.items():
        values = np.array([numbers for _, numbers in lines])
        ids, twice = deduplicate_ids(clip for clip, _ in lines)
        segments[video] = Segments(ids, values[:, :2], values[:, 2:])
        doubled += twice
    return segments, doubled


def _of_video(sequence: ComputationalSequence, video: str) -> Segments:
    times, values = sequence.intervals(video), sequence.features(video)
    return Segments([f"{video}[{k}]" for k in range(len(times))], times, values)
