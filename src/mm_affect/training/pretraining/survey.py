# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is there to learn from: one pass over the rows before training, in constant memory but for a few bytes per row."""

import copy
import hashlib
import heapq
import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ...features.characters import TranscriptTokenizer
from ...features.processor import AffectProcessor


NO_TRANSCRIPT, NO_AUDIO = "without a transcript", "without audio (none, or shorter than a window)"
TOO_LONG = "longer than a batch"


@dataclass
class Survey:
    """Which rows are trained on, and which are held out.

    Args:
        training, steps: place of each training row among the rows, and its steps of audio; `(rows,)` each.
        held_out: the rows that are measured on, or as many of them as were asked for.
        speakers: of the training rows, sorted: what can be identified.
        left_out: how many rows were left out, by reason.
        unknown: how often each character outside the alphabet is there; it is read as the unknown token.
        silent: clips of which every step is the same.
        longest: ids of the longest transcript, its end token included.
        digest: tells whether two surveys saw the same rows.
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
        """What was found, for the reader of the log."""
        said = [
            (
                f"{len(self.training)} clips of {len(self.speakers)} speakers to train on, {len(self.held_out)} held out to measure, "
                f"{int(self.steps.sum())} steps of audio."
            )
        ]
        said += [f"{count} clips left out: {reason}." for reason, count in self.left_out.items()]
        if self.silent:
            said.append(f"{self.silent} clips are silent: nothing can be heard in them.")
        if self.unknown:
            shown = ", ".join(f"{c!r} ({n})" for c, n in Counter(self.unknown).most_common(8))
            said.append(
                f"Characters outside the alphabet, read as unknown: {sum(self.unknown.values())}, such as {shown}."
            )
        return said


def hash_id(name: str) -> float:
    """A number from 0 to 1 that the id of a clip decides, whatever else is in the corpus."""
    return zlib.crc32(name.encode()) / 2**32


class RowSample:
    """Of the rows that are added, the `most` whose ids come first by `hash_id`, in memory of their own."""

    def __init__(self, most: int):
        self.most, self._heap = most, []

    def add(self, row: dict) -> None:
        rank = (-hash_id(row["id"]), row["id"])
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, (*rank, copy.deepcopy(row)))
        elif rank > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (*rank, copy.deepcopy(row)))

    def rows(self) -> list[dict]:
        return [row for *_, row in sorted(self._heap, key=lambda entry: entry[:2])]


def reject_reason(row: dict, tokenizer: TranscriptTokenizer, most_steps: int) -> str | None:
    """Why a row cannot be learned from, or None."""
    if not tokenizer.normalize(row["transcript"] or ""):
        return NO_TRANSCRIPT
    if not len(row["audio"]):
        return NO_AUDIO
    return TOO_LONG if len(row["audio"]) > most_steps else None


def take_survey(rows, processor: AffectProcessor, tokenizer: TranscriptTokenizer, options) -> Survey:
    """Read every row once; the processor's statistics are taken from the training rows.

    Args:
        rows: a sequence of rows.
        options: `PretrainingOptions`.

    Raises:
        ValueError: nothing to train on, nothing held out, or less than two speakers.
    """
    training, steps, speakers, held_out = [], [], set(), RowSample(options.evaluation_clips)
    left_out, unknown, silent, longest, digest = Counter(), Counter(), 0, 0, hashlib.sha256()

    def to_train_on():
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

    processor.fit(to_train_on())
    if len(speakers) < 2 or not held_out.rows():
        raise ValueError(
            f"Of {len(rows)} rows, {len(training)} of {len(speakers)} speakers can be trained on and "
            f"{len(held_out.rows())} are held out ({', '.join(f'{n} {r}' for r, n in left_out.items()) or 'none left out'}); "
            "expected two speakers and one clip held out at least."
        )
    kept = held_out.rows()
    found = (sorted(speakers), dict(left_out), dict(unknown), silent, longest, digest.hexdigest())
    return Survey(np.array(training), np.array(steps), kept, *found)


def select_unseen_rows(rows, survey: Survey, tokenizer: TranscriptTokenizer, options) -> list[dict]:
    """Rows of speakers whom the survey did not find: as many as are measured on."""
    chosen, known = RowSample(options.evaluation_clips), set(survey.speakers)
    for place in range(len(rows)):
        row = rows[place]
        if row["group"] not in known and reject_reason(row, tokenizer, options.batch_steps) is None:
            chosen.add(row)
    return chosen.rows()
