# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a visitor gives: a file, a transcript, or a sample of a corpus."""

from dataclasses import dataclass
from pathlib import Path

from ...data.manifest import read_manifest
from ...data.show import label_words
from ...features.media import probe


LIMIT = 60.0  # seconds; of a longer clip the beginning is read
MAX_WORDS = 1000  # of a transcript: more than anybody says in that time
MAX_SAMPLES = 12


@dataclass(frozen=True)
class Clip:
    """A file, words, or both; `spans` are the `[start, end]` seconds of each word, where they are known."""

    path: str | None = None
    transcript: str = ""
    spans: list[list[float]] | None = None

    def row(self) -> tuple[dict, float]:
        """The clip as a raw row of at most `LIMIT` seconds, and how many seconds the whole of it lasts.

        Spans count only if there is one per word, as there no longer is when somebody has edited the transcript.

        Raises:
            ValueError: there is neither a file nor a word, there are too many words, or the file is no media (`MediaError`).
        """
        words = self.transcript.split()
        if self.path is None and not words:
            raise ValueError("There is nothing to recognize: give a clip, a transcript, or both.")
        if len(words) > MAX_WORDS:
            raise ValueError(f"The transcript has {len(words)} words; give {MAX_WORDS} at most.")
        spans = self.spans if self.spans is not None and len(self.spans) == len(words) else None
        row = {"id": "clip", "transcript": self.transcript.strip() or None, "spans": spans}
        if self.path is None:
            return row, 0.0
        medium = probe(self.path)
        row["video_file" if medium.has_video else "audio_file"] = self.path
        if medium.duration > LIMIT:
            row["end"] = LIMIT
        return row, medium.duration


@dataclass(frozen=True)
class Sample:
    """A clip of a corpus, with its labels in words."""

    name: str
    clip: Clip
    labels: dict[str, str]


def load_samples(folder: str | Path) -> list[Sample]:
    """The first clips of a corpus with a file, of its test split if that has any: no model was trained on those.

    Raises:
        OSError, ValueError: the folder holds no manifest, a wrong one, or no clip with a file.
    """
    manifest = read_manifest(folder)
    records = [record for record in manifest.records if media_of(record)]
    if not records:
        raise ValueError(f"No clip of {folder} has a sound or video file; give a corpus that has some.")
    records = [record for record in records if record["split"] == "test"] or records
    return [
        Sample(
            f"{record['id']}: {record['transcript'] or 'without words'}",
            Clip(media_of(record), record["transcript"] or "", record["spans"]),
            label_words(record, manifest.label_fields),
        )
        for record in records[:MAX_SAMPLES]
    ]


def media_of(record: dict) -> str | None:
    """The file of a record that shows most; none where only a part of it is the clip, which a page cannot play."""
    cut = record["start"] is not None or record["end"] is not None
    return None if cut else record["video_file"] or record["audio_file"]
