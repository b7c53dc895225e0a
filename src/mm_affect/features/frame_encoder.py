# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Base of extractors that run a pretrained network on frames.

The weights stay in their files. A description identifies them by name and sha256, so it is the same on every machine;
a local file is searched for in the folder that the environment variable `MM_AFFECT_WEIGHTS` names.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .faces import FaceFinder, check_frame, cut_out, opencv
from .pretrained_files import compute_sha256, resolve_path


SURROUNDINGS = 1.3  # a crop is this many times as wide as the face that was found
FRAMES_AT_ONCE = 16


class FrameEncoder:
    """Frames to one row of network features per frame.

    Frames are uint8 RGB `(height, width, 3)`, sampled at `rate` frames per second; the result is float32 `(frames,
    size)`. A frame without a face is a row of NaN. Frames are read a few at a time, so an iterator over a long video
    takes constant memory. `extractor.network.to("cuda")` moves the network.

    A subclass has `name`, `version`, `_files`, which returns the files that decide the features, and `_load`, which
    returns the network. The network has `side`, `size`, and `encode`, from a list of uint8 RGB images `(side, side,
    3)` to float32 `(n, size)`.

    Args:
        weights: a path, or a name on the Hub.
        rate: frames per second of the input; recorded in the description, without effect on the features.
        crop: `"face"`: the face with some surroundings; `"frame"`: the central square.

    Raises:
        ValueError: weights are missing or belong to another network, or a frame has another shape or type.
        ImportError: OpenCV 4 is not installed.
    """

    name: str
    version: int
    options: tuple[str, ...] = ("rate", "crop")  # in the description, in addition to the weights

    def __init__(self, weights: str | Path, rate: float = 10.0, crop: str = "face"):
        if not rate > 0:
            raise ValueError(f"`rate` is {rate}; it must be a positive number of frames per second.")
        check_choice("crop", crop, ("face", "frame"))
        self.rate, self.crop = float(rate), crop
        self.weights = Path(weights).resolve().name if resolve_path(weights).exists() else str(weights)
        self._paths = self._files(weights)
        self._sha256 = compute_sha256(self._paths)
        self._finder = FaceFinder()

    @cached_property
    def network(self) -> Any:
        """Return the network, loaded on first use."""
        return self._load()

    def _files(self, weights: str | Path) -> list[Path]:
        raise NotImplementedError

    def _load(self) -> nn.Module:
        raise NotImplementedError

    def __getstate__(self) -> dict:
        """Without the network, which is read again where it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "network"}

    @property
    def size(self) -> int:
        """Return the number of features per frame."""
        return self.network.size

    def describe(self) -> dict:
        """Return everything that decides the features, as JSON values; weights are identified by their hash."""
        described = {"name": self.name, "version": self.version, "size": self.size}
        return described | {key: getattr(self, key) for key in (*self.options, "weights")} | {"sha256": self._sha256}

    @classmethod
    def from_description(cls, description: dict, weights: str | Path | None = None) -> "FrameEncoder":
        """Return the extractor of a description.

        Args:
            description: result of `describe`.
            weights: current location of the weights; default: the one in the description.

        Raises:
            ValueError: weights are missing or differ, or this version cannot compute those features.
        """
        lacking = [key for key in (*cls.options, "weights", "sha256") if key not in description]
        if lacking:
            raise ValueError(
                f"The description of {cls.name} features has no `{lacking[0]}`; give one made by `describe()`."
            )
        extractor = cls(weights or description["weights"], **{key: description[key] for key in cls.options})
        for key, here in (extractor.describe() | {"weights": description["weights"]}).items():
            if description.get(key) != here:
                raise ValueError(
                    f"The description asks for {cls.name} features with {key} {description.get(key)!r}; this has {here!r}. "
                    "Give the weights that the features were made with, or extract them again."
                )
        return extractor

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


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that an option has one of its values.

    Raises:
        ValueError: it has another value.
    """
    if value not in choices:
        raise ValueError(f"`{name}` is {value!r}; expected one of {', '.join(choices)}.")
