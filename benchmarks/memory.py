# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Does memory grow with the corpus, or with the clip? Peak growth of anonymous memory, each case in a fresh process.

Anonymous memory (`RssAnon` of /proc/self/status) is what a process cannot give back; the pages of memory-mapped files
are left out, because the system drops them when it needs the room. Linux only.

* corpus: one shuffled epoch of `RowDataset` and collator over rows folders of growing size;
* clip: `predict` with windows of 10 s on generated clips of growing length, sound alone and sound with video, by an
  EF-LF-LSTM at the paper's size.

    python benchmarks/memory.py

Expected: the growth of the corpus cases does not depend on the size; extraction never holds the decoded video;
prediction grows no faster than the length of the clip, since the whole clip is also one row of the model.
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
PIXELS, FRAMES, SAMPLES = 128, 10, 16000  # side of the picture, frames and samples per second
WINDOW = 10.0  # seconds
MB = 1e6


def anonymous() -> float:
    """Megabytes of anonymous memory in use."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024 / MB


class Peak:
    """Looks every 5 ms, in a thread; `growth` is the greatest use minus the one at the beginning, in MB."""

    def __enter__(self):
        self.before = self.greatest = anonymous()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self) -> None:
        while not self.done.wait(0.005):
            self.greatest = max(self.greatest, anonymous())

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    @property
    def growth(self) -> float:
        return self.greatest - self.before


def write_corpus(folder: Path, megabytes: float) -> None:
    """Rows of 100 aligned steps, `megabytes` of features in all, and their memory-mapped form beside them."""
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
    from mm_affect import AffectCollator, AffectProcessor, Task
    from mm_affect.data import load
    from mm_affect.data.ragged import RowDataset

    collator = AffectCollator(AffectProcessor(SIZES), [Task("emotion", labels=("happy", "sad"))], [FIELD])
    dataset = load(folder / "rows", cache_dir=folder / "cache")["train"]
    with Peak() as peak:
        rows = RowDataset(dataset)
        rows.lengths()  # as the trainer's sampler asks for
        order = np.random.default_rng(0).permutation(len(rows))
        for first in range(0, len(order), 32):
            collator([rows[int(i)] for i in order[first : first + 32]])
    print(json.dumps({"growth": peak.growth}))


def write_clip(path: Path, seconds: int) -> None:
    """Noise that swells and fades every second; in an mp4 also a picture of moving stripes."""
    rng = np.random.default_rng(0)

    def second(number: int) -> np.ndarray:
        swell = np.sin(np.pi * np.arange(SAMPLES) / SAMPLES) * (0.2 + 0.1 * (number % 7))
        return (32767 * swell * rng.uniform(-1, 1, SAMPLES)).astype(np.int16)

    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLES)
            for number in range(seconds):
                file.writeframes(second(number).tobytes())
        return
    import av

    with av.open(str(path), "w") as container:
        picture = container.add_stream("h264", rate=FRAMES)
        picture.width = picture.height = PIXELS
        picture.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLES)
        sound.layout = "mono"
        for number in range(seconds):
            for frame in range(FRAMES):
                stripes = np.add.outer(np.arange(PIXELS), np.arange(PIXELS) + 4 * frame) % 64 * 4
                pixels = np.repeat(stripes[:, :, None], 3, axis=2).astype(np.uint8)
                container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            block = av.AudioFrame.from_ndarray(second(number)[None], format="s16", layout="mono")
            block.sample_rate = SAMPLES
            container.mux(sound.encode(block))
        container.mux(picture.encode())
        container.mux(sound.encode())


def predict_clip(path: Path) -> None:
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
    processor.extract(row | {"start": 0.0, "end": 2.0})  # libraries and their tables are loaded
    with Peak() as extraction:
        features = processor.extract(row)
    size = sum(features[m].nbytes for m in processor.feature_sizes) / MB
    del features
    with Peak() as prediction:
        answer = recognize(str(path), window=WINDOW)
    found = {"extraction": extraction.growth, "prediction": prediction.growth, "features": size}
    print(json.dumps(found | {"windows": len(answer["timeline"])}))


def fresh(step: str, *arguments) -> dict:
    """Run one step in a process of its own; what it found."""
    command = [sys.executable, __file__, "--step", step, *map(str, arguments)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
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
            written = fresh("write", folder, megabytes)["growth"]
            growths.append(fresh("read", folder)["growth"])
        print(f"corpus of {megabytes:.0f} MB: grew by {growths[-1]:.0f} MB in an epoch, {written:.0f} MB in writing")
    ratio = options.megabytes[-1] / options.megabytes[0]
    print(f"corpus: {ratio:.1f} x the rows, {growths[-1] / growths[0]:.2f} x the memory of an epoch")

    for suffix in ("wav", "mp4"):
        growths = []
        for seconds in options.seconds:
            with tempfile.TemporaryDirectory() as folder:
                write_clip(path := Path(folder, f"clip.{suffix}"), seconds)
                found = fresh("predict", path)
            decoded = seconds * (4 * SAMPLES + (3 * FRAMES * PIXELS**2 if suffix == "mp4" else 0)) / MB
            growths.append(found["prediction"] - found["features"])
            print(
                f"{suffix} of {seconds} s, {found['windows']} windows: {found['features']:.1f} MB of features, "
                f"decoded {decoded:.0f} MB; grew by {found['extraction']:.0f} MB in extraction, "
                f"{found['prediction']:.0f} MB in prediction"
            )
        ratio = options.seconds[-1] / options.seconds[0]
        print(f"{suffix}: {ratio:.1f} x the length, {growths[-1] / growths[0]:.2f} x the memory beyond the features")


if __name__ == "__main__":
    main()
