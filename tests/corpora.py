# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tiny corpora that tests share, each made once per test run: feature rows from a formula, clips, and a trained model."""

import csv
import functools
import json
import tempfile
import wave
from pathlib import Path

import datasets
import numpy as np

from mm_affect.data import LabelField, make_sample_corpus, write_rows
from mm_affect.evaluation.results import SeedResult, summarize
from mm_affect.preparation.extraction.corpus import extract_corpus
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


SIZES = {"text": 4, "audio": 3, "visual": 5}
FIELDS = [
    LabelField("sentiment", "regression", range=(-3.0, 3.0)),
    LabelField("sarcasm", "single_label_classification", ("no", "yes")),
    LabelField("emotion", "multi_label_classification", ("happy", "sad")),
]
COUNTS = {"train": 32, "validation": 12, "test": 12}
MODEL = {"fusion": "ef_lf", "encoder": "lstm", "early_size": 6, "late_sizes": {"text": 4, "audio": 4, "visual": 4}}

_keep = tempfile.TemporaryDirectory(prefix="mm_affect_tests_")
SHARED = Path(_keep.name)  # what several test files read and none changes
datasets.config.HF_DATASETS_CACHE = SHARED / "cache"


def make_rows(split: str, seed: int = 0) -> list[dict]:
    """Rows whose labels can be read from their features; some labels are unknown, some modalities missing."""
    rng = np.random.default_rng([seed, *split.encode()])
    rows = []
    for i in range(COUNTS[split]):
        happy, sad, sarcastic = (rng.random(3) < 0.5).astype(float)
        row = {"id": f"{split}-{i}", "group": f"{split}-{i // 3}", "transcript": None, "spans": None}
        for modality, size in SIZES.items():
            steps = int(rng.integers(1, 12)) if rng.random() < 0.9 else 0
            values = 2 * rng.normal(size=(steps, size)) + 5
            values[:, 0] += 3 * happy
            values[:, 1] += 3 * sad
            values[:, 2] += 3 * sarcastic
            row[modality] = values.astype(np.float32)
        if len(row["visual"]) > 2:
            row["visual"][1] = np.nan  # no face in this frame
        known = rng.random(3) < 0.9
        row["labels"] = {
            "sentiment": float(np.float32(happy - sad + rng.normal() / 4)) if known[0] else None,
            "sarcasm": int(sarcastic) if known[1] else None,
            "emotion": [happy, sad] if known[2] else None,
        }
        rows.append(row)
    return rows


def summarize_seeds(seeds: dict) -> dict:
    """Return the `summary` of results.json for its `seeds`, both as JSON."""
    summary = summarize({seed: SeedResult.from_dict(run) for seed, run in seeds.items()})
    return {subset: {key: score.to_dict() for key, score in scores.items()} for subset, scores in summary.items()}


def write_tiny_rows(folder: Path, **corpus) -> Path:
    rows = {split: make_rows(split) for split in COUNTS}
    write_rows(folder, rows, {"name": "tiny", "synthetic": True, "label_fields": FIELDS, "sizes": SIZES} | corpus)
    return folder


@functools.cache
def tiny_rows() -> Path:
    """A folder of feature rows from no known extractor."""
    return write_tiny_rows(SHARED / "tiny_rows")


def run_config(output: Path, **fields) -> dict:
    """A run of two short epochs on `tiny_rows`; `training` is merged, other fields replace."""
    training = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01} | fields.pop("training", {})
    base = {"name": "tiny", "rows": str(tiny_rows()), "output": str(output), "model": MODEL, "seeds": [0]}
    return base | {"training": training} | fields


@functools.cache
def tiny_run() -> Path:
    """The finished run of `run_config` with two seeds."""
    output = SHARED / "tiny_run"
    training = {"epochs": 4, "tune_thresholds": "f1_binary"}
    config = run_config(output, seeds=[0, 1], training=training, augmentation={"noise": 0.1, "modality_dropout": 0.2})
    experiments.run(RunConfig.from_dict(config), command="mm-affect train tiny.json")
    return output


@functools.cache
def sample_corpus() -> Path:
    """Twelve clips of the sample corpus: real files."""
    make_sample_corpus(SHARED / "sample", clips=12, seed=0, workers=1)
    return SHARED / "sample"


@functools.cache
def sample_rows() -> Path:
    extract_corpus(sample_corpus(), SHARED / "sample_rows")
    return SHARED / "sample_rows"


@functools.cache
def sample_run() -> Path:
    """A run on `sample_rows`, hence with extractors: it can predict raw clips."""
    output = SHARED / "sample_run"
    config = run_config(output, rows=str(sample_rows()), training={"epochs": 1, "batch_size": 4})
    experiments.run(RunConfig.from_dict(config))
    return output


def write_corpus(folder: Path, lines: list[dict], corpus: dict | None = None) -> Path:
    """An own corpus: a manifest of these lines."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for line in lines for name in line)))
        writer.writeheader()
        writer.writerows(lines)
    if corpus is not None:
        (folder / "corpus.json").write_text(json.dumps(corpus))
    return folder


def write_wav(path: Path, seconds: float = 0.5, loudness: float = 0.3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = loudness * np.sin(2 * np.pi * 220 * np.arange(round(16000 * seconds)) / 16000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def write_video(path: Path, seconds: float = 0.5, sound: bool = False) -> Path:
    """Plain gray frames, so without a face, with silence if `sound`."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("h264", rate=10)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=16000) if sound else None
        for _ in range(round(10 * seconds)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), "rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if track is not None:
            block = av.AudioFrame.from_ndarray(np.zeros((1, round(16000 * seconds)), np.float32), "fltp", "mono")
            block.sample_rate = 16000
            container.mux(track.encode(block))
            container.mux(track.encode(None))
    return path
