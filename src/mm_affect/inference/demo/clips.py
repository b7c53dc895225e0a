# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The input of the page: a file, a transcript, or a sample of a corpus."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.manifest import read_manifest
from ...data.show import format_labels
from ...features.media import probe


LIMIT = 60.0  # seconds; longer clips are cut
MAX_WORDS = 1000  # more than anybody says in that time
MAX_SAMPLES = 12


@dataclass(frozen=True)
class InputClip:
    """A file, a transcript, or both; `spans` are `[start, end]` seconds of each word, if known."""

    path: str | None = None
    transcript: str = ""
    spans: list[list[float]] | None = None

    def to_row(self) -> tuple[dict[str, Any], float]:
        """Return the clip as a raw row of at most `LIMIT` seconds, and the duration of the whole file in seconds.

        Spans are dropped if they do not match the words, as after the transcript was edited.

        Raises:
            ValueError: If there is neither a file nor a word, there are too many words, or the file is not media
                (`MediaError`).
        """
        words = self.transcript.split()
        if self.path is None and not words:
            raise ValueError("There is nothing to recognize: give a clip, a transcript, or both.")
        if len(words) > MAX_WORDS:
            raise ValueError(f"The transcript has {len(words)} words; the limit is {MAX_WORDS}.")
        spans = self.spans if self.spans is not None and len(self.spans) == len(words) else None
        row: dict[str, Any] = {"id": "clip", "transcript": self.transcript.strip() or None, "spans": spans}
        if self.path is None:
            return row, 0.0
        media = probe(self.path)
        row["video_file" if media.has_video else "audio_file"] = self.path
        if media.duration > LIMIT:
            row["end"] = LIMIT
        return row, media.duration


@dataclass(frozen=True)
class Sample:
    """A clip of a corpus, with its labels as text."""

    name: str
    clip: InputClip
    labels: dict[str, str]


def load_samples(folder: str | Path) -> list[Sample]:
    """Load the first clips of a corpus that have a file, from the test split if it has any (no model was trained on it).

    Raises:
        OSError, ValueError: If the folder holds no valid manifest, or no clip with a file.
    """
    manifest = read_manifest(folder)
    records = [record for record in manifest.records if get_media_file(record)]
    if not records:
        raise ValueError(f"No clip of {folder} has an audio or video file; give a corpus with media.")
    records = [record for record in records if record["split"] == "test"] or records
    return [
        Sample(
            f"{record['id']}: {record['transcript'] or 'no transcript'}",
            InputClip(get_media_file(record), record["transcript"] or "", record["spans"]),
            format_labels(record, manifest.label_fields),
        )
        for record in records[:MAX_SAMPLES]
    ]


def get_media_file(record: dict[str, Any]) -> str | None:
    """Return the video file of a record, else its audio file; None if the clip is only a part of it, which cannot be played."""
    is_part = record["start"] is not None or record["end"] is not None
    return None if is_part else record["video_file"] or record["audio_file"]
