# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Frames through a pretrained network, one row of features per frame: what the extractors with weights of others share.

The weights stay in their file. A description knows them by name and sha256, so it is the same on every machine; a resolve_path file
is looked for in the folder that the environment variable `MM_AFFECT_WEIGHTS` names.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .faces import FaceFinder, check_frame, cut_out, opencv
from .pretrained_files import compute_sha256, resolve_path


SURROUNDINGS = 1.3  # a crop is this many times as wide as the face that was found
FRAMES_AT_ONCE = 16


class FrameEncoder:
    """Frames -> one row of a network's features per frame.

    Called with frames of shape (height, width, 3), uint8, RGB, already sampled at `rate` frames per second, it gives
    float32 (frames, size). A frame without a face is a whole row of NaN. Frames are read a few at a time, so an iterator over a
    long video costs constant memory. `extractor.network.to("cuda")` moves the network.

    An extractor gives `name`, `version`, `_files`, which finds the files that decide the numbers, and `_load`, the network in
    them: its `encode` turns squares of `side` pixels, a list of uint8 RGB `(side, side, 3)`, into float32 `(n, size)`.

    Args:
        weights: where the weights are: a path, or a name on the Hub.
        rate: steps per second at which the caller gives frames; stated in the description, changes no number.
        crop: `"face"`: the face with some of its surroundings, or `"frame"`: the middle square.

    Raises:
        ValueError: there are no weights, or those of another network; a frame of another shape or type.
        ImportError: OpenCV 4 is not installed.
    """

    options = ("rate", "crop")  # of the description, besides the weights

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
    def network(self) -> nn.Module:
        """The network, read from its files when it is first used."""
        return self._load()

    def __getstate__(self) -> dict:
        """Without the network, which is read again where it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "network"}

    @property
    def size(self) -> int:
        return self.network.size

    def describe(self) -> dict:
        """Everything that decides the numbers, as plain JSON values; the weights are known by the hash of their files."""
        described = {"name": self.name, "version": self.version, "size": self.size}
        return described | {key: getattr(self, key) for key in (*self.options, "weights")} | {"sha256": self._sha256}

    @classmethod
    def from_description(cls, description: dict, weights: str | Path | None = None) -> "FrameEncoder":
        """The extractor that `description` speaks of.

        Args:
            weights: where the weights are now; default: where the description says.

        Raises:
            ValueError: there are no weights, or others than those described, or this version cannot make those features.
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
        crops, rows = self._crops(frames), []
        while batch := list(islice(crops, FRAMES_AT_ONCE)):
            rows.append(self._features(batch))
        return np.concatenate(rows) if rows else np.zeros((0, self.size), np.float32)

    def _crops(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray | None]:
        """The square that the network sees of each frame, `(side, side, 3)`; None without a face."""
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
    """Raise `ValueError` if an option has another value than these."""
    if value not in choices:
        raise ValueError(f"`{name}` is {value!r}; expected one of {', '.join(choices)}.")
