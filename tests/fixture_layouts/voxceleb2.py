# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders in the layout of VoxCeleb2: empty files under real names, a manifest of transcripts, vox2_meta.csv."""

import csv
from pathlib import Path


def write_voxceleb2(
    folder: Path, speakers: int = 4, videos: int = 3, clips: int = 2, test_speakers: int = 1
) -> list[str]:
    """`dev` and `test` trees with sound and pictures; returns the ids of the clips in `dev`, in order."""
    ids = []
    for number in range(speakers + test_speakers):
        tree = "dev" if number < speakers else "test"
        for video in range(videos):
            name = f"id{number + 12:05d}/{'-_'[video % 2]}xBvQ{video:06d}"
            for kind, ending in (("aac", ".m4a"), ("mp4", ".mp4")):
                place = folder / tree / kind / name
                place.mkdir(parents=True, exist_ok=True)
                for clip in range(1, clips + 1):
                    (place / f"{clip:05d}{ending}").touch()
            if tree == "dev":
                ids += [f"{name}/{clip:05d}" for clip in range(1, clips + 1)]
    return sorted(ids)


def write_transcripts(path: Path, rows: list[dict]) -> Path:
    """A csv manifest of the rows' keys."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_meta(path: Path, homes: dict[str, str]) -> None:
    """vox2_meta.csv of speaker -> set, with the tabs and stray spaces of the published file."""
    lines = ["Name \tVoxCeleb2 ID \tVGGFace2 ID \tGender \tSet "]
    lines += [f"Someone_{speaker} \t{speaker} \tn{speaker[2:]} \tf \t{home} " for speaker, home in homes.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
