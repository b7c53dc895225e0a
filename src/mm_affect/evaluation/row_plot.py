# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Plot of one row: frames of its video, spectrogram of its audio with its transcript, features and labels.

Needs the extra `plots`, and `audio` or `video` for rows that name media.
"""

import io
from pathlib import Path
from textwrap import shorten

import numpy as np

from ..data.record import CorpusRecord
from ..data.show import format_labels
from ..features.media import iter_frames, probe, read_audio
from ..files import write_atomically
from ..vocabulary import MODALITIES
from .plots import styled


RATE = 16000  # Hz
WINDOW, HOP = 400, 160  # samples of the spectrogram: 25 ms every 10 ms
FLOOR = 70  # dB below the maximum that are still visible
FRAMES = 8
LONGEST = 60.0  # maximum seconds of a clip
WIDTH, AUDIO_HEIGHT, FEATURES_HEIGHT = 9.0, 2.1, 1.3  # inches
MARGIN = 4  # pixels between frames


@styled
def plot_row(row: dict, corpus: CorpusRecord, path: str | Path) -> Path:
    """Draw a row, as `data.show.find_row` gives it, to a PNG file; what the row lacks is left out.

    Raises:
        ValueError: the path does not end with .png, or the row has nothing that can be drawn.
        MediaError: a media file cannot be read.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"Plots are written as PNG, but the path is {path}; use a path that ends with .png.")
    frames, audio = _read_frames(row), _read_audio(row)
    features = [modality for modality in MODALITIES if len(row[modality])]
    heights = [AUDIO_HEIGHT] * (audio is not None) + [FEATURES_HEIGHT] * len(features)
    if frames is not None:
        strip = _join_frames(frames[0])
        heights.insert(0, (WIDTH - 0.5) * strip.shape[0] / strip.shape[1])
    if not heights:
        raise ValueError(f"Row `{row['id']}` has neither existing media files nor features; there is nothing to plot.")
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.35 * len(heights) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = iter(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    if frames is not None:
        _draw_frames(next(axes), strip, frames[1])
    if audio is not None:
        _draw_spectrogram(next(axes), audio, row)
    for modality in features:
        _draw_features(figure, next(axes), modality, row)
    labels = ", ".join(f"{name}: {label}" for name, label in format_labels(row, corpus.label_fields).items())
    synthetic = " (SYNTHETIC)" if corpus.synthetic else ""
    said = shorten(row["transcript"] or "", 110, placeholder=" ...") if row["spans"] is None else ""
    lines = [f"{row['id']}, {corpus.name}{synthetic}", shorten(labels, 110, placeholder=" ..."), said]
    figure.suptitle("\n".join(filter(None, lines)), fontsize=10)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    write_atomically(path, image.getvalue())
    return path


def _interval(row: dict, duration: float) -> tuple[float, float]:
    """Return start and end of the clip in the file, in seconds."""
    start = row["start"] or 0.0
    end = duration if row["end"] is None else min(row["end"], duration)
    return start, min(end, start + LONGEST)


def _read_frames(row: dict) -> tuple[list[np.ndarray], list[float]] | None:
    """Read a few frames at equal distances, and their times in seconds from the start of the clip."""
    video = row["video_file"]
    if not video or not Path(video).is_file():
        return None
    found = probe(video)
    if not found.has_video:
        return None
    start, end = _interval(row, found.duration)
    rate = FRAMES / (end - start)
    shift = 0.5 / rate  # the middle of each part
    frames = list(iter_frames(video, rate, start + shift, end))[:FRAMES]
    return (frames, [shift + k / rate for k in range(len(frames))]) if frames else None


def _read_audio(row: dict) -> np.ndarray | None:
    for name in (row["audio_file"], row["video_file"]):
        if name and Path(name).is_file() and probe(name).has_audio:
            return read_audio(name, RATE, *_interval(row, probe(name).duration))
    return None


def _join_frames(frames: list[np.ndarray]) -> np.ndarray:
    step = max(1, frames[0].shape[0] // 160)  # large frames are drawn small
    white = [(0, 0), (0, MARGIN), (0, 0)]
    return np.concatenate([np.pad(frame[::step, ::step], white, constant_values=255) for frame in frames], axis=1)


def _draw_frames(panel, strip: np.ndarray, seconds: list[float]) -> None:
    panel.imshow(strip, aspect="auto")
    places = (np.arange(len(seconds)) + 0.5) * strip.shape[1] / len(seconds)
    panel.set_xticks(places, [f"{second:.1f} s" for second in seconds])
    panel.tick_params(length=0)
    panel.set_yticks([])
    panel.grid(False)
    panel.spines[:].set_visible(False)


def _draw_spectrogram(panel, audio: np.ndarray, row: dict) -> None:
    """Draw the spectrogram in dB, and above it the words at their times."""
    audio = np.pad(audio, (0, max(0, WINDOW - len(audio))))
    windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(windows, 512)).T ** 2
    level = 10 * np.log10(np.maximum(power, 1e-12))
    duration = len(audio) / RATE
    panel.imshow(
        level, origin="lower", aspect="auto", extent=(0, duration, 0, RATE / 2000), cmap="magma",
        vmin=level.max() - FLOOR, vmax=level.max(), interpolation="nearest",
    )  # fmt: skip
    panel.grid(False)
    panel.set_ylabel("kHz")
    panel.set_xlabel("seconds")
    panel.set_xlim(0, duration)
    if row["spans"] is None:
        return
    top = RATE / 2000
    said = [(w, s, e) for w, (s, e) in zip(row["transcript"].split(), row["spans"], strict=True) if s < duration]
    crowded = len(said) > 12
    for word, start, end in said:
        panel.axvspan(start, min(end, duration), ymin=0.985, ymax=1.0, color="#56B4E9")
        panel.axvline(start, color="white", linewidth=0.5, alpha=0.6)
        panel.text(
            (start + end) / 2, top * 1.02, word, ha="left" if crowded else "center", va="bottom", clip_on=False,
            rotation=45 if crowded else 0, rotation_mode="anchor", fontsize=7 if crowded else 8,
        )  # fmt: skip


def _draw_features(figure, panel, modality: str, row: dict) -> None:
    """Draw steps along x and features along y, each feature standardized; missing steps are gray."""
    values = row[modality].astype(np.float64)
    measured = ~np.isnan(values).all(axis=1)
    scaled = np.full(values.shape, np.nan)
    if measured.any():
        part = values[measured]
        scaled[measured] = (part - part.mean(axis=0)) / np.maximum(part.std(axis=0), 1e-6)
    panel.set_facecolor("#cccccc")
    image = panel.imshow(
        scaled.T, aspect="auto", origin="lower", cmap="RdBu_r", vmin=-2.5, vmax=2.5, interpolation="nearest"
    )
    panel.grid(False)
    panel.set_ylabel(f"{modality}\n{values.shape[1]} features")
    panel.set_yticks([])
    words = (row["transcript"] or "").split()
    if modality == "text" and len(words) == len(values) <= 30:
        panel.set_xticks(range(len(words)), words, rotation=30 if len(words) > 10 else 0, ha="center", fontsize=7)
    else:
        panel.set_xlabel(f"{len(values)} steps")
    figure.colorbar(image, ax=panel, label="standard deviations", shrink=0.9, aspect=12, pad=0.01)
