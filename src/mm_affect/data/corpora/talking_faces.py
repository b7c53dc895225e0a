# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of talking-face clips of any size, with a manifest of speakers and transcripts.

Clips are read in the order of their ids. Only the listings of the folders above one clip, the names of the speakers and
the rows of one Arrow table are in memory.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from ...label_field import LabelField
from ..record import CorpusRecord, DroppedClip
from .layouts import CorpusLayout, LayoutFile, LayoutOption, check_fraction
from .transcript_table import TranscriptTable


AUDIO_SUFFIXES = (".wav", ".flac", ".m4a", ".mp3", ".ogg")
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".mpg")
MAX_DEPTH = 8  # nested folders; deeper ones indicate a link to a parent folder
MAX_NAMED_DROPS = 1000  # dropped clips that are listed by id; all of them are counted
ENGLISH = ("en", "eng", "english")
MANIFESTS = ("csv", "jsonl", "parquet")
MANIFEST_OPTIONS = {
    "transcripts": LayoutOption(
        "manifest of transcripts (csv, jsonl or Parquet: id, transcript, likelihood, language)"
    ),
    "minimum_likelihood": LayoutOption("drop clips whose transcript has a lower likelihood"),
    "language": LayoutOption("keep English clips only, or clips in any language", "english", ("english", "any")),
    "validation": LayoutOption("fraction of the speakers or videos that become the validation split", 0.02),
    "validation_by": LayoutOption(
        "split validation off by speaker, or by video",
        "speaker",
        ("speaker", "video"),
    ),
}


class TalkingFacesLayout(CorpusLayout):
    """A folder of clips at any depth, with a manifest `clips.csv`, `clips.jsonl` or `clips.parquet`.

    The manifest has the columns `id` and `speaker`, and optionally `transcript`, `likelihood` and `language`. The id of a
    clip is its path without the suffix; an audio file and a video file with the same id are one clip.

    Class attributes:
        manifest_name: name of the manifest without its suffix.
        endings: suffixes of the media files.
    """

    name = "talking_faces"
    title = "a folder of talking faces (clips.csv, clips.jsonl or clips.parquet with id and speaker)"
    shardable = True
    files: tuple[LayoutFile, ...] = (LayoutFile("clips.*", "id and speaker of every clip, optionally its transcript"),)
    extra_options = MANIFEST_OPTIONS
    manifest_name = "clips"
    endings: tuple[str, ...] = AUDIO_SUFFIXES + VIDEO_SUFFIXES

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Return True if `folder` holds this layout."""
        return bool(cls._find_manifests(Path(folder)))

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        by, share = self.options["validation_by"], self._validation_share
        speakers = tuple(self._speakers)
        return CorpusRecord(
            self.folder.resolve().name,
            label_fields=[LabelField("speaker", "single_label_classification", speakers)] if len(speakers) > 1 else [],
            split_protocol={
                "name": f"validation: {share:.1%} of the {by}s, drawn by a hash of their names",
                "groups_may_cross": by == "video",
            },
            counts=dict.fromkeys(self._roots),
        )

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        self._check_manifest()
        if split == "train" and self.shard_index == 0:
            self._count_entries_without_clip()
        for clip, files in self._walk(self._roots[split]):
            entry = self._manifest.find(clip) if self._manifest else None
            speaker = self._get_speaker(clip, entry)
            if self._get_split(clip, speaker, split) != split:
                continue
            if speaker is None:
                self._drop(clip, "left_out_without_speaker", "the manifest does not name its speaker")
                continue
            reason = self._find_drop_reason(entry)
            if reason is None:
                yield self._build_row(clip, files, entry, speaker)
            else:
                self._drop(clip, *reason)

    def shard(self, index: int, num_shards: int) -> Self:
        """Return a new layout that reads one shard and shares the table of transcripts."""
        shard = super().shard(index, num_shards)
        shard._manifest = self._manifest
        return shard

    @property
    def _roots(self) -> dict[str, list[Path]]:
        """Return split -> folders whose contents are merged."""
        return dict.fromkeys(("train", "validation") if self._validation_share else ("train",), [self.folder])

    @cached_property
    def _manifest(self) -> TranscriptTable | None:
        given = self.options["transcripts"]
        paths = [Path(given)] if given else self._find_manifests(self.folder)
        if len(paths) > 1:
            raise ValueError(f"{self.folder} holds {' and '.join(path.name for path in paths)}; keep one.")
        return TranscriptTable(paths[0]) if paths else None

    @classmethod
    def _find_manifests(cls, folder: Path) -> list[Path]:
        return [path for kind in MANIFESTS if (path := folder / f"{cls.manifest_name}.{kind}").is_file()]

    @cached_property
    def _speakers(self) -> list[str]:
        """Return the speakers of all splits, sorted."""
        if self._manifest is None:
            raise ValueError(f"{self.folder} has no manifest `{self.manifest_name}` with a `speaker` column.")
        speakers = self._manifest.speakers()
        if not speakers:
            raise ValueError(f"{self._manifest.path} names no speakers; it needs a `speaker` column.")
        return speakers

    @cached_property
    def _speaker_index(self) -> dict[str, int]:
        return {speaker: index for index, speaker in enumerate(self._speakers)}

    def _get_speaker(self, clip: str, entry: dict | None) -> str | None:
        return None if entry is None else entry["speaker"]

    def _build_row(self, clip: str, files: list[str], entry: dict | None, speaker: str) -> dict:
        row: dict = {"id": clip, "group": speaker, "transcript": None, "audio_file": None, "video_file": None}
        for path in files:
            row["audio_file" if path.lower().endswith(AUDIO_SUFFIXES) else "video_file"] = path
        modalities = self.options["modalities"]
        if "audio" not in modalities:
            row["audio_file"] = None
        needs_audio_track = "audio" in modalities and row["audio_file"] is None
        if "visual" not in modalities and not needs_audio_track:
            row["video_file"] = None
        if entry and "text" in modalities:
            row["transcript"] = entry["transcript"]
        return row | {"labels": {"speaker": self._speaker_index[speaker]} if len(self._speakers) > 1 else {}}

    def _find_drop_reason(self, entry: dict | None) -> tuple[str, str] | None:
        """Return (kind in `reported`, reason) if a clip is to be dropped, or None."""
        if self._manifest is None or "transcript" not in self._manifest.columns:
            return None
        if entry is None or entry["transcript"] is None:
            return "left_out_without_transcript", "the manifest has no transcript for it"
        language, least = entry["language"], self.options["minimum_likelihood"]
        code = (language or "").lower().replace("_", "-").partition("-")[0]
        only_english = self.options["language"] == "english" and "language" in self._manifest.columns
        if only_english and code not in ENGLISH:
            return "left_out_not_english", f"its language is {language or 'not given'}"
        if least is not None and (entry["likelihood"] is None or entry["likelihood"] < least):
            return "left_out_as_unlikely", f"its likelihood is {entry['likelihood']}, less than {least}"
        return None

    def _drop(self, clip: str, kind: str, reason: str) -> None:
        self.reported[kind] += 1
        if len(self.dropped) < MAX_NAMED_DROPS:
            self.dropped.append(DroppedClip(clip, reason))

    def _check_manifest(self) -> None:
        """Check that the manifest has the columns that the options on language and likelihood need."""
        if self._manifest is None or "transcript" not in self._manifest.columns:
            return
        columns = self._manifest.columns
        least = self.options["minimum_likelihood"]
        if least is not None and "likelihood" not in columns:
            raise ValueError(f"{self._manifest.path} has no `likelihood` column; omit minimum_likelihood.")
        if least is None and "language" not in columns and self.options["language"] == "english":
            raise ValueError(
                f"{self._manifest.path} has no `language` column, so English clips cannot be selected: pass "
                "minimum_likelihood, or language='any' to keep all clips."
            )

    def _count_entries_without_clip(self) -> None:
        """Count the lines of the manifest without a clip, by probing a few file names for each of them."""
        if self._manifest is None:
            return
        roots = {root for roots in self._roots.values() for root in roots}
        names = [(root, ending) for root in sorted(roots) for ending in self.endings]
        for clip in self._manifest.ids():
            place = next((name for name in names if os.path.exists(f"{name[0]}/{clip}{name[1]}")), None)
            if place is None:
                self._drop(clip, "transcript_without_clip", "the manifest names it, but there is no such clip")
            elif place != names[0]:  # the next clip probably has the same root and suffix
                names.remove(place)
                names.insert(0, place)

    def _walk(self, roots: Sequence[Path]) -> Iterator[tuple[str, list[str]]]:
        """Iterate over (id, files) of the clips of this shard, in the order of their ids."""
        files, folders = _list_folders([str(root) for root in roots], self.endings)
        yield from self.select_shard(sorted(files.items()))
        for name, same in self.select_shard(sorted(folders.items())):
            yield from walk(same, self.endings, f"{name}/")

    @property
    def _validation_share(self) -> float:
        return check_fraction("validation", self.options["validation"])

    def _get_split(self, clip: str, speaker: str | None, split: str) -> str:
        """Return `train` or `validation` for a clip of the training data, and `test` for a test clip."""
        if split == "test" or not self._validation_share:
            return split
        if self.options["validation_by"] == "speaker":
            return "validation" if speaker in self._validation_speakers else "train"
        return "validation" if _hash_to_fraction(clip.rpartition("/")[0] or clip) < self._validation_share else "train"

    @cached_property
    def _validation_speakers(self) -> set[str]:
        """Return the validation speakers: those with the smallest hashes."""
        speakers = sorted(self._training_speakers, key=_hash_to_fraction)
        return set(speakers[: max(1, round(self._validation_share * len(speakers)))] if len(speakers) > 1 else ())

    @property
    def _training_speakers(self) -> list[str]:
        """Return the speakers that are divided into training and validation."""
        return self._speakers


def walk(
    folders: Sequence[str], endings: Sequence[str], prefix: str = "", depth: int = 1
) -> Iterator[tuple[str, list[str]]]:
    """Iterate over (id, files) of all clips below several folders, whose contents are merged by id.

    In every folder, clips come before subfolders, both sorted by name.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"{folders[0]} is {depth} folders deep; remove the link to a parent folder.")
    files, subfolders = _list_folders(folders, endings)
    for name in sorted(files):
        yield prefix + name, files[name]
    for name in sorted(subfolders):
        yield from walk(subfolders[name], endings, f"{prefix}{name}/", depth + 1)


def _list_folders(folders: Sequence[str], endings: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """List several folders, merged: file name without suffix -> files, and subfolder name -> folders."""
    files: dict[str, list[str]] = {}
    subfolders: dict[str, list[str]] = {}
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    subfolders.setdefault(entry.name, []).append(entry.path)
                    continue
                stem, ending = os.path.splitext(entry.name)
                if ending.lower() in endings:
                    files.setdefault(stem, []).append(entry.path)
    return files, subfolders


def _hash_to_fraction(name: str) -> float:
    """Return a pseudo-random number from 0 to 1 that depends on the name only."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
