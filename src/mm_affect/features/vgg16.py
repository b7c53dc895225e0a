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

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers.utils import cached_file

from .frame_encoder import FrameEncoder
from .pretrained_extractor import check_choice
from .pretrained_files import PLACE, resolve_path


WEIGHTS_FILE = "model.safetensors"
POOL_AFTER = (2, 4, 7, 10, 13)  # convolutions
SIDE = 224  # pixels of the network's input
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in RGB from 0 to 1
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
        self.side, self.size = SIDE, fully_connected[layer != "fc6"]

    @classmethod
    def from_weights(cls, path: Path, layer: str = "fc7") -> "VGG16":
        """Load the network from a safetensors file, with the widths of its weights.

        Raises:
            ValueError: the file is not a safetensors file, or not the weights of a VGG-16.
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
        """Return the activations of normalized images `(n, 3, 224, 224)`, `(n, width)`."""
        return self.classifier[: self.depth](self.features(images).flatten(1))

    def encode(self, crops: list[np.ndarray]) -> torch.Tensor:
        """Return the activations of uint8 RGB images `(224, 224, 3)`, `(n, width)`."""
        images = torch.from_numpy(np.stack(crops)).to(next(self.parameters()).device).float() / 255
        images = (images - images.new_tensor(MEAN)) / images.new_tensor(DEVIATION)
        return self(images.permute(0, 3, 1, 2))


def torchvision_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights by their torchvision names, in float32 and without the output layer."""
    named = {}
    for name, values in weights.items():
        for theirs, ours in NAMES_OF_TIMM.items():
            name = name.replace(theirs, ours)
        if not name.startswith("classifier.6."):
            linear = name.startswith("classifier") and values.ndim > 2
            named[name] = (values.flatten(1) if linear else values).float()
    return named


def sorted_by_number(weights: dict[str, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    """Return the weights, without biases, named `<part>.<number>.weight`, in the order of part and number."""
    names = [(name.split("."), name) for name in weights if name.endswith(".weight")]
    numbered = [(parts[0], int(parts[1]), name) for parts, name in names if len(parts) == 3 and parts[1].isdigit()]
    return [(name, weights[name]) for *_, name in sorted(numbered)]


def find_weights(weights: str | Path) -> Path:
    """Return the safetensors file of a path, a folder or a Hub repository.

    Raises:
        ValueError: there is none.
    """
    if resolve_path(weights).is_file():
        return resolve_path(weights)
    try:
        return Path(str(cached_file(str(resolve_path(weights)), WEIGHTS_FILE)))
    except OSError as error:
        raise ValueError(
            f"There are no VGG-16 weights at {weights}; expected a safetensors file (one that is known by its name only is "
            f"looked for in the folder that the environment variable {PLACE} names), or a folder or Hub repository with "
            f"{WEIGHTS_FILE} ({str(error).splitlines()[0]})."
        ) from error


class VGG16Extractor(FrameEncoder):
    """Frames -> 4096 numbers of VGG-16 per frame; see `FrameEncoder`. About 0.5 s per frame on one core.

    Args:
        weights: a safetensors file, or a folder or Hub repository with a `model.safetensors`.
        layer: `"fc7"` or `"fc6"`.
    """

    name = "vgg16"
    version = 1
    options = ("rate", "crop", "layer")

    def __init__(self, weights: str | Path, rate: float = 10.0, crop: str = "face", layer: str = "fc7"):
        check_choice("layer", layer, tuple(LAYERS))
        self.layer = layer
        super().__init__(weights, rate, crop)

    @property
    def dimension_names(self) -> list[str]:
        """Return a name for each feature."""
        return [f"{self.layer}_{i}" for i in range(self.size)]

    def _files(self, weights: str | Path) -> list[Path]:
        return [find_weights(weights)]

    def _load(self) -> VGG16:
        return VGG16.from_weights(self._paths[0], self.layer)
