# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Raw releases of CMU-MOSI and CMU-MOSEI: audio, video and transcripts in `Raw/`, with a label file next to it.

Rows hold media paths, transcripts and labels, and no features. A row refers to the files of its segment (in `Segmented`)
if they exist, and otherwise to those of the whole video, with the start and end time of its label.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ...label_field import LabelField
from ..record import CorpusRecord, DroppedClip
from .cmu_segment_labels import Segments, read_segments
from .layouts import CorpusLayout, LayoutFile, finite_or_none
from .official_folds import NOT_IN_FOLDS, get_split_by_id


AUDIO_SUFFIXES, VIDEO_SUFFIXES = (".wav", ".flac"), (".mp4", ".avi", ".mkv")


@dataclass(frozen=True)
class TranscribedClip:
    """A clip of the release.

    Args:
        number: its number in file names.
        text: its transcript.
        start: its start in seconds, if it is known.
    """

    number: int
    text: str
    start: float | None = None


class RawReleaseLayout(CorpusLayout):
    """Base class of the raw releases. Subclasses implement `parse_labels`, `clips` and `match`.

    Class attributes:
        corpus: name of the official folds.
        about: name, license, citation and split protocol of the corpus.
        label_fields: label columns of the rows.
        label_columns: columns of the label file.
        counts: documented number of rows per split.
    """

    name = "raw"
    title = "the raw release (Raw/Audio, Raw/Video, Raw/Transcript) with a label file"
    corpus: str
    about: CorpusRecord
    label_fields: list[LabelField]
    label_columns: tuple[str, ...]
    counts: Mapping[str, int]
    shardable = True
    files = (
        LayoutFile("Raw/Transcript", "transcripts of the clips"),
        LayoutFile("*Labels*.csd", "labels and their times (or a csv)"),
        LayoutFile("Raw/Audio", "audio", required=False),
        LayoutFile("Raw/Video*", "video", required=False),
    )

    @staticmethod
    def find_files(folder: Path, file: LayoutFile) -> list[Path]:
        """Return the paths that match `file`; labels may also be in `mosei.csv` or subfolders `Raw`."""
        paths = CorpusLayout.find_files(folder, file)
        if not paths and "Labels" in file.path:
            places = [(home, name) for home in (folder, Path(folder) / "Raw") for name in (file.path, "mosei.csv")]
            paths = [path for home, name in places for path in CorpusLayout.find_files(home, LayoutFile(name, ""))]
        return paths

    def clips(self, video: str) -> list[TranscribedClip]:
        """Return the clips in the transcript of a video; an empty list if there is no transcript."""
        raise NotImplementedError

    def match(self, segments: Segments, clips: list[TranscribedClip]) -> list[TranscribedClip | None]:
        """Return the clip of every segment, or None."""
        raise NotImplementedError

    def parse_labels(self, values) -> dict:
        """Parse the labels of a row from its values in the label file."""
        raise NotImplementedError

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        return replace(self.about, label_fields=self.label_fields, counts=dict(self.counts))

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        split_by_video = get_split_by_id(self.corpus)
        if split == "train" and self.shard_index == 0:
            for video in self._segments:
                if video not in split_by_video:
                    reason = NOT_IN_FOLDS
                    self.dropped += [DroppedClip(clip, reason) for clip in self._segments[video].ids]
        for video in self.select_shard(
            video for video in sorted(self._segments) if split_by_video.get(video) == split
        ):
            yield from self._video_rows(video)

    def _video_rows(self, video: str) -> Iterator[dict]:
        segments, clips = self._segments[video], self.clips(video)
        matched = self.match(segments, clips)
        self.report("clip_without_label", len(set(clips) - set(matched)))
        for k, (clip, transcribed) in enumerate(zip(segments.ids, matched, strict=True)):
            row = {"id": clip, "group": video, "transcript": None} | self._get_media(
                video, transcribed, *segments.times[k]
            )
            if transcribed is not None and "text" in self.options["modalities"]:
                row["transcript"] = " ".join(transcribed.text.split()) or None
            if row["transcript"] is None and row["audio_file"] is None and row["video_file"] is None:
                self.dropped.append(DroppedClip(clip, "it has neither a transcript nor media"))
                continue
            modality_by_key = {"transcript": "text", "audio_file": "audio", "video_file": "visual"}
            self.reported.update(
                f"no_{key}"
                for key, m in modality_by_key.items()
                if row[key] is None and m in self.options["modalities"]
            )
            yield row | {"labels": self.audit_labels(self.parse_labels(segments.values[k]), self.label_fields)}

    # files ------------------------------------------------------------------------------------------------------------

    def _get_media(self, video: str, clip: TranscribedClip | None, start: float, end: float) -> dict:
        """Return media paths and times, of the segment or of the whole video. Audio and video share one pair of times."""
        kinds = [kind for kind, m in (("audio", "audio"), ("video", "visual")) if m in self.options["modalities"]]
        own = {kind: self._media[kind].get(f"{video}_{clip.number}") for kind in kinds} if clip else {}
        if all(own.get(kind) or video not in self._media[kind] for kind in kinds) and any(own.values()):
            return {"audio_file": own.get("audio"), "video_file": own.get("video"), "start": None, "end": None}
        whole = {kind: self._media[kind].get(video) for kind in kinds}
        times = (float(max(start, 0.0)), float(end)) if any(whole.values()) else (None, None)
        media = {"audio_file": whole.get("audio"), "video_file": whole.get("video")}
        return media | {"start": times[0], "end": times[1]}

    @cached_property
    def _media(self) -> dict[str, dict[str, str]]:
        """Return `audio` or `video` -> file name without suffix -> path of the first such file."""
        media: dict[str, dict[str, str]] = {"audio": {}, "video": {}}
        for file in self.files[2:]:
            for top in self.find_files(self.folder, file):
                for folder, subfolders, names in os.walk(top):
                    subfolders.sort()
                    for name in sorted(names):
                        stem, ending = os.path.splitext(name)
                        kind = (
                            "audio"
                            if ending.lower() in AUDIO_SUFFIXES
                            else "video"
                            if ending.lower() in VIDEO_SUFFIXES
                            else None
                        )
                        if kind is not None:
                            media[kind].setdefault(stem, os.path.join(folder, name))
        return media

    @cached_property
    def _segments(self) -> dict[str, Segments]:
        segments, repeated = read_segments(self.find_files(self.folder, self.files[1])[0], self.label_columns)
        self.report("duplicate", repeated)
        return segments


def parse_sentiment(values) -> dict:
    """Parse the label of CMU-MOSI."""
    return {"sentiment": finite_or_none(values[0])}
