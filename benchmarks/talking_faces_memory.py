# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of traversing a directory tree in the layout of VoxCeleb2 and joining its transcripts.

The program creates two trees of empty files, one ten times as large as the other. Each is read in a new process; memory is the growth of that
process. A clip consists of two files, audio and video.

    python benchmarks/talking_faces_memory.py --clips 100000
"""

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


CLIPS_PER_SPEAKER, CLIPS_PER_VIDEO = 200, 10
READ = """
import resource, sys, time
from mm_affect.data.corpora.registry import find_layout

def memory():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

layout = find_layout("voxceleb2", sys.argv[1])
before, start = memory(), time.perf_counter()
rows = sum(1 for split in layout.describe().counts for _ in layout.rows(split))
print(rows, time.perf_counter() - start, memory() - before)
"""


def make_tree(folder: Path, clips: int) -> None:
    """Create a tree of empty files and its transcripts."""
    ids = []
    for number in range(clips // CLIPS_PER_VIDEO):
        speaker = number * CLIPS_PER_VIDEO // CLIPS_PER_SPEAKER
        for kind, ending in (("aac", ".m4a"), ("mp4", ".mp4")):
            video = folder / "dev" / kind / f"id{speaker:05d}" / f"v{number:010d}"
            video.mkdir(parents=True)
            for clip in range(CLIPS_PER_VIDEO):
                (video / f"{clip:05d}{ending}").touch()
        ids += [f"id{speaker:05d}/v{number:010d}/{clip:05d}" for clip in range(CLIPS_PER_VIDEO)]
    random.Random(0).shuffle(ids)
    with open(folder / "transcripts.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "transcript", "likelihood", "language"])
        writer.writerows(
            [clip, "and so it was said " * 4, -2.5, "en" if i % 10 else "fr"] for i, clip in enumerate(ids)
        )


def main() -> None:
    """Create and read both trees and print the growth of memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100_000, help="number of clips in the larger tree")
    options = parser.parse_args()
    grown = []
    for clips in (options.clips // 10, options.clips):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            make_tree(Path(folder), clips)
            created = time.perf_counter() - start
            command = [sys.executable, "-W", "ignore", "-c", READ, folder]
            rows, seconds, memory = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
        grown.append(memory)
        print(
            f"{clips:9,} clips ({2 * clips:,} files, created in {created:.0f} s): {rows:,.0f} rows in English in "
            f"{seconds:.1f} s, {clips / seconds:,.0f} clips/s, memory +{memory:.1f} MB"
        )
    print(f"ten times as many clips: {grown[1] - grown[0]:.1f} MB more")


if __name__ == "__main__":
    main()
