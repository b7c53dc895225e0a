# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of talking-face clips of any size: walked in the order of the ids, joined with a manifest, never held whole.

What is in memory is the listing of the folders above one clip, the names of the speakers, and the rows of one table.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ...label_field import LabelField
from ..record import CorpusRecord, DroppedClip
from .layouts import CorpusLayout, LayoutFile, LayoutOption
from .transcript_table import Transcripts


SOUND = (".wav", ".flac", ".m4a", ".mp3", ".ogg")
PICTURES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".mpg")
DEEPEST = 8  # folders below the first; more is a link that leads back
NAMED = 1000  # dropped clips that are listed by id; all of them are counted
ENGLISH = ("en", "eng", "english")
MANIFESTS = ("csv", "jsonl", "parquet")
JOIN_OPTIONS = {
    "transcripts": LayoutOption(
        "manifest of transcripts (csv, jsonl or Parquet: id, transcript, likelihood, language)"
    ),
    "minimum_likelihood": LayoutOption("clips whose transcript is less likely are left out"),
    "language": LayoutOption("English clips alone, or any", "english", ("english", "any")),
    "validation": LayoutOption("the share of the speakers, or of the videos, that is the validation split", 0.02),
    "validation_by": LayoutOption(
        "whether validation has speakers of its own, or only videos of its own",
        "speaker",
        ("speaker", "video"),
    ),
}


class TalkingFacesLayout(CorpusLayout):
    """Any folder of clips, at any depth, beside a `clips` manifest whose `speaker` column says who speaks.

    The id of a clip is its path without the ending; a sound file and a video file of one id are one clip. The manifest
    may also hold `transcript`, `likelihood` and `language`.
    """

    name = "talking_faces"
    title = "a folder of talking faces (clips.csv, clips.jsonl or clips.parquet with id and speaker)"
    shardable = True
    files = (LayoutFile("clips.*", "id and speaker of every clip, perhaps its transcript"),)
    extra_options = JOIN_OPTIONS
    manifest_name = "clips"
    endings = SOUND + PICTURES

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return bool(cls._manifests(Path(folder)))

    def describe(self) -> CorpusRecord:
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
        self._check_manifest()
        if split == "train" and self.shard_index == 0:
            self._count_strangers()
        for clip, files in self._walk(self._roots[split]):
            told = self._manifest.find(clip) if self._manifest else None
            speaker = self._speaker(clip, told)
            if self._split_of(clip, speaker, split) != split:
                continue
            reason = self._reason_to_drop(told, speaker)
            if reason is None:
                yield self._row(clip, files, told, speaker)
            else:
                self._drop(clip, *reason)

    def shard(self, number: int, parts: int) -> "TalkingFacesLayout":
        part = super().shard(number, parts)
        part._manifest = self._manifest  # one table of transcripts for all
        return part

    @property
    def _roots(self) -> dict[str, list[Path]]:
        """The folders that are walked, together, for each split."""
        return dict.fromkeys(("train", "validation") if self._validation_share else ("train",), [self.folder])

    @cached_property
    def _manifest(self) -> Transcripts | None:
        given = self.options["transcripts"]
        found = [Path(given)] if given else self._manifests(self.folder)
        if len(found) > 1:
            raise ValueError(f"{self.folder} holds {' and '.join(path.name for path in found)}; keep one.")
        return Transcripts(found[0]) if found else None

    @classmethod
    def _manifests(cls, folder: Path) -> list[Path]:
        return [path for kind in MANIFESTS if (path := folder / f"{cls.manifest_name}.{kind}").is_file()]

    @cached_property
    def _speakers(self) -> list[str]:
        """Every speaker, of all splits."""
        speakers = self._manifest.speakers()
        if not speakers:
            raise ValueError(f"{self._manifest.path} names no speakers; it needs a `speaker` column.")
        return speakers

    @cached_property
    def _speaker_index(self) -> dict[str, int]:
        return {speaker: index for index, speaker in enumerate(self._speakers)}

    def _speaker(self, clip: str, told: dict | None) -> str | None:
        return told and told["speaker"]

    def _row(self, clip: str, files: list[str], told: dict | None, speaker: str) -> dict:
        row = {"id": clip, "group": speaker, "transcript": None, "audio_file": None, "video_file": None}
        for path in files:
            row["audio_file" if path.lower().endswith(SOUND) else "video_file"] = path
        wanted = self.options["modalities"]
        if "audio" not in wanted:
            row["audio_file"] = None
        if "visual" not in wanted and (row["audio_file"] or "audio" not in wanted):  # else its sound is needed
            row["video_file"] = None
        if told and "text" in wanted:
            row["transcript"] = told["transcript"]
        return row | {"labels": {"speaker": self._speaker_index[speaker]} if len(self._speakers) > 1 else {}}

    def _reason_to_drop(self, told: dict | None, speaker: str | None) -> tuple[str, str] | None:
        """(what it is counted as, why) of a clip that is left out."""
        if speaker is None:
            return "left_out_without_speaker", "the manifest does not say who speaks"
        if self._manifest is None or "transcript" not in self._manifest.columns:
            return None
        if told is None or told["transcript"] is None:
            return "left_out_without_transcript", "the manifest has no transcript of it"
        language, least = told["language"], self.options["minimum_likelihood"]
        code = (language or "").lower().replace("_", "-").partition("-")[0]
        only_english = self.options["language"] == "english" and "language" in self._manifest.columns
        if only_english and code not in ENGLISH:
            return "left_out_not_english", f"its language is {language or 'not given'}"
        if least is not None and (told["likelihood"] is None or told["likelihood"] < least):
            return "left_out_as_unlikely", f"its likelihood is {told['likelihood']}, less than {least}"
        return None

    def _drop(self, clip: str, kind: str, reason: str) -> None:
        self.reported[kind] += 1
        if len(self.dropped) < NAMED:
            self.dropped.append(DroppedClip(clip, reason))

    def _check_manifest(self) -> None:
        """English must be told somehow, and a likelihood must be there to be compared."""
        columns = self._manifest.columns if self._manifest else ()
        if "transcript" not in columns:
            return
        least = self.options["minimum_likelihood"]
        if least is not None and "likelihood" not in columns:
            raise ValueError(f"{self._manifest.path} has no `likelihood` column; leave minimum_likelihood out.")
        if least is None and "language" not in columns and self.options["language"] == "english":
            raise ValueError(
                f"{self._manifest.path} has no `language` column, so English is told by likelihood alone: give "
                "minimum_likelihood, or language='any' to keep every clip."
            )

    def _count_strangers(self) -> None:
        """Lines of the manifest without a clip: two or three file names are tried for each, nothing is held."""
        if self._manifest is None:
            return
        roots = {root for roots in self._roots.values() for root in roots}
        names = [(root, ending) for root in sorted(roots) for ending in self.endings]
        for clip in self._manifest.ids():
            place = next((name for name in names if os.path.exists(f"{name[0]}/{clip}{name[1]}")), None)
            if place is None:
                self._drop(clip, "transcript_without_clip", "a line of the manifest; its clip is not there")
            elif place != names[0]:  # the next one is probably there too
                names.remove(place)
                names.insert(0, place)

    # the walk -------------------------------------------------------------------------------------------------------

    def _walk(self, roots: Sequence[Path]) -> Iterator[tuple[str, list[str]]]:
        """(id, files) of every clip of this part, in the order of the ids."""
        files, folders = _listing([str(root) for root in roots], self.endings)
        yield from self.select_shard(sorted(files.items()))
        for name, same in self.select_shard(sorted(folders.items())):
            yield from walk(same, self.endings, f"{name}/")

    # which split ----------------------------------------------------------------------------------------------------

    @property
    def _validation_share(self) -> float:
        share = self.options["validation"]
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise ValueError(f"Option `validation` is {share!r}; expected a share from 0 to less than 1.")
        return share

    def _split_of(self, clip: str, speaker: str | None, split: str) -> str:
        """`train` or `validation` of a clip that is in one of them."""
        if split == "test" or not self._validation_share:
            return split
        if self.options["validation_by"] == "speaker":
            return "validation" if speaker in self._set_aside else "train"
        return "validation" if _fraction(clip.rpartition("/")[0] or clip) < self._validation_share else "train"

    @cached_property
    def _set_aside(self) -> set[str]:
        """The speakers of validation: those whose names draw the smallest numbers."""
        speakers = sorted(self._trained, key=_fraction)
        return set(speakers[: max(1, round(self._validation_share * len(speakers)))] if len(speakers) > 1 else ())

    @property
    def _trained(self) -> list[str]:
        """The speakers that training and validation share out."""
        return self._speakers


def walk(
    folders: Sequence[str], endings: Sequence[str], prefix: str = "", depth: int = 1
) -> Iterator[tuple[str, list[str]]]:
    """(id, files) of every clip below the folders, walked together: files of one id in several of them are one clip.

    Within a folder its clips come first, then its folders, each sorted by name.
    """
    if depth > DEEPEST:
        raise ValueError(
            f"{folders[0]} is {depth} folders deep; remove the link that leads back to a folder above it."
        )
    files, below = _listing(folders, endings)
    for name in sorted(files):
        yield prefix + name, files[name]
    for name in sorted(below):
        yield from walk(below[name], endings, f"{prefix}{name}/", depth + 1)


def _listing(folders: Sequence[str], endings: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Clips (by name without ending) and folders (by name) of several folders taken together."""
    files, below = {}, {}
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    below.setdefault(entry.name, []).append(entry.path)
                    continue
                stem, ending = os.path.splitext(entry.name)
                if ending.lower() in endings:
                    files.setdefault(stem, []).append(entry.path)
    return files, below


def _fraction(name: str) -> float:
    """A number from 0 to 1 that is drawn by the name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
