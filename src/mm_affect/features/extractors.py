# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Registry of extractors by name, and construction of those of audio and video."""

from collections.abc import Sequence
from pathlib import Path

from .faces import FaceDescriptor
from .log_mel import LogMelExtractor
from .speech_encoder import SpeechEncoder
from .vgg16 import VGG16Extractor
from .vision_encoder import VisionEncoder
from .word_vectors import HashedWordVectors, WordVectors


KINDS = (
    LogMelExtractor,
    SpeechEncoder,
    FaceDescriptor,
    VGG16Extractor,
    VisionEncoder,
    HashedWordVectors,
    WordVectors,
)
EXTRACTORS = {kind.name: kind for kind in KINDS}


def build_extractor(modality: str, description: dict | None):
    """Build the extractor of a description.

    Raises:
        ValueError: there is no description, or no such extractor.
    """
    if description is None or description["name"] not in EXTRACTORS:
        name = "an unknown extractor" if description is None else repr(description["name"])
        raise ValueError(
            f"The {modality} features were made by {name}, which cannot be run here; give features instead of raw "
            f"{modality}."
        )
    return EXTRACTORS[description["name"]].from_description(description)


def build_audio_extractor(
    name: str = LogMelExtractor.name, layers: Sequence[int] | None = None, pooling: str | None = None
) -> LogMelExtractor | SpeechEncoder:
    """Build an audio extractor.

    Args:
        name: `"log_mel"`, or the folder or Hub name of a speech encoder of transformers.
        layers: hidden layers of the encoder, concatenated in each step; default: the last one.
        pooling: `"frames"` (default): a step per frame of the encoder; `"mean"`: one per clip, or per 20 s of it.

    Raises:
        ValueError: weights are missing or wrong, or an option does not apply to the extractor.
    """
    if name == LogMelExtractor.name:
        if layers is not None or pooling is not None:
            raise ValueError(
                f"Layers and pooling belong to speech encoders; the audio extractor is {name!r}, so leave them out."
            )
        return LogMelExtractor()
    return SpeechEncoder(name, layers, pooling or "frames")


def build_visual_extractor(
    name: str, weights: str | Path | None = None, crop: str | None = None, rate: float = 10.0
) -> FaceDescriptor | VGG16Extractor | VisionEncoder:
    """Build a visual extractor.

    Args:
        name: `"faces"`, `"vgg16"`, or the folder or Hub name of a vision encoder of transformers.
        weights: weights of VGG-16: a safetensors file, or a folder or Hub repository with a `model.safetensors`.
        crop: part of a frame that networks see: `"face"` (default) or `"frame"`.
        rate: frames per second.

    Raises:
        ValueError: weights are missing or wrong, or an option does not apply to the extractor.
    """
    if name == "vgg16":
        if weights is None:
            raise ValueError(
                "VGG-16 has no weights of its own: say where they are (a safetensors file, or a Hub repository such as "
                "timm/vgg16.tv_in1k)."
            )
        return VGG16Extractor(weights, rate, crop or "face")
    if weights is not None:
        raise ValueError(f"Weights are given for vgg16 only; the visual extractor is {name!r}, so leave them out.")
    if name == FaceDescriptor.name:
        if crop is not None:
            raise ValueError("The face descriptor always looks at the face; leave the crop out, or name a network.")
        return FaceDescriptor(rate)
    return VisionEncoder(name, rate, crop or "face")
