# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Conversion of every input form of the pipeline to a row that the processor reads.

Files, on disk or in memory, are decoded by the processor. Decoded audio and frames go straight to the processor's
extractors: audio at any sampling rate with up to eight channels, frames at any frame rate.
"""

import math
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..features.media import Source, probe, resample_blocks
from ..features.processor import AffectProcessor
from ..vocabulary import MODALITIES


INPUT_KEYS = ("text", "audio", "video", "spans", "id")
AUDIO_KEYS = {"array", "raw", "sampling_rate"}  # keys of decoded audio in transformers and datasets
FILE_KEYS = {"bytes", "path"}  # keys of an encoded file in datasets
FRAME_KEYS = {"frames", "fps"}
MAX_CHANNELS = 8
MAX_AMPLITUDE = 16.0  # of floats: decoders overshoot 1 a little, and 16-bit samples are never this quiet
INPUT_FORMS = (
    "the path of a media file, its bytes, a waveform, {'array', 'sampling_rate'}, {'frames', 'fps'}, or a dict with some of "
    + ", ".join(INPUT_KEYS)
)


def build_row(
    clip: Any, processor: AffectProcessor, modalities: Collection[str] = MODALITIES
) -> tuple[dict[str, Any], str]:
    """Convert a clip to a raw row, and give it a name.

    Args:
        clip: path or bytes of an audio or video file; a waveform at the sampling rate of the processor's extractor; a
            dict of decoded audio (`array` or `raw`, `sampling_rate`), of an encoded file (`bytes` or `path`) or of
            `frames`, uint8 RGB, and `fps`; or a dict with any of `video` and `audio` (each in one of these forms),
            `text`, its `spans`, and `id`.
        processor: the processor whose extractors read decoded audio and frames.
        modalities: the modalities to extract.

    Returns:
        The row, and the name of the clip: its `id`, else its file, else the form of the input.

    Raises:
        ValueError: If the form is not supported, a URL is given, audio or frames have the wrong shape, or the number
            of spans is not that of the words. `MediaError` if a file cannot be read.
    """
    clip = to_modality_dict(clip)
    if not isinstance(clip.get("text"), str | None):
        raise ValueError(f"`text` is a {type(clip['text']).__name__}; expected the transcript, as one string.")
    row = {"transcript": clip.get("text"), "spans": clip.get("spans")}
    num_words = len((row["transcript"] or "").split())
    if row["spans"] is not None and len(row["spans"]) != num_words:
        raise ValueError(
            f"The input has {len(row['spans'])} spans for {num_words} words of its text; give one per word."
        )
    names = []
    for modality in ("video", "audio"):
        medium = clip.get(modality)
        if medium is None:
            continue
        part, name = read_medium(medium, modality, processor, modalities)
        row |= part
        names.append(name)
    name = str(clip.get("id") or (names or ["transcript"])[0])
    return row | {"id": name}, name


def to_modality_dict(clip: Any) -> dict[str, Any]:
    """Return the clip as a dict of modalities, whichever short form it was given in."""
    if isinstance(clip, str | os.PathLike | bytes | bytearray | memoryview):
        return {"video": clip}  # `read_medium` finds out whether the file has a video track
    if isinstance(clip, np.ndarray | torch.Tensor):
        return {"audio": clip}
    if not isinstance(clip, dict):
        raise ValueError(f"A clip is a {type(clip).__name__}; expected {INPUT_FORMS}.")
    if clip and clip.keys() <= AUDIO_KEYS | FILE_KEYS:
        return {"audio" if clip.keys() & AUDIO_KEYS else "video": clip}
    if clip and clip.keys() <= FRAME_KEYS:
        return {"video": clip}
    unknown = sorted(clip.keys() - set(INPUT_KEYS))
    if unknown:
        raise ValueError(f"Unknown input {unknown[0]!r}; expected some of {', '.join(INPUT_KEYS)}.")
    return clip


def read_medium(
    medium: Any, modality: str, processor: AffectProcessor, modalities: Collection[str]
) -> tuple[dict[str, Any], str]:
    """Return one medium as columns of a row (a file, or the features of decoded data), and its name."""
    frames, rate = None, None
    if isinstance(medium, dict):
        if not medium.keys() <= AUDIO_KEYS | FILE_KEYS and not (modality == "video" and medium.keys() <= FRAME_KEYS):
            raise ValueError(f"`{modality}` is a dict of {', '.join(map(str, medium))}; expected {INPUT_FORMS}.")
        frames, rate = medium.get("frames"), medium.get("sampling_rate", medium.get("fps"))
        if medium.keys() & {"array", "raw"} and not (isinstance(rate, int | float) and rate > 0):
            raise ValueError(f"`sampling_rate` of the audio is {rate}; give samples per second, a positive number.")
        medium = next((medium[key] for key in ("array", "raw", "bytes", "path") if medium.get(key) is not None), None)
    if frames is not None:
        needed = "visual" in modalities and "visual" in processor.modalities
        return ({"visual": extract_visual(frames, rate, processor)} if needed else {}), "frames"
    if isinstance(medium, np.ndarray | torch.Tensor | list):
        needed = "audio" in modalities and "audio" in processor.modalities
        return ({"audio": extract_audio(medium, rate, processor)} if needed else {}), "waveform"
    file = check_file(medium, modality)
    has_video = modality == "video" and probe(file).has_video
    return {"video_file" if has_video else "audio_file": file}, "media" if isinstance(file, bytes) else str(file)


def check_file(medium: Any, modality: str) -> Source:
    """Return a path as a string or an encoded file as bytes; refuse URLs and other types."""
    if isinstance(medium, bytearray | memoryview):
        return bytes(medium)
    if not isinstance(medium, str | os.PathLike | bytes):
        raise ValueError(f"`{modality}` is a {type(medium).__name__}; expected {INPUT_FORMS}.")
    if isinstance(medium, str) and "://" in medium:
        raise ValueError(
            f"{medium} is a URL, and this pipeline does not access the network; download the file, and give its path or "
            "its bytes."
        )
    return medium if isinstance(medium, bytes) else str(medium)


def extract_audio(samples: Any, rate: float | None, processor: AffectProcessor) -> np.ndarray:
    """Extract features `(steps, size)` of a waveform in any shape that `to_mono` reads; the default rate is the extractor's."""
    extractor = processor.extractor("audio")
    rate = extractor.sampling_rate if rate is None else rate
    return extractor(np.concatenate(list(resample_blocks([(rate, to_mono(samples))], extractor.sampling_rate))))


def to_mono(samples: Any) -> np.ndarray:
    """Convert a waveform to float32 `(samples,)`, averaging the channels.

    Args:
        samples: `(samples,)`, `(channels, samples)` or `(samples, channels)`, floats in [-1, 1] or signed integers.

    Raises:
        ValueError: If the shape, the type or the amplitude is not that of a waveform.
    """
    samples = np.asarray(samples.detach().cpu() if isinstance(samples, torch.Tensor) else samples)
    shape, dtype = samples.shape, samples.dtype
    if samples.ndim == 2:
        samples = samples.mean(int(np.argmin(shape)), dtype=np.float64)
    if samples.ndim != 1 or not samples.size or (len(shape) == 2 and min(shape) > MAX_CHANNELS):
        raise ValueError(
            f"A waveform has shape {shape}; expected (samples,), or two axes of which one is up to {MAX_CHANNELS} channels "
            "(frames are given as {'frames', 'fps'})."
        )
    if dtype.kind != "f" and dtype not in (np.int8, np.int16, np.int32):  # int64 does not tell its scale
        raise ValueError(f"A waveform is of {dtype}; expected floats in [-1, 1], or integers of 16 or 32 bits.")
    if dtype.kind == "f" and np.abs(samples).max() > MAX_AMPLITUDE:
        raise ValueError(
            f"A waveform of floats reaches {np.abs(samples).max():g}; expected -1 to 1: divide 16-bit samples by 32768."
        )
    scale = 1.0 if dtype.kind == "f" else -float(np.iinfo(dtype).min)
    return (samples / scale).astype(np.float32)


def extract_visual(frames: Sequence[Any], fps: float | None, processor: AffectProcessor) -> np.ndarray:
    """Extract features `(steps, size)` of frames: uint8 `(frames, height, width, 3)`, or a list of arrays or PIL images."""
    if fps is None or not fps > 0:
        raise ValueError(f"`fps` of the frames is {fps}; give the frames per second, a positive number.")
    if not len(frames):
        raise ValueError("`frames` is empty; give at least one frame.")
    extractor = processor.extractor("visual")
    return extractor(sample_frames(frames, fps, extractor.rate))


def sample_frames(frames: Sequence[Any], fps: float, rate: float) -> Iterator[np.ndarray]:
    """Yield the frame on the screen at each `k / rate` seconds, uint8 RGB `(height, width, 3)`."""
    for k in range(math.ceil(len(frames) / fps * rate - 1e-6)):
        frame = frames[min(int(k / rate * fps + 1e-6), len(frames) - 1)]
        yield np.asarray(frame.convert("RGB") if hasattr(frame, "convert") else frame)  # PIL images have `convert`
