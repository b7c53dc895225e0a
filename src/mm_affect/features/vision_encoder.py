# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Frames through any vision encoder of transformers, such as ViT, DINOv2, ResNet, ConvNeXt or the picture side of CLIP.

Features are the encoder's pooled output. Where its files have no weights for a pooler (an encoder that was saved below another
head), where it has none, and where it gives one vector per patch only, they are the mean over patches. The pictures are prepared
by the encoder's own image processor, in its numpy and PIL version, so that the numbers do not depend on what is installed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoImageProcessor, AutoModel

from .frame_encoder import FrameEncoder
from .pretrained_files import find_model_folder, list_weights, load_whole


PREPARATION = "preprocessor_config.json"


class PooledVision(nn.Module):
    """Squares of `side` pixels to the pooled output of an encoder.

    Raises:
        ValueError: the folder holds no vision encoder that answers alike each time, or no image processor.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.model: Any
        self.model, absent = load_whole(AutoModel, folder, may_lack=("pooler",))
        self.two_sided = hasattr(self.model, "get_image_features")  # CLIP and similar models of images and text
        if not self.two_sided and self.model.main_input_name != "pixel_values":
            raise ValueError(
                f"{folder} holds a model of type {self.model.config.model_type!r}, which does not read images; give a vision "
                "encoder, such as a ViT."
            )
        try:
            self.prepare = AutoImageProcessor.from_pretrained(folder, backend="pil")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{folder} has no image processor ({PREPARATION}) that can be read ({str(error).splitlines()[0]})."
            ) from error
        self.side = max(dict(self.prepare.size).values())
        self.has_pooler = not absent
        trial = [np.random.default_rng(0).integers(0, 256, (self.side, self.side, 3), np.uint8)]
        try:
            first, second = self.encode(trial), self.encode(trial)
        except (ValueError, RuntimeError, AttributeError, TypeError) as error:
            raise ValueError(
                f"The model in {folder} gives no features for one image ({' '.join(str(error).split())[:200]}); give a "
                "vision encoder, such as a ViT."
            ) from error
        if not torch.equal(first, second):
            raise ValueError(
                f"The model in {folder} gives different features each time, for example because it masks patches at random; "
                "give a deterministic encoder."
            )
        self.size = first.shape[1]

    @torch.inference_mode()
    def encode(self, crops: list[np.ndarray]) -> torch.Tensor:
        """Return features `(n, size)` of uint8 RGB images."""
        pixels = self.prepare(images=crops, return_tensors="pt")["pixel_values"].to(self.model.device)
        answer = (self.model.get_image_features if self.two_sided else self.model)(pixel_values=pixels)
        pooled = getattr(answer, "pooler_output", None)
        if pooled is not None and self.has_pooler:
            return pooled.flatten(1)
        hidden = answer.last_hidden_state  # (n, patches, size), or (n, size, height, width)
        return hidden.mean(1) if hidden.ndim == 3 else hidden.flatten(2).mean(2)


class VisionEncoder(FrameEncoder):
    """Frames to the pooled output of a vision encoder; see `FrameEncoder`.

    Args:
        weights: a folder with config.json, preprocessor_config.json and safetensors files, or a name on the Hub.
    """

    name = "vision_encoder"
    version = 1

    @property
    def dimension_names(self) -> list[str]:
        """Return a name for each feature."""
        return [f"pooled_{i}" for i in range(self.size)]

    def _files(self, weights: str | Path) -> list[Path]:
        self._folder = find_model_folder(weights)
        settings = [self._folder / name for name in ("config.json", PREPARATION)]
        return [*(path for path in settings if path.is_file()), *list_weights(self._folder)]

    def _load(self) -> PooledVision:
        return PooledVision(self._folder)
