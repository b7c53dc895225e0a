# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small raw releases of CMU-MOSI and CMU-MOSEI; media files are empty, because no test opens them."""

from pathlib import Path


def write_mosi_raw(folder: Path, videos: dict[str, list[str]]) -> None:
    """Video -> texts of its clips; files count from 1."""
    for video, texts in videos.items():
        lines = [f"{k}_DELIM_{text}" for k, text in enumerate(texts, 1)]
        _write(folder / "Raw" / "Transcript" / "Segmented" / f"{video}.annotprocessed", "\n".join(lines))
        for k in range(1, len(texts) + 1):
            _write(folder / "Raw" / "Audio" / "WAV_16000" / "Segmented" / f"{video}_{k}.wav")
            _write(folder / "Raw" / "Video" / "Segmented" / f"{video}_{k}.mp4")


def write_mosei_raw(folder: Path, videos: dict[str, list[tuple]], segmented: bool = True) -> None:
    """Video -> (number, start, end, text) of its clips."""
    for video, clips in videos.items():
        lines = [f"{video}___{k}___{start}___{end}___{text}" for k, start, end, text in clips]
        _write(folder / "Raw" / "Transcript" / "Segmented" / "Combined" / f"{video}.txt", "\n".join(lines) + "\n")
        for k, *_ in clips if segmented else ():
            _write(folder / "Raw" / "Audio" / "Segmented" / f"{video}_{k}.wav")
            _write(folder / "Raw" / "Videos" / "Segmented" / "Combined" / f"{video}_{k}.mp4")
        if not segmented:
            _write(folder / "Raw" / "Audio" / "Full" / "WAV_16000" / f"{video}.wav")
            _write(folder / "Raw" / "Videos" / "Full" / "Combined" / f"{video}.mp4")


def _write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
