# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The raw releases of CMU-MOSI and CMU-MOSEI: `Raw/` with sound, pictures and transcripts, and labels beside it.

Rows hold paths, transcripts and labels; features are extracted from them. A segment's own files are taken where they are
there (`Segmented`); else those of the whole video, cut at the times of its label.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ...label_field import LabelField
from ..record import CorpusRecord, DroppedClip
from .cmu_segment_labels import Segments, read_segments
from .layouts import CorpusLayout, LayoutFile, finite_or_none
from .official_folds import split_of


SOUND, PICTURES = (".wav", ".flac"), (".mp4", ".avi", ".mkv")


@dataclass(frozen=True)
class Clip:
    """A clip of the release: its number in file names, its text, and its start in seconds where that is known."""

    number: int
    text: str
    start: float | None = None


class RawReleaseLayout(CorpusLayout):
    """A subclass gives `about`, `corpus`, `label_fields`, `label_columns`, `counts`, `labels_of`, `clips` and `match`."""

    name = "raw"
    title = "the raw release (Raw/Audio, Raw/Video, Raw/Transcript) with labels beside it"
    corpus: str
    about: CorpusRecord
    label_fields: list[LabelField]
    label_columns: tuple[str, ...]
    counts: dict[str, int]
    shardable = True
    files = (
        LayoutFile("Raw/Transcript", "what is said in each clip"),
        LayoutFile("*Labels*.csd", "labels and their times (or a csv)"),
        LayoutFile("Raw/Audio", "sound", required=False),
        LayoutFile("Raw/Video*", "pictures", required=False),
    )

    @staticmethod
    def find_files(folder: Path, wanted: LayoutFile) -> list[Path]:
        """Like `CorpusLayout.find_files`; labels may also be in `mosei.csv`, or in the folder above."""
        found = CorpusLayout.find_files(folder, wanted)
        if not found and "Labels" in wanted.path:
            places = [(home, name) for home in (folder, Path(folder) / "Raw") for name in (wanted.path, "mosei.csv")]
            found = [path for home, name in places for path in CorpusLayout.find_files(home, LayoutFile(name, ""))]
        return found

    def clips(self, video: str) -> list[Clip]:
        """The clips of a video as its transcript lists them; none if it has no transcript."""
        raise NotImplementedError

    def match(self, segments: Segments, clips: list[Clip]) -> list[Clip | None]:
        """For every segment its clip."""
        raise NotImplementedError

    def labels_of(self, values) -> dict:
        """The labels of a row from its values in the label sequence."""
        raise NotImplementedError

    def describe(self) -> CorpusRecord:
        return replace(self.about, label_fields=self.label_fields, counts=self.counts)

    def rows(self, split: str) -> Iterator[dict]:
        homes = split_of(self.corpus)
        if split == "train" and self.shard_index == 0:
            for video in self._segments:
                if video not in homes:
                    reason = "its video is in no official fold"
                    self.dropped += [DroppedClip(clip, reason) for clip in self._segments[video].ids]
        for video in self.select_shard(video for video in sorted(self._segments) if homes.get(video) == split):
            yield from self._video_rows(video)

    def _video_rows(self, video: str) -> Iterator[dict]:
        segments, clips = self._segments[video], self.clips(video)
        matched = self.match(segments, clips)
        strangers = len(set(clips) - set(matched))
        self.reported.update({"clip_without_label": strangers} if strangers else {})
        for k, (clip, found) in enumerate(zip(segments.ids, matched, strict=True)):
            row = {"id": clip, "group": video, "transcript": None} | self._files(video, found, *segments.times[k])
            if found is not None and "text" in self.options["modalities"]:
                row["transcript"] = " ".join(found.text.split()) or None
            if row["transcript"] is None and row["audio_file"] is None and row["video_file"] is None:
                self.dropped.append(DroppedClip(clip, "neither transcript nor media of it are there"))
                continue
            lacking = {"transcript": "text", "audio_file": "audio", "video_file": "visual"}
            self.reported.update(
                f"no_{key}" for key, m in lacking.items() if row[key] is None and m in self.options["modalities"]
            )
            yield row | {"labels": self.audit_labels(self.labels_of(segments.values[k]), self.label_fields)}

    # files ------------------------------------------------------------------------------------------------------------

    def _files(self, video: str, clip: Clip | None, start: float, end: float) -> dict:
        """Paths and times: files of the segment, or of the whole video; a row has one pair of times for both."""
        kinds = [kind for kind, m in (("audio", "audio"), ("video", "visual")) if m in self.options["modalities"]]
        own = {kind: self._media[kind].get(f"{video}_{clip.number}") for kind in kinds} if clip else {}
        if all(own.get(kind) or video not in self._media[kind] for kind in kinds) and any(own.values()):
            return {"audio_file": own.get("audio"), "video_file": own.get("video"), "start": None, "end": None}
        whole = {kind: self._media[kind].get(video) for kind in kinds}
        times = (
            {"start": float(max(start, 0.0)), "end": float(end)}
            if any(whole.values())
            else dict.fromkeys(("start", "end"))
        )
        return {"audio_file": whole.get("audio"), "video_file": whole.get("video")} | times

    @cached_property
    def _media(self) -> dict[str, dict[str, str]]:
        """`audio` and `video` -> name of the file without ending -> path. Two files of a name: the first is taken."""
        found: dict[str, dict[str, str]] = {"audio": {}, "video": {}}
        for wanted in self.files[2:]:
            for top in self.find_files(self.folder, wanted):
                for folder, below, names in os.walk(top):
                    below.sort()
                    for name in sorted(names):
                        stem, ending = os.path.splitext(name)
                        kind = "audio" if ending.lower() in SOUND else "video" if ending.lower() in PICTURES else None
                        if kind is not None:
                            found[kind].setdefault(stem, os.path.join(folder, name))
        return found

    @cached_property
    def _segments(self) -> dict[str, Segments]:
        segments, twice = read_segments(self.find_files(self.folder, self.files[1])[0], self.label_columns)
        self.reported.update({"duplicate": twice} if twice else {})
        return segments


def sentiment_of(values) -> dict:
    """The one label of CMU-MOSI."""
    return {"sentiment": finite_or_none(values[0])}
