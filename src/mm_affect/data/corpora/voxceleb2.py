# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""VoxCeleb2: interviews of celebrities (Chung et al. 2018), as the tree of folders in which it was published.

1,092,009 clips by 5,994 speakers in `dev`, and 118 more speakers in `test`. It has no transcripts: a manifest from any
speech recognizer (`transcripts.csv`, jsonl or Parquet beside the tree, or the option `transcripts`) is joined by the
id `<speaker>/<video>/<clip>`. Of joined clips English is kept: by the `language` column where there is one, and by
`minimum_likelihood` where it is given, since what is not English gets unlikely transcripts.

The published split is kept as `train` and `test`; `validation` is taken out of `dev`.
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ..record import CorpusRecord
from .layouts import Corpus, LayoutFile
from .talking_faces import JOIN_OPTIONS, TalkingFacesLayout


LICENSE = "CC BY 4.0 (metadata); the videos belong to their owners"
CITATION = "J. S. Chung, A. Nagrani, A. Zisserman: VoxCeleb2: Deep Speaker Recognition. Interspeech 2018."
TREES = {"train": "dev", "validation": "dev", "test": "test"}


class VoxCeleb2Layout(TalkingFacesLayout):
    """`dev` and `test`, each with `aac` (sound) and `mp4` (pictures): `<speaker>/<video>/<clip>.m4a` or `.mp4`."""

    name = "tree"
    title = "the tree of folders (dev/aac, dev/mp4, test/aac, test/mp4)"
    files = (
        LayoutFile("dev", "the clips of training, below dev/aac and dev/mp4"),
        LayoutFile("test", "the clips of the test speakers", required=False),
        LayoutFile("transcripts.*", "transcripts from a speech recognizer", required=False),
        LayoutFile("vox2_meta.csv", "the speakers and their published split", required=False),
    )
    extra_options = JOIN_OPTIONS
    manifest_name = "transcripts"
    endings = (".m4a", ".mp4")

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Whether `dev/aac` or `dev/mp4` is there."""
        return any((Path(folder) / "dev" / kind).is_dir() for kind in ("aac", "mp4"))

    def describe(self) -> CorpusRecord:
        return replace(super().describe(), name="VoxCeleb2", license=LICENSE, citation=CITATION)

    def rows(self, split: str) -> Iterator[dict]:
        if split == "train" and self.shard_index == 0:
            self._compare_with_meta()
        yield from super().rows(split)

    @property
    def _roots(self) -> dict[str, list[Path]]:
        roots = {
            split: [self.folder / tree / kind for kind in ("aac", "mp4") if (self.folder / tree / kind).is_dir()]
            for split, tree in TREES.items()
            if split != "validation" or self._validation_share
        }
        return {split: folders for split, folders in roots.items() if folders}

    @cached_property
    def _speakers(self) -> list[str]:
        return sorted(set(self._trained) | set(_names(self._roots.get("test", []))))

    @cached_property
    def _trained(self) -> list[str]:
        return _names(self._roots["train"])

    def _speaker(self, clip: str, told: dict | None) -> str:
        return clip.partition("/")[0]

    def _compare_with_meta(self) -> None:
        """Count speakers that `vox2_meta.csv` has and the tree has not, the other way round, and in another set."""
        path = self.folder / "vox2_meta.csv"
        if not path.is_file():
            return
        homes = dict.fromkeys(self._speakers, "test") | dict.fromkeys(self._trained, "dev")
        published = read_meta(path)
        found = {
            "speakers_missing": len(published.keys() - homes.keys()),
            "speakers_not_in_meta": len(homes.keys() - published.keys()),
            "speakers_in_another_set": sum(homes[s] != published[s] for s in homes.keys() & published.keys()),
        }
        self.reported.update({kind: count for kind, count in found.items() if count})


def read_meta(path: Path) -> dict[str, str]:
    """Speaker -> `dev` or `test`, from `vox2_meta.csv`, whose cells are set apart by commas or tabs and spaces."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = "\t" if "\t" in header else ","
            names = [name.strip() for name in header.split(delimiter)]
            lines = [[cell.strip() for cell in cells] for cells in csv.reader(file, delimiter=delimiter) if any(cells)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from error
    if not {"VoxCeleb2 ID", "Set"} <= set(names) or any(len(cells) != len(names) for cells in lines):
        raise ValueError(f"{path} needs the columns `VoxCeleb2 ID` and `Set` in every line; copy it again.")
    speaker, home = names.index("VoxCeleb2 ID"), names.index("Set")
    return {cells[speaker]: cells[home] for cells in lines}


def _names(folders: list[Path]) -> list[str]:
    """The folders in several folders, taken together, sorted."""
    names = set()
    for folder in folders:
        with os.scandir(folder) as entries:
            names |= {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}
    return sorted(names)


CORPUS = Corpus(
    name="voxceleb2",
    title="VoxCeleb2",
    license=LICENSE,
    citation=CITATION,
    access="See https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html for the clips and vox2_meta.csv.",
    layouts=(VoxCeleb2Layout, TalkingFacesLayout),
    counts={"clips in dev": 1092009, "speakers in dev": 5994, "speakers in test": 118},
)
