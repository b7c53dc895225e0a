# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""VGG-16 features of face crops: the visual front end of Khare et al. (2021), 4096 numbers per frame.

Network: configuration D of Simonyan and Zisserman, ICLR 2015, up to its second fully connected layer. Weights have the names of
torchvision (`features.0.weight`, `classifier.3.bias`, ...) or of timm (`pre_logits.fc1.weight`, ...), and are always read: from
a safetensors file, or from a folder or Hub repository with a `model.safetensors`, such as `timm/vgg16.tv_in1k`. There is no
random network. Weights in a file of torch's own are brought over once by
`safetensors.torch.save_file(torch.load("vgg16.pth", weights_only=True), "vgg16.safetensors")`.

The paper does not say which of the two layers of 4096 it reads, nor what is cut out of the frame. Here it is the second one,
after its ReLU (`layer="fc6"`: the first), of the face with some of its surroundings; `crop="frame"` takes the middle square of
the frame, for videos such as those of VoxCeleb2 which show the face alone.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers.utils import cached_file

from .faces import FaceFinder, checked, cut_out, opencv


WEIGHTS_FILE = "model.safetensors"
POOL_AFTER = (2, 4, 7, 10, 13)  # convolutions
SIDE = 224  # pixels of the network's input
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in RGB from 0 to 1
SURROUNDINGS = 1.3  # a crop is this many times as wide as the face that was found
FRAMES_AT_ONCE = 16
LAYERS = {"fc6": 2, "fc7": 5}  # modules of the classifier that are run
NAMES_OF_TIMM = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}


class VGG16(nn.Module):
    """Images `(n, 3, 224, 224)` to the activations of a fully connected layer, `(n, width)`.

    Args:
        convolutions: output channels of the 13 convolutions.
        fully_connected: widths of the two layers behind them.
        layer: `"fc6"` or `"fc7"`.
    """

    def __init__(self, convolutions: list[int], fully_connected: list[int], layer: str = "fc7"):
        super().__init__()
        layers, size = [], 3
        for number, channels in enumerate(convolutions, start=1):
            layers += [nn.Conv2d(size, channels, 3, padding=1), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(2)] if number in POOL_AFTER else []
            size = channels
        first, second = fully_connected
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(size * (SIDE // 32) ** 2, first), nn.ReLU(), nn.Dropout(), nn.Linear(first, second), nn.ReLU()
        )
        self.depth = LAYERS[layer]

    @classmethod
    def from_weights(cls, path: Path, layer: str = "fc7") -> "VGG16":
        """The network in a safetensors file, as wide as its weights.

        Raises:
            ValueError: no safetensors file, or not the weights of a VGG-16.
        """
        try:
            weights = torchvision_names(load_file(path))
        except SafetensorError as error:
            raise ValueError(f"{path} cannot be read as a safetensors file ({error}).") from error
        convolutions = [w.shape[0] for name, w in sorted_by_number(weights) if name.startswith("features")]
        fully_connected = [w.shape[0] for name, w in sorted_by_number(weights) if name.startswith("classifier")]
        if (len(convolutions), len(fully_connected)) != (13, 2):
            raise ValueError(
                f"{path} has {len(convolutions)} convolutions and {len(fully_connected)} fully connected layers below the "
                "output; VGG-16 has 13 and 2, named as in torchvision or timm."
            )
        with torch.device("meta"):
            network = cls(convolutions, fully_connected, layer)
        try:
            network.to_empty(device="cpu").load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"{path} does not hold the weights of a VGG-16: {str(error).splitlines()[1].strip()}"
            ) from error
        return network.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier[: self.depth](self.features(images).flatten(1))


def torchvision_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights by torchvision's names, in float32, without the output layer; timm's are convolutions where these are linear."""
    named = {}
    for name, values in weights.items():
        for theirs, ours in NAMES_OF_TIMM.items():
            name = name.replace(theirs, ours)
        if not name.startswith("classifier.6."):
            linear = name.startswith("classifier") and values.ndim > 2
            named[name] = (values.flatten(1) if linear else values).float()
    return named


def sorted_by_number(weights: dict[str, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    """The weights (not the biases) named `<part>.<number>.weight`, in the order of part and number."""
    found = [(name.split("."), name) for name in weights if name.endswith(".weight")]
    found = [(parts[0], int(parts[1]), name) for parts, name in found if len(parts) == 3 and parts[1].isdigit()]
    return [(name, weights[name]) for *_, name in sorted(found)]


def find_weights(weights: str | Path) -> Path:
    """The safetensors file that is meant by a path, a folder or the name of a Hub repository.

    Raises:
        ValueError: there is none.
    """
    if Path(weights).is_file():
        return Path(weights)
    try:
        return Path(cached_file(str(weights), WEIGHTS_FILE))
    except OSError as error:
        raise ValueError(
            f"There are no VGG-16 weights at {weights}; expected a safetensors file, or a folder or Hub repository with "
            f"{WEIGHTS_FILE} ({str(error).splitlines()[0]})."
        ) from error


class VGG16Extractor:
    """Frames -> one row of VGG-16 features per frame.

    Called with frames of shape (height, width, 3), uint8, RGB, already sampled at `rate` frames per second, it gives
    float32 (frames, size). A frame without a face is a whole row of NaN. Frames are read a few at a time, so an iterator over a
    long video costs constant memory. About 0.5 s per frame on one core; `extractor.network.to("cuda")` moves it.

    Args:
        weights: a safetensors file, or a folder or Hub repository with a `model.safetensors`.
        rate: steps per second at which the caller gives frames; stated in the description, changes no number.
        crop: `"face"` or `"frame"`.
        layer: `"fc7"` or `"fc6"`.

    Raises:
        ValueError: there are no weights, or those of another network; a frame of another shape or type.
        ImportError: OpenCV 4 is not installed.
    """

    name = "vgg16"
    version = 1

    def __init__(self, weights: str | Path, rate: float = 10.0, crop: str = "face", layer: str = "fc7"):
        if not rate > 0:
            raise ValueError(f"`rate` is {rate}; it must be a positive number of frames per second.")
        for name, value, choices in (("crop", crop, ("face", "frame")), ("layer", layer, tuple(LAYERS))):
            if value not in choices:
                raise ValueError(f"`{name}` is {value!r}; expected one of {', '.join(choices)}.")
        self.rate, self.crop, self.layer = float(rate), crop, layer
        self.weights = Path(weights).name if Path(weights).exists() else str(weights)
        self._path = find_weights(weights)
        with open(self._path, "rb") as file:
            self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._finder = FaceFinder()

    @cached_property
    def network(self) -> VGG16:
        """The network, read from its file when it is first used."""
        return VGG16.from_weights(self._path, self.layer)

    def __getstate__(self) -> dict:
        return {
            name: value for name, value in self.__dict__.items() if name != "network"
        }  # read again where it is needed

    @property
    def size(self) -> int:
        return self.network.classifier[self.network.depth - 2].out_features

    @property
    def dimension_names(self) -> list[str]:
        return [f"{self.layer}_{i}" for i in range(self.size)]

    def describe(self) -> dict:
        """Everything that decides the numbers, as plain JSON values; the weights are known by the hash of their file."""
        return {
            "name": self.name,
            "version": self.version,
            "rate": self.rate,
            "size": self.size,
            "crop": self.crop,
            "layer": self.layer,
            "weights": self.weights,
            "sha256": self._sha256,
        }

    @classmethod
    def from_description(cls, description: dict, weights: str | Path | None = None) -> "VGG16Extractor":
        """The extractor that `description` speaks of.

        Args:
            weights: where the weights are now; default: where the description says.

        Raises:
            ValueError: there are no weights, or others than those described, or this version cannot make those features.
        """
        lacking = [key for key in ("rate", "crop", "layer", "weights", "sha256") if key not in description]
        if lacking:
            raise ValueError(
                f"The description of VGG-16 features has no `{lacking[0]}`; give one made by `describe()`."
            )
        extractor = cls(weights or description["weights"], *(description[key] for key in ("rate", "crop", "layer")))
        for key, here in (extractor.describe() | {"weights": description["weights"]}).items():
            if description.get(key) != here:
                raise ValueError(
                    f"The description asks for VGG-16 features with {key} {description.get(key)!r}; this has {here!r}. "
                    "Give the weights that the features were made with, or extract them again."
                )
        return extractor

    def __call__(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        crops, rows = self._crops(frames), []
        while batch := list(islice(crops, FRAMES_AT_ONCE)):
            rows.append(self._features(batch))
        return np.concatenate(rows) if rows else np.zeros((0, self.size), np.float32)

    def _crops(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray | None]:
        """The square that the network sees of each frame, `(224, 224, 3)`; None without a face."""
        cv2, box = opencv(), None
        for frame in frames:
            height, width = checked(frame).shape[:2]
            if self.crop == "frame":
                yield cut_out(frame, (width / 2, height / 2, min(height, width)), SIDE)
                continue
            box = self._finder(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), box)
            yield None if box is None else cut_out(frame, (*box[:2], SURROUNDINGS * box[2]), SIDE)

    @torch.inference_mode()
    def _features(self, crops: list[np.ndarray | None]) -> np.ndarray:
        rows = np.full((len(crops), self.size), np.nan, np.float32)
        found = [i for i, crop in enumerate(crops) if crop is not None]
        if found:
            device = next(self.network.parameters()).device
            images = torch.from_numpy(np.stack([crops[i] for i in found])).to(device).float() / 255
            images = (images - images.new_tensor(MEAN)) / images.new_tensor(DEVIATION)
            rows[found] = self.network(images.permute(0, 3, 1, 2)).cpu().numpy()
        return rows
