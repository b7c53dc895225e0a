# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How many seconds of clips one core extracts in a second, by each extractor, and what a million clips would take.

    OMP_NUM_THREADS=1 python benchmarks/extraction_throughput.py ../shared/realdata/av/grid [--vgg 16]

Time is that of the processor (`process_time`), one thread, decoding included; the best of some rounds in turns, which is what a
core does when nothing else runs on it. VGG-16 is a network of the true size with random weights, which costs what the real one
costs; it is timed on so many frames (`--vgg`), because it is slow. The bytes are those of a Parquet file of such
features; of VGG-16 those of the numbers alone.
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
CLIPS, HOURS = 1_100_000, 2380  # of the corpus that is planned: 7.8 s a clip


def fastest(run, rounds: int) -> float:
    """Processor seconds of the fastest round."""
    taken = []
    for _ in range(rounds):
        begin = time.process_time()
        run()
        taken.append(time.process_time() - begin)
    return min(taken)


def bytes_per_second(modality: str, features: list[np.ndarray], rate: float) -> float:
    """Bytes of a Parquet file of such features, for each second of the clips."""
    rng = np.random.default_rng(
        0
    )  # a shard of some clips is too small to be typical, and equal clips would be stored once
    many = [values + rng.normal(0, 1e-3, values.shape).astype(np.float32) for values in features for _ in range(50)]
    rows = [{"id": str(i), "group": str(i), modality: values} for i, values in enumerate(many)]
    sizes = {modality: features[0].shape[1]}
    with tempfile.TemporaryDirectory() as folder:
        write_split(Path(folder), "train", rows, [], sizes, len(rows), Counter())
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return size * rate / sum(map(len, many))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="clips with sound and picture")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vgg", type=int, default=0, metavar="FRAMES", help="also time VGG-16 on so many frames")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = [path for path in sorted(arguments.folder.iterdir()) if path.suffix in (".mpg", ".mp4", ".avi", ".mkv")]
    if not clips:
        parser.error(f"{arguments.folder} holds no clips (mpg, mp4, avi, mkv).")
    sound, faces = LogMelExtractor(), FaceDescriptor()

    def log_mels():
        streams = (sound.stream(iter_audio(clip, sound.sampling_rate)) for clip in clips)
        return [np.concatenate(list(stream)) for stream in streams]

    def described():
        return [faces(iter_frames(clip, faces.rate)) for clip in clips]

    def decoded():
        return sum(1 for clip in clips for _ in iter_frames(clip, faces.rate))

    mels, descriptors = log_mels(), described()
    seconds = sum(len(values) for values in mels) / sound.rate
    picture = probe(clips[0])
    print(f"{len(clips)} clips, {seconds:.1f} s, the first: {picture}")
    rows = [
        ("log-mel, sound decoded", fastest(log_mels, arguments.rounds), bytes_per_second("audio", mels, sound.rate)),
        ("pictures decoded alone", fastest(decoded, arguments.rounds), 0.0),
        (
            "faces, pictures decoded",
            fastest(described, arguments.rounds),
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
            (f"VGG-16 alone, {rate} frames a second", cost * rate * seconds, kilobytes * 1000 * rate)
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
