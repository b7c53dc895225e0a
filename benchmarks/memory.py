# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Growth of memory with the size of the corpus and with the length of a clip.

The program prints the peak growth of anonymous memory, with each case in a new process. Anonymous memory (`RssAnon` of /proc/self/status)
is the memory that the system cannot reclaim; pages of memory-mapped files are excluded, because the system can drop them. Linux only.

* corpus: one shuffled epoch of `RowDataset` and collator over folders of rows of increasing size;
* clip: `predict` with windows of 10 s on generated clips of increasing length, audio only and audio with video, with an
  EF-LF-LSTM of the size of the paper.

    python benchmarks/memory.py

Expected: growth is independent of the size of the corpus; extraction never keeps the decoded video in memory; the memory of
prediction grows no faster than the length of the clip, since the complete clip is also one row of the model.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import wave
from pathlib import Path

import numpy as np

from mm_affect.data import LabelField


SIZES = {"text": 300, "audio": 74, "visual": 35}
FIELD = LabelField("emotion", "multi_label_classification", ("happy", "sad"))
PIXELS, FRAMES, SAMPLES = 128, 10, 16000  # width and height of a frame, frames and samples per second
WINDOW = 10.0  # seconds
MB = 1e6


def measure_memory() -> float:
    """Return the anonymous memory in use, in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024 / MB


class Peak:
    """Peak memory of a block of code, sampled every 5 ms in a thread; `growth` is the peak minus the initial use, in MB."""

    def __enter__(self):
        self.before = self.peak = measure_memory()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()
        return self

    def _sample(self) -> None:
        while not self.done.wait(0.005):
            self.peak = max(self.peak, measure_memory())

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    @property
    def growth(self) -> float:
        """Growth of memory in MB."""
        return self.peak - self.before


def write_corpus(folder: Path, megabytes: float) -> None:
    """Write rows of 100 aligned steps, `megabytes` of features in total, and their memory-mapped cache."""
    from mm_affect.data import load, write_rows

    def rows(count: int):
        rng = np.random.default_rng(0)
        for i in range(count):
            streams = {m: rng.normal(size=(100, size)).astype(np.float32) for m, size in SIZES.items()}
            yield {"id": f"row{i}", "group": f"g{i}", "labels": {"emotion": [1.0, 0.0]}} | streams

    count = round(megabytes * MB / (400 * sum(SIZES.values())))
    corpus = {"name": "memory", "synthetic": True, "label_fields": [FIELD], "sizes": SIZES}
    with Peak() as peak:
        write_rows(folder / "rows", {"train": rows(count)}, corpus)
        load(folder / "rows", cache_dir=folder / "cache")
    print(json.dumps({"growth": peak.growth}))


def read_corpus(folder: Path) -> None:
    """Print the growth of memory in one shuffled epoch over the rows."""
    from mm_affect import AffectCollator, AffectProcessor, Task
    from mm_affect.data import load
    from mm_affect.data.ragged import RowDataset

    collator = AffectCollator(AffectProcessor(SIZES), [Task("emotion", labels=("happy", "sad"))], [FIELD])
    dataset = load(folder / "rows", cache_dir=folder / "cache")["train"]
    with Peak() as peak:
        rows = RowDataset(dataset)
        rows.lengths()  # needed by the sampler of the trainer
        order = np.random.default_rng(0).permutation(len(rows))
        for first in range(0, len(order), 32):
            collator([rows[int(i)] for i in order[first : first + 32]])
    print(json.dumps({"growth": peak.growth}))


def write_clip(path: Path, seconds: int) -> None:
    """Write noise that swells and fades every second; an mp4 also has video of moving stripes."""
    rng = np.random.default_rng(0)

    def make_second(number: int) -> np.ndarray:
        swell = np.sin(np.pi * np.arange(SAMPLES) / SAMPLES) * (0.2 + 0.1 * (number % 7))
        return (32767 * swell * rng.uniform(-1, 1, SAMPLES)).astype(np.int16)

    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLES)
            for number in range(seconds):
                file.writeframes(make_second(number).tobytes())
        return
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("h264", rate=FRAMES)
        video.width = video.height = PIXELS
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLES)
        audio.layout = "mono"
        for number in range(seconds):
            for frame in range(FRAMES):
                stripes = np.add.outer(np.arange(PIXELS), np.arange(PIXELS) + 4 * frame) % 64 * 4
                pixels = np.repeat(stripes[:, :, None], 3, axis=2).astype(np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            block = av.AudioFrame.from_ndarray(make_second(number)[None], format="s16", layout="mono")
            block.sample_rate = SAMPLES
            container.mux(audio.encode(block))
        container.mux(video.encode())
        container.mux(audio.encode())


def predict_clip(path: Path) -> None:
    """Print the growth of memory in extraction and prediction."""
    import torch

    from mm_affect import AffectProcessor, FusionConfig, FusionForAffect
    from mm_affect.features.faces import FaceDescriptor
    from mm_affect.features.log_mel import LogMelExtractor
    from mm_affect.features.word_vectors import HashedWordVectors
    from mm_affect.inference.pipeline import AffectRecognitionPipeline

    torch.set_num_threads(1)
    extractors = {"text": HashedWordVectors(), "audio": LogMelExtractor(), "visual": FaceDescriptor()}
    processor = AffectProcessor.from_extractors(extractors)
    model = FusionForAffect(FusionConfig(feature_sizes=processor.feature_sizes)).eval()
    recognize = AffectRecognitionPipeline(model=model, processor=processor)
    row = {"id": path.name, "video_file" if path.suffix == ".mp4" else "audio_file": str(path)}
    processor.extract(row | {"start": 0.0, "end": 2.0})  # loads libraries and their tables
    with Peak() as extraction:
        features = processor.extract(row)
    size = sum(features[m].nbytes for m in processor.feature_sizes) / MB
    del features
    with Peak() as prediction:
        answer = recognize(str(path), window=WINDOW)
    growths = {"extraction": extraction.growth, "prediction": prediction.growth, "features": size}
    print(json.dumps(growths | {"windows": len(answer["timeline"])}))


def run_step(step: str, *arguments) -> dict:
    """Run one step in a new process and return its output."""
    command = [sys.executable, __file__, "--step", step, *map(str, arguments)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Measure every size and print the growth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[50, 400])
    parser.add_argument("--seconds", type=int, nargs="+", default=[60, 600])
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step, path, *rest = options.step
        steps = {"write": write_corpus, "read": read_corpus, "predict": predict_clip}
        steps[step](Path(path), *map(float, rest))
        return

    growths = []
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            written = run_step("write", folder, megabytes)["growth"]
            growths.append(run_step("read", folder)["growth"])
        print(
            f"corpus of {megabytes:.0f} MB: growth of {growths[-1]:.0f} MB in an epoch, {written:.0f} MB when writing"
        )
    ratio = options.megabytes[-1] / options.megabytes[0]
    print(f"corpus: {ratio:.1f} x the rows, {growths[-1] / growths[0]:.2f} x the memory of an epoch")

    for suffix in ("wav", "mp4"):
        growths = []
        for seconds in options.seconds:
            with tempfile.TemporaryDirectory() as folder:
                write_clip(path := Path(folder, f"clip.{suffix}"), seconds)
                sizes = run_step("predict", path)
            decoded = seconds * (4 * SAMPLES + (3 * FRAMES * PIXELS**2 if suffix == "mp4" else 0)) / MB
            growths.append(sizes["prediction"] - sizes["features"])
            print(
                f"{suffix} of {seconds} s, {sizes['windows']} windows: {sizes['features']:.1f} MB of features, "
                f"decoded {decoded:.0f} MB; growth of {sizes['extraction']:.0f} MB in extraction, "
                f"{sizes['prediction']:.0f} MB in prediction"
            )
        ratio = options.seconds[-1] / options.seconds[0]
        print(f"{suffix}: {ratio:.1f} x the length, {growths[-1] / growths[0]:.2f} x the memory, without the features")


if __name__ == "__main__":
    main()
