# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""VoxCeleb2: interviews with celebrities (Chung et al. 2018), in the published folder structure.

Source: the Visual Geometry Group, University of Oxford. License: CC BY 4.0 for the metadata; the videos belong to their
owners.

Splits: the published ones, 1,092,009 clips of 5,994 speakers in `dev` (our `train`) and 118 further speakers in `test`;
`validation` is taken from `dev`.

The corpus has no transcripts. A manifest from any speech recognizer (`transcripts.csv`, `.jsonl` or `.parquet` in the
folder, or the option `transcripts`) is joined by the id `<speaker>/<video>/<clip>`. English clips are then selected by the
column `language`, if it exists, and by the option `minimum_likelihood`, because other languages get unlikely transcripts.
"""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ..readers.tables import read_text
from ..record import CorpusRecord
from .layouts import Corpus, LayoutFile
from .talking_faces import MANIFEST_OPTIONS, TalkingFacesLayout


LICENSE = "CC BY 4.0 (metadata); the videos belong to their owners"
CITATION = "J. S. Chung, A. Nagrani, A. Zisserman: VoxCeleb2: Deep Speaker Recognition. Interspeech 2018."
TREES = {"train": "dev", "validation": "dev", "test": "test"}


class VoxCeleb2Layout(TalkingFacesLayout):
    """Published folders `dev` and `test`, with `aac/<speaker>/<video>/<clip>.m4a` and `mp4/<speaker>/<video>/<clip>.mp4`."""

    name = "tree"
    title = "the published folders (dev/aac, dev/mp4, test/aac, test/mp4)"
    files = (
        LayoutFile("dev", "training clips in dev/aac and dev/mp4"),
        LayoutFile("test", "clips of the test speakers", required=False),
        LayoutFile("transcripts.*", "transcripts from a speech recognizer", required=False),
        LayoutFile("vox2_meta.csv", "speakers and their published split", required=False),
    )
    extra_options = MANIFEST_OPTIONS
    manifest_name = "transcripts"
    endings = (".m4a", ".mp4")

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Return True if `dev/aac` or `dev/mp4` exists."""
        return any((Path(folder) / "dev" / kind).is_dir() for kind in ("aac", "mp4"))

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        return replace(super().describe(), name="VoxCeleb2", license=LICENSE, citation=CITATION)

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
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
        return sorted(set(self._training_speakers) | set(_list_subfolders(self._roots.get("test", []))))

    @cached_property
    def _training_speakers(self) -> list[str]:
        return _list_subfolders(self._roots["train"])

    def _get_speaker(self, clip: str, entry: dict | None) -> str:
        return clip.partition("/")[0]

    def _compare_with_meta(self) -> None:
        """Count the speakers that only `vox2_meta.csv` or only the folders have, and those in another split."""
        path = self.folder / "vox2_meta.csv"
        if not path.is_file():
            return
        folders = dict.fromkeys(self._speakers, "test") | dict.fromkeys(self._training_speakers, "dev")
        published = read_meta(path)
        counts = {
            "speakers_missing": len(published.keys() - folders.keys()),
            "speakers_not_in_meta": len(folders.keys() - published.keys()),
            "speakers_in_another_set": sum(folders[s] != published[s] for s in folders.keys() & published.keys()),
        }
        for kind, count in counts.items():
            self.report(kind, count)


def read_meta(path: Path) -> dict[str, str]:
    """Read speaker -> `dev` or `test` from `vox2_meta.csv`, whose separator is a comma, or tabs and spaces."""
    file = io.StringIO(read_text(path), newline="")
    header = file.readline()
    delimiter = "\t" if "\t" in header else ","
    names = [name.strip() for name in header.split(delimiter)]
    lines = [[cell.strip() for cell in cells] for cells in csv.reader(file, delimiter=delimiter) if any(cells)]
    if not {"VoxCeleb2 ID", "Set"} <= set(names) or any(len(cells) != len(names) for cells in lines):
        raise ValueError(f"{path} needs the columns `VoxCeleb2 ID` and `Set` in every line; download it again.")
    speaker, split = names.index("VoxCeleb2 ID"), names.index("Set")
    return {cells[speaker]: cells[split] for cells in lines}


def _list_subfolders(folders: list[Path]) -> list[str]:
    """Return the sorted names of the subfolders of several folders."""
    names: set[str] = set()
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
