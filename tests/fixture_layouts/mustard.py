# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small files of MUStARD: JSON, BERT lines, audio pickle and ResNet HDF5, in the formats of the original."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np


def write_json(folder: Path, ids: list[str]) -> dict:
    """`data/sarcasm_data.json` with these ids; shows, speakers and labels take turns."""
    shows = ("BBT", "FRIENDS", "GOLDENGIRLS")
    clips = {
        clip: {
            "utterance": f"Oh yes, number {i}.",
            "speaker": f"SPEAKER{i % 7}",
            "context": ["So?", "Is it you?"],
            "context_speakers": ["ROSS", f"SPEAKER{i % 7}"],
            "show": shows[i % 3],
            "sarcasm": i % 2 == 1,
        }
        for i, clip in enumerate(ids)
    }
    path = folder / "data" / "sarcasm_data.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(clips), encoding="utf-8")
    return clips


def write_features(folder: Path, ids: list[str]) -> None:
    """Value `i` in all features of the i-th id; i % 3 + 2 word pieces, 12 steps of sound, i % 4 + 1 frames."""
    data = folder / "data"
    with open(data / "bert-output.jsonl", "w", encoding="utf-8") as file:
        for i in range(len(ids)):
            layers = [{"index": -n, "values": [float(i + n - 2.5)] * 768} for n in (1, 2, 3, 4)]
            pieces = [{"token": "[CLS]", "layers": layers} for _ in range(i % 3 + 2)]
            file.write(json.dumps({"linex_index": i, "features": pieces}) + "\n")
    with open(data / "audio_features.p", "wb") as file:
        pickle.dump({clip: np.full((283, 12), i, np.float64) for i, clip in enumerate(ids)}, file, protocol=2)
    (data / "features" / "utterances_final").mkdir(parents=True)
    with h5py.File(data / "features" / "utterances_final" / "resnet_pool5.hdf5", "w") as file:
        for i, clip in enumerate(ids):
            file.create_dataset(clip, data=np.full((i % 4 + 1, 2048), i, np.float32))


def write_folds(path: Path, folds: list[tuple[list[int], list[int]]]) -> None:
    """`split_indices.p`: (train positions, test positions) of every fold."""
    with open(path, "wb") as file:
        pickle.dump([tuple(map(np.array, fold)) for fold in folds], file, protocol=2)
