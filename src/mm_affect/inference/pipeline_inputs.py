# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A clip in any of the forms that the pipeline takes, as the row that a processor reads.

Files, on disk or in memory, are decoded by the processor. Sound and frames that are decoded already go straight to the processor's
extractors: sound at any rate and of up to eight channels, frames at any rate per second.
"""

import math
import os
from collections.abc import Iterator

import numpy as np
import torch

from ..features.media import Source, probe, resampled
from ..features.processor import AffectProcessor
from ..vocabulary import MODALITIES


INPUT_KEYS = ("text", "audio", "video", "spans", "id")
AUDIO_KEYS = {"array", "raw", "sampling_rate"}  # the keys of decoded sound, as in transformers and datasets
FILE_KEYS = {"bytes", "path"}  # the keys of an encoded file in datasets
FRAME_KEYS = {"frames", "fps"}
MAX_CHANNELS = 8
MAX_AMPLITUDE = 16.0  # of floats: some clip a little above 1, but none of 16 bits are so quiet
INPUT_FORMS = (
    "the path of a media file, its bytes, a waveform, {'array', 'sampling_rate'}, {'frames', 'fps'}, or a dict with some of "
    + ", ".join(INPUT_KEYS)
)


def build_row(clip, processor: AffectProcessor, modalities=MODALITIES) -> tuple[dict, str]:
    """A clip as a raw row, and a name for it.

    Args:
        clip: the path or the bytes of an audio or video file; a waveform at the rate of the processor's extractor; a dict of
            decoded sound (`array` or `raw`, `sampling_rate`), of an encoded file (`bytes` or `path`) or of `frames`, uint8 RGB,
            and `fps`; or a dict with any of `video` and `audio` (each in one of these forms), `text`, its `spans`, and `id`.
        modalities: what will be read of it.

    Raises:
        ValueError: another form, an address instead of a file, sound or frames of the wrong shape, spans that are not those
            of the words; a `MediaError` for a file that cannot be read.
    """
    clip = to_modality_dict(clip)
    if not isinstance(clip.get("text"), str | None):
        raise ValueError(f"`text` is a {type(clip['text']).__name__}; expected the transcript, as one string.")
    row = {"transcript": clip.get("text"), "spans": clip.get("spans")}
    words = len((row["transcript"] or "").split())
    if row["spans"] is not None and len(row["spans"]) != words:
        raise ValueError(f"The input has {len(row['spans'])} spans for {words} words of its text; give one per word.")
    names = []
    for modality in ("video", "audio"):
        medium = clip.get(modality)
        if medium is None:
            continue
        part, name = read(medium, modality, processor, modalities)
        row |= part
        names.append(name)
    name = str(clip.get("id") or (names or ["transcript"])[0])
    return row | {"id": name}, name


def to_modality_dict(clip) -> dict:
    """The dict of modalities that a clip in a shorter form stands for."""
    if isinstance(clip, str | os.PathLike | bytes | bytearray | memoryview):
        return {"video": clip}  # a file; whether it has pictures is seen from its content
    if isinstance(clip, np.ndarray | torch.Tensor):
        return {"audio": clip}
    if not isinstance(clip, dict):
        raise ValueError(f"A clip is a {type(clip).__name__}; expected {INPUT_FORMS}.")
    if clip and clip.keys() <= AUDIO_KEYS | FILE_KEYS:
        return {"audio" if clip.keys() & AUDIO_KEYS else "video": clip}
    if clip and clip.keys() <= FRAME_KEYS:
        return {"video": clip}
    surplus = sorted(clip.keys() - set(INPUT_KEYS))
    if surplus:
        raise ValueError(f"Unknown input {surplus[0]!r}; expected some of {', '.join(INPUT_KEYS)}.")
    return clip


def read(medium, modality: str, processor: AffectProcessor, modalities) -> tuple[dict, str]:
    """One medium as a part of a row - a file, or the features of what is decoded already - and a name for it."""
    frames, rate = None, None
    if isinstance(medium, dict):
        if not medium.keys() <= AUDIO_KEYS | FILE_KEYS and not (modality == "video" and medium.keys() <= FRAME_KEYS):
            raise ValueError(f"`{modality}` is a dict of {', '.join(map(str, medium))}; expected {INPUT_FORMS}.")
        frames, rate = medium.get("frames"), medium.get("sampling_rate", medium.get("fps"))
        if medium.keys() & {"array", "raw"} and not (isinstance(rate, int | float) and rate > 0):
            raise ValueError(f"`sampling_rate` of the sound is {rate}; give samples per second, a positive number.")
        medium = next((medium[key] for key in ("array", "raw", "bytes", "path") if medium.get(key) is not None), None)
    if frames is not None:
        wanted = "visual" in modalities and "visual" in processor.modalities
        return ({"visual": extract_visual(frames, rate, processor)} if wanted else {}), "frames"
    if isinstance(medium, np.ndarray | torch.Tensor | list):
        wanted = "audio" in modalities and "audio" in processor.modalities
        return ({"audio": extract_audio(medium, rate, processor)} if wanted else {}), "waveform"
    file = check_file(medium, modality)
    pictures = modality == "video" and probe(file).has_video
    return {"video_file" if pictures else "audio_file": file}, "media" if isinstance(file, bytes) else file


def check_file(medium, modality: str) -> Source:
    """The path or the bytes, if it is one of them, and no address."""
    if isinstance(medium, bytearray | memoryview):
        return bytes(medium)
    if not isinstance(medium, str | os.PathLike | bytes):
        raise ValueError(f"`{modality}` is a {type(medium).__name__}; expected {INPUT_FORMS}.")
    if isinstance(medium, str) and "://" in medium:
        raise ValueError(
            f"{medium} is an address, and nothing is fetched from the network here; download the file, and give its path "
            "or its bytes."
        )
    return medium if isinstance(medium, bytes) else str(medium)


def extract_audio(samples, rate: float | None, processor: AffectProcessor) -> np.ndarray:
    """Features `(steps, size)` of a waveform of any shape that `mono` takes; without a rate it has the extractor's."""
    extractor = processor.extractor("audio")
    rate = extractor.sampling_rate if rate is None else rate
    return extractor(np.concatenate(list(resampled([(rate, mono(samples))], extractor.sampling_rate))))


def mono(samples) -> np.ndarray:
    """Sound `(samples,)`, `(channels, samples)` or `(samples, channels)`, of floats in [-1, 1] or of signed integers, as float32
    `(samples,)`; channels are averaged."""
    samples = np.asarray(samples.detach().cpu() if isinstance(samples, torch.Tensor) else samples)
    shape, kind = samples.shape, samples.dtype
    if samples.ndim == 2:
        samples = samples.mean(int(np.argmin(shape)), dtype=np.float64)
    if samples.ndim != 1 or not samples.size or (len(shape) == 2 and min(shape) > MAX_CHANNELS):
        raise ValueError(
            f"A waveform has shape {shape}; expected (samples,), or two axes of which one is up to {MAX_CHANNELS} channels "
            "(frames are given as {'frames', 'fps'})."
        )
    if kind.kind != "f" and kind not in (np.int8, np.int16, np.int32):  # 64 bits hold numbers of any scale
        raise ValueError(f"A waveform is of {kind}; expected floats in [-1, 1], or integers of 16 or 32 bits.")
    if kind.kind == "f" and np.abs(samples).max() > MAX_AMPLITUDE:
        raise ValueError(
            f"A waveform of floats reaches {np.abs(samples).max():g}; expected -1 to 1: divide samples of 16 bits by 32768."
        )
    scale = 1.0 if kind.kind == "f" else -float(np.iinfo(kind).min)
    return (samples / scale).astype(np.float32)


def extract_visual(frames, fps: float | None, processor: AffectProcessor) -> np.ndarray:
    """Features `(steps, size)` of decoded frames: uint8 `(frames, height, width, 3)`, a list of such, or of PIL's pictures."""
    if fps is None or not fps > 0:
        raise ValueError(f"`fps` of the frames is {fps}; give the frames per second, a positive number.")
    if not len(frames):
        raise ValueError("`frames` is empty; give at least one frame.")
    extractor = processor.extractor("visual")
    return extractor(sample_frames(frames, fps, extractor.rate))


def sample_frames(frames, fps: float, rate: float) -> Iterator[np.ndarray]:
    """The frames that are on the screen at `k / rate` seconds, uint8 RGB `(height, width, 3)`."""
    for k in range(math.ceil(len(frames) / fps * rate - 1e-6)):
        frame = frames[min(int(k / rate * fps + 1e-6), len(frames) - 1)]
        yield np.asarray(frame.convert("RGB") if hasattr(frame, "convert") else frame)  # PIL's pictures convert
