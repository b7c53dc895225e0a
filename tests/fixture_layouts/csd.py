# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Computational sequences (.csd) as the CMU Multimodal SDK writes them."""

import json
from pathlib import Path

import h5py
import numpy as np


def write_csd(
    path: Path, name: str, videos: dict[str, tuple], compression: str | None = None, metadata: dict | None = None
) -> Path:
    """The sequence `name` of video -> (features (n, size), intervals (n, 2)); a list of texts becomes words (n, 1)."""
    metadata = {"root name": name, "md5": None, "dimension names": ["a"], "dataset version": 1.0} | (metadata or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for video, (features, intervals) in videos.items():
            if isinstance(features, list):
                features = np.array([text.encode() if isinstance(text, str) else text for text in features])[:, None]
            group = file.create_group(f"{name}/data/{video}")
            group.create_dataset("features", data=features, compression=compression)
            group.create_dataset("intervals", data=np.asarray(intervals), compression=compression)
        group = file.require_group(f"{name}/metadata")
        for key, value in metadata.items():
            group.create_dataset(key, (1,), dtype=h5py.string_dtype())[0] = json.dumps(value)
    return path
