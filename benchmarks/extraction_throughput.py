# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Throughput of each extractor on one core, in seconds of video per second, and the cost of a million clips.

    OMP_NUM_THREADS=1 python benchmarks/extraction_throughput.py ../shared/realdata/av/grid [--vgg 16]

Times are CPU times (`process_time`) on one thread, including decoding: the best of several rounds, which is the speed of a core that runs
nothing else. VGG-16 is a network of the actual size with random weights, which does not affect its speed; because it is slow, it is timed on a
fixed number of frames (`--vgg`). Sizes are those of a Parquet file of such features; for VGG-16, those of the values only.
"""

import argparse
import os


os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from mm_affect.data.rows import write_split
from mm_affect.features.faces import FaceDescriptor
from mm_affect.features.log_mel import LogMelExtractor
from mm_affect.features.media import iter_audio, iter_frames, probe
from mm_affect.features.vgg16 import VGG16


CONVOLUTIONS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
FULLY_CONNECTED = [4096, 4096]
CLIPS, HOURS = 1_100_000, 2380  # of the planned corpus: 7.8 s per clip


def fastest(run, rounds: int) -> float:
    """Return the CPU seconds of the fastest round."""
    taken = []
    for _ in range(rounds):
        begin = time.process_time()
        run()
        taken.append(time.process_time() - begin)
    return min(taken)


def bytes_per_second(modality: str, features: list[np.ndarray], rate: float) -> float:
    """Return the size of a Parquet file of such features, in bytes per second of the clips."""
    # repeated with noise: a shard of a few clips is too small to be typical, and identical clips would be stored once
    rng = np.random.default_rng(0)
    many = [values + rng.normal(0, 1e-3, values.shape).astype(np.float32) for values in features for _ in range(50)]
    rows = [{"id": str(i), "group": str(i), modality: values} for i, values in enumerate(many)]
    sizes = {modality: features[0].shape[1]}
    with tempfile.TemporaryDirectory() as folder:
        write_split(Path(folder), "train", rows, [], sizes, len(rows), Counter())
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return size * rate / sum(map(len, many))


def main() -> None:
    """Time every extractor and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of video clips with audio")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--vgg", type=int, default=0, metavar="FRAMES", help="also time VGG-16 on this number of frames"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = [path for path in sorted(arguments.folder.iterdir()) if path.suffix in (".mpg", ".mp4", ".avi", ".mkv")]
    if not clips:
        parser.error(f"{arguments.folder} contains no clips; expected files that end in .mpg, .mp4, .avi or .mkv.")
    log_mel, faces = LogMelExtractor(), FaceDescriptor()

    def extract_log_mels():
        streams = (log_mel.stream(iter_audio(clip, log_mel.sampling_rate)) for clip in clips)
        return [np.concatenate(list(stream)) for stream in streams]

    def describe_faces():
        return [faces(iter_frames(clip, faces.rate)) for clip in clips]

    def decode_frames():
        return sum(1 for clip in clips for _ in iter_frames(clip, faces.rate))

    mels, descriptors = extract_log_mels(), describe_faces()
    seconds = sum(len(values) for values in mels) / log_mel.rate
    first = probe(clips[0])
    print(f"{len(clips)} clips, {seconds:.1f} s, the first: {first}")
    rows = [
        (
            "log-mel, with decoding",
            fastest(extract_log_mels, arguments.rounds),
            bytes_per_second("audio", mels, log_mel.rate),
        ),
        ("decoding of frames only", fastest(decode_frames, arguments.rounds), 0.0),
        (
            "faces, with decoding",
            fastest(describe_faces, arguments.rounds),
            bytes_per_second("visual", descriptors, faces.rate),
        ),
    ]
    if arguments.vgg:
        network = VGG16(CONVOLUTIONS, FULLY_CONNECTED).eval()
        images = torch.rand(arguments.vgg, 3, 224, 224)
        with torch.inference_mode():
            cost = fastest(lambda: network(images), 2) / arguments.vgg
        kilobytes = FULLY_CONNECTED[-1] * 4 / 1000
        rows += [
            (f"VGG-16 only, {rate} frames per second", cost * rate * seconds, kilobytes * 1000 * rate)
            for rate in (1, 10, 25)
        ]
    print(f"{'':32} {'x real time':>11} {'KB/s':>8} | {CLIPS:,} clips, {HOURS} h: {'core hours':>10} {'GB':>8}")
    for name, taken, size in rows:
        times = seconds / taken
        print(
            f"{name:32} {times:11.2f} {size / 1000:8.1f} | {'':24} {HOURS / times:10.0f} {size * HOURS * 3.6e-6:8.0f}"
        )


if __name__ == "__main__":
    main()
