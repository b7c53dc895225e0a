# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Base of extractors that run a pretrained network on frames."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from .faces import FaceFinder, check_frame, cut_out, opencv
from .pretrained_extractor import PretrainedExtractor, check_choice


SURROUNDINGS = 1.3  # a crop is this many times as wide as the face that was found
FRAMES_AT_ONCE = 16


class FrameEncoder(PretrainedExtractor):
    """Frames to one row of network features per frame.

    Frames are uint8 RGB `(height, width, 3)`, sampled at `rate` frames per second; the result is float32 `(frames,
    size)`. A frame without a face is a row of NaN. Frames are read a few at a time, so an iterator over a long video
    takes constant memory.

    The network has `side`, `size`, and `encode`, from a list of uint8 RGB images `(side, side, 3)` to float32 `(n,
    size)`.

    Args:
        weights: a path, or a name on the Hub.
        rate: frames per second of the input; recorded in the description, without effect on the features.
        crop: `"face"`: the face with some surroundings; `"frame"`: the central square.

    Raises:
        ValueError: weights are missing or belong to another network, or a frame has another shape or type.
        ImportError: OpenCV 4 is not installed.
    """

    options: tuple[str, ...] = ("rate", "crop")

    def __init__(self, weights: str | Path, rate: float = 10.0, crop: str = "face"):
        if not rate > 0:
            raise ValueError(f"`rate` is {rate}; it must be a positive number of frames per second.")
        check_choice("crop", crop, ("face", "frame"))
        self.rate, self.crop = float(rate), crop
        super().__init__(weights)
        self._finder = FaceFinder()

    def __call__(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Return one feature vector per frame, float32 `(frames, size)`."""
        crops, rows = self._crops(frames), []
        while batch := list(islice(crops, FRAMES_AT_ONCE)):
            rows.append(self._features(batch))
        return np.concatenate(rows) if rows else np.zeros((0, self.size), np.float32)

    def _crops(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray | None]:
        """Yield the square `(side, side, 3)` of each frame that the network sees; None without a face."""
        cv2, side, box = opencv(), self.network.side, None
        for frame in frames:
            height, width = check_frame(frame).shape[:2]
            if self.crop == "frame":
                yield cut_out(frame, (width / 2, height / 2, min(height, width)), side)
                continue
            box = self._finder(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), box)
            yield None if box is None else cut_out(frame, (*box[:2], SURROUNDINGS * box[2]), side)

    @torch.inference_mode()
    def _features(self, crops: list[np.ndarray | None]) -> np.ndarray:
        rows = np.full((len(crops), self.size), np.nan, np.float32)
        found = [i for i, crop in enumerate(crops) if crop is not None]
        if found:
            rows[found] = self.network.encode([crops[i] for i in found]).cpu().numpy()
        return rows
