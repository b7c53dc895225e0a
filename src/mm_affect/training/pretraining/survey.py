# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Survey of the rows before training: one pass in constant memory, except for a few bytes per row."""

import copy
import hashlib
import heapq
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...features.characters import TranscriptTokenizer
from ...features.processor import AffectProcessor
from .options import PretrainingOptions
from .rows import MappedRows, StreamedRows


NO_TRANSCRIPT, NO_AUDIO = "without a transcript", "without audio (none, or shorter than a window)"
TOO_LONG = "longer than a batch"


@dataclass
class Survey:
    """Training rows and held-out rows.

    Args:
        training: Index of each training row `(training rows,)`.
        steps: Audio steps of each training row `(training rows,)`.
        held_out: Rows of the evaluation.
        speakers: Speakers of the training rows, sorted: the classes of the identification.
        left_out: Number of rows that were left out, by reason.
        unknown: Number of occurrences of each character outside the alphabet, which becomes the unknown token.
        silent: Number of clips whose audio steps are all equal.
        longest: Number of ids of the longest transcript, with its end token.
        digest: Hash of the rows, to detect that they have changed.
    """

    training: np.ndarray
    steps: np.ndarray
    held_out: list[dict]
    speakers: list[str]
    left_out: dict[str, int]
    unknown: dict[str, int]
    silent: int
    longest: int
    digest: str

    def sentences(self) -> list[str]:
        """Return a summary for the log."""
        lines = [
            (
                f"{len(self.training)} clips of {len(self.speakers)} speakers to train on, {len(self.held_out)} held out for evaluation, "
                f"{int(self.steps.sum())} steps of audio."
            )
        ]
        lines += [f"{count} clips left out: {reason}." for reason, count in self.left_out.items()]
        if self.silent:
            lines.append(f"{self.silent} clips are silent.")
        if self.unknown:
            examples = ", ".join(f"{c!r} ({n})" for c, n in Counter(self.unknown).most_common(8))
            lines.append(
                f"Characters outside the alphabet, read as unknown: {sum(self.unknown.values())}, such as {examples}."
            )
        return lines


def hash_id(name: str) -> float:
    """Return a number from 0 to 1 that depends on the id of a clip alone."""
    return zlib.crc32(name.encode()) / 2**32


class RowSample:
    """Copies of those of the added rows, at most `most`, whose ids have the smallest `hash_id`."""

    def __init__(self, most: int):
        self.most = most
        self._heap: list[tuple[float, str, dict]] = []

    def add(self, row: dict) -> None:
        """Add a row, or leave it out."""
        rank = (-hash_id(row["id"]), row["id"])
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, (*rank, copy.deepcopy(row)))
        elif rank > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (*rank, copy.deepcopy(row)))

    def rows(self) -> list[dict]:
        """Return the rows, in a fixed order."""
        return [row for *_, row in sorted(self._heap, key=lambda entry: entry[:2])]


def reject_reason(row: dict, tokenizer: TranscriptTokenizer, most_steps: int) -> str | None:
    """Return the reason why a row cannot be used, or None."""
    if not tokenizer.normalize(row["transcript"] or ""):
        return NO_TRANSCRIPT
    if not len(row["audio"]):
        return NO_AUDIO
    return TOO_LONG if len(row["audio"]) > most_steps else None


def take_survey(
    rows: Sequence[dict] | StreamedRows | MappedRows,
    processor: AffectProcessor,
    tokenizer: TranscriptTokenizer,
    options: PretrainingOptions,
) -> Survey:
    """Read every row once and fit the processor on the training rows.

    Args:
        rows: Rows of the split.
        processor: Processor that is fitted.
        tokenizer: Tokenizer of the transcripts.
        options: Config of the run.

    Raises:
        ValueError: There is nothing to train on, nothing held out, or only one speaker.
    """
    training: list[int] = []
    steps: list[int] = []
    speakers: set[str] = set()
    held_out = RowSample(options.evaluation_clips)
    left_out: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    silent, longest, digest = 0, 0, hashlib.sha256()

    def training_rows() -> Iterator[dict]:
        nonlocal silent, longest
        for place in range(len(rows)):
            row = rows[place]
            digest.update(repr((row["id"], row["group"], row["transcript"], len(row["audio"]))).encode())
            reason = reject_reason(row, tokenizer, options.batch_steps)
            if reason is not None:
                left_out[reason] += 1
                continue
            text = tokenizer.normalize(row["transcript"])
            unknown.update(c for c in text if c not in tokenizer.alphabet)
            silent += int((row["audio"] == row["audio"][0]).all())
            longest = max(longest, len(text) + 1)
            if hash_id(row["id"]) < options.held_out:
                held_out.add(row)
                continue
            training.append(place)
            steps.append(len(row["audio"]))
            speakers.add(row["group"])
            yield row

    processor.fit(training_rows())
    if len(speakers) < 2 or not held_out.rows():
        raise ValueError(
            f"Of {len(rows)} rows, {len(training)} of {len(speakers)} speakers can be trained on and "
            f"{len(held_out.rows())} are held out ({', '.join(f'{n} {r}' for r, n in left_out.items()) or 'none left out'}); "
            "expected two speakers and one clip held out at least."
        )
    kept = held_out.rows()
    found = (sorted(speakers), dict(left_out), dict(unknown), silent, longest, digest.hexdigest())
    return Survey(np.array(training), np.array(steps), kept, *found)


def select_unseen_rows(
    rows: Sequence[dict] | StreamedRows | MappedRows,
    survey: Survey,
    tokenizer: TranscriptTokenizer,
    options: PretrainingOptions,
) -> list[dict]:
    """Return rows of speakers that are not in the survey, at most `options.evaluation_clips`."""
    chosen, known = RowSample(options.evaluation_clips), set(survey.speakers)
    for place in range(len(rows)):
        row = rows[place]
        if row["group"] not in known and reject_reason(row, tokenizer, options.batch_steps) is None:
            chosen.add(row)
    return chosen.rows()
