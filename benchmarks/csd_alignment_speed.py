# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory of aligning computational sequences of the size of CMU-MOSEI to words and writing them as rows.

The program generates three .csd files (words, COVAREP: 74 values at 100 Hz, FACET: 35 at 30 Hz) of 3,800 videos, 65 hours in total,
then reads, aligns and writes them video by video. A sample of the segments is aligned again by a straightforward loop: for each word of
each segment, compare every frame of the complete arrays of the video, and average the frames that overlap; once with the comparison of
the CMU Multimodal SDK, and once with the shortest correct mask. All results must agree. The arrays are in memory for this
comparison; reading them would add the same time to all.

    python benchmarks/csd_alignment_speed.py --scale 0.05
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from mm_affect.data import write_rows
from mm_affect.data.alignment import EPSILON, align, inside
from mm_affect.data.readers.csd import ComputationalSequence, find_shared_videos


VIDEOS, HOURS = 3800, 65
STREAMS = {"audio": ("COVAREP", 100, 74), "visual": ("FACET", 30, 35)}  # name, frames per second, size
SEGMENTS = "segments"


def write_corpus(folder: Path, scale: float, compression: str | None) -> dict:
    """Write files in the format of the SDK, with video lengths as in talks and 2.7 words per second with silences in between."""
    rng = np.random.default_rng(0)
    count = max(2, round(VIDEOS * scale))
    lengths = rng.lognormal(0, 0.6, count)
    lengths *= HOURS * 3600 * count / VIDEOS / lengths.sum()
    names = ["words", SEGMENTS] + [name for name, _, _ in STREAMS.values()]
    files = {name: h5py.File(folder / f"{name}.csd", "w") for name in names}
    total = {"videos": count, "hours": lengths.sum() / 3600, "words": 0, "segments": 0}

    def write(name: str, video: str, features: np.ndarray, intervals: np.ndarray) -> None:
        group = files[name].create_group(f"{name}/data/{video}")
        group.create_dataset("features", data=features, compression=compression)
        group.create_dataset("intervals", data=intervals, compression=compression)

    for number, length in enumerate(lengths):
        video = f"video{number:05d}"
        edges = np.cumsum(rng.uniform(0.02, 0.35, int(length / 0.185)))
        times = np.stack([edges[:-1], edges[1:]], axis=1)
        texts = np.where(np.arange(len(times)) % 2, b"sp", b"word")
        write("words", video, texts[:, None], times)
        borders = np.linspace(0, edges[-1], max(2, round(length / 10.0)) + 1)  # 23,000 segments at full scale
        segments = np.stack([borders[:-1], borders[1:]], axis=1)
        write(SEGMENTS, video, rng.uniform(-3, 3, (len(segments), 1)).astype(np.float32), segments)
        for name, rate, size in STREAMS.values():
            starts = np.arange(int(length * rate)) / rate
            frames = rng.standard_normal((len(starts), size), dtype=np.float32)
            write(name, video, frames, np.stack([starts, starts + 1 / rate], axis=1))
        total["words"] += int((texts != b"sp").sum())
        total["segments"] += len(segments)
    for file in files.values():
        file.close()
    return total


def open_corpus(folder: Path) -> dict[str, ComputationalSequence]:
    """Open the files by the name of their sequence."""
    return {path.stem: ComputationalSequence(path) for path in sorted(folder.glob("*.csd"))}


def make_rows(corpus: dict[str, ComputationalSequence]) -> Iterator[dict]:
    """Yield one row per segment, with one video in memory at a time."""
    for video in find_shared_videos(corpus.values()):
        texts, times = corpus["words"].words(video)
        aligned = {}
        for modality, (name, _, _) in STREAMS.items():
            aligned[modality] = align(corpus[name].features(video), corpus[name].intervals(video), times)
        segments, scores = corpus[SEGMENTS].intervals(video), corpus[SEGMENTS].features(video)
        for number, (words, score) in enumerate(zip(inside(segments, times), scores, strict=True)):
            yield {
                "id": f"{video}[{number}]",
                "group": video,
                "transcript": " ".join(texts[word] for word in words),
                "spans": times[words],
                **{modality: values[words] for modality, values in aligned.items()},
                "labels": {"sentiment": float(score[0])},
            }


def select_by_sdk_rule(features: np.ndarray, intervals: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return the frames of one word as the SDK selects them: intervals are shifted, compared and cut to the word."""
    near = np.all(intervals * [-1, 1] - [-end, start] > -EPSILON, axis=1)
    cut = np.stack([np.maximum(intervals[near, 0], start), np.minimum(intervals[near, 1], end)], axis=1)
    return features[near][abs(cut[:, 1] - cut[:, 0]) > EPSILON]


def select_by_mask(features: np.ndarray, intervals: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return the frames of one word with the shortest correct mask."""
    return features[np.minimum(intervals[:, 1], end) - np.maximum(intervals[:, 0], start) > EPSILON]


def align_by_loop(select: Callable, features: np.ndarray, intervals: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Align one segment by comparing each of its words with every frame of the video."""
    steps = []
    for start, end in words:
        frames = select(features, intervals, start, end)
        steps.append(frames.mean(axis=0) if len(frames) else np.full(features.shape[1], np.nan))
    return np.array(steps, dtype=np.float32).reshape(-1, features.shape[1])


def compare(corpus: dict[str, ComputationalSequence], sample: int) -> tuple[int, dict[str, float]]:
    """Return the number of segments that were aligned, and the seconds of each method with the arrays in memory."""
    spent, count, clock = Counter(), 0, time.perf_counter
    for video in np.random.default_rng(1).permutation(find_shared_videos(corpus.values())):
        _texts, times = corpus["words"].words(video)
        segments = corpus[SEGMENTS].intervals(video)
        start = clock()
        members = inside(segments, times)
        spent["the package"] += clock() - start
        for name, _, _ in STREAMS.values():
            features, intervals = corpus[name].features(video), corpus[name].intervals(video)
            start = clock()
            whole = align(features, intervals, times)
            aligned = [whole[words] for words in members]
            spent["the package"] += clock() - start
            for peer, select in PEERS.items():
                start = clock()
                expected = [align_by_loop(select, features, intervals, times[words]) for words in members]
                spent[peer] += clock() - start
                for left, right in zip(aligned, expected, strict=True):
                    np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-4)
        count += len(segments)
        if count >= sample:
            break
    return count, spent


PEERS = {"loop with the SDK's rule": select_by_sdk_rule, "loop with one mask": select_by_mask}


def main() -> None:
    """Generate the files, align and write them, and compare with the loops."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scale", type=float, default=1.0, help="fraction of the 3,800 videos; 1 needs 9 GB of disk space"
    )
    parser.add_argument("--sample", type=int, default=300, help="number of segments aligned by the loop")
    parser.add_argument("--gzip", action="store_true", help="compress the files")
    parser.add_argument("--folder", type=Path, help="folder for the temporary files; default: that of the system")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        start = time.perf_counter()
        total = write_corpus(folder, options.scale, "gzip" if options.gzip else None)
        size = sum(path.stat().st_size for path in folder.glob("*.csd"))
        print(f"generated in {time.perf_counter() - start:.0f} s: {total['videos']} videos, {total['hours']:.1f} h,"
              f" {total['words']} words, {total['segments']} segments, {size / 1e9:.2f} GB")  # fmt: skip
        field = {"name": "sentiment", "problem_type": "regression"}
        sizes = {modality: size for modality, (_, _, size) in STREAMS.items()}
        corpus = open_corpus(folder)
        start = time.perf_counter()
        record = {"name": "speed", "synthetic": True, "label_fields": [field], "sizes": sizes}
        counts = write_rows(folder / "rows", {"train": make_rows(corpus)}, record).counts
        seconds = time.perf_counter() - start
        written = sum(path.stat().st_size for path in (folder / "rows").glob("*.parquet"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"read, aligned and written in {seconds:.1f} s: {counts['train'] / seconds:.0f} segments/s,"
              f" {size / seconds / 1e6:.0f} MB/s read, {written / 1e6:.0f} MB of rows, peak memory {peak:.0f} MB")  # fmt: skip
        count, spent = compare(corpus, options.sample)
        for name, seconds in spent.items():
            ratio = seconds / spent["the package"]
            print(f"{name:25s} {seconds / count * 1e3:8.3f} ms per segment   {ratio:6.1f} x   ({count} segments)")
        for sequence in corpus.values():
            sequence.close()


if __name__ == "__main__":
    main()
