# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcription of a corpus without transcripts by a speech recognizer, written as a new corpus beside the original.

The output folder has two files of one JSON object per line. `transcripts.jsonl` is the log: the recognizer, then every clip
with its transcript or its error, appended as it is done; the next run continues after it and tries failures again.
`manifest.jsonl`, with corpus.json, is the corpus: it is written from the log at the end, so that changing the filters
transcribes nothing again. Its columns `likelihood` (mean log-likelihood per token) and `language` are not labels;
`mm_affect.data` reads them like the manifest of a published corpus such as VoxCeleb2.

Clips that have a transcript keep it, whatever the filters. Feature files of the source are not copied.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..data.manifest import COLUMNS, MANIFEST_NAMES, read_manifest
from ..data.manifest_files import read_lines
from ..features.media import MEDIA, SOUNDS
from ..files import write_atomically
from .speech_recognizers import SpeechRecognizer


LOG, MANIFEST = "transcripts.jsonl", "manifest.jsonl"


def transcribe(
    recognizer: SpeechRecognizer,
    source: str | Path,
    output: str | Path,
    progress: Callable[[str, int], None] | None = None,
) -> None:
    """Transcribe every clip of `source` without a transcript, and append the result to the log in `output`.

    Args:
        recognizer: the speech recognizer.
        source: a folder with a manifest, or any folder of media files: the id of a clip is then its path without the
            extension, and its group, such as a speaker, the first folder of that path.
        output: a new folder, or one that was started with the same recognizer.
        progress: called after each clip with its id and the number of all clips.

    Raises:
        FileExistsError: If `output` holds something else.
        ValueError: If `output` was started with another recognizer, or `source` cannot be read.
    """
    clips, _ = read_source(source)
    if Path(output).resolve() == Path(source).resolve():
        raise ValueError(f"{output} is the source folder, which is not changed; choose another folder.")
    log = _open_log(Path(output), {"model": recognizer.name, "weights_sha256": recognizer.sha256})
    done = {clip for clip, entry in _read_log(log)[1].items() if "error" not in entry}
    with open(log, "a", encoding="utf-8") as file:
        for clip in clips:
            if clip["id"] not in done and clip["transcript"] is None and _has_media(clip):
                entry: dict[str, Any]
                try:
                    text, likelihood, language = recognizer(clip)
                    likelihood = round(likelihood, 6) if likelihood is not None and math.isfinite(likelihood) else None
                    entry = {"transcript": text, "likelihood": likelihood, "language": language}
                except (ValueError, OSError) as error:
                    entry = {"error": str(error)}
                file.write(json.dumps({"id": clip["id"]} | entry, ensure_ascii=False) + "\n")
                file.flush()
            if progress is not None:
                progress(clip["id"], len(clips))


def write_manifest(
    source: str | Path, output: str | Path, language: str | None = None, least_likelihood: float | None = None
) -> tuple[dict[str, int], list[dict[str, str]]]:
    """Write the corpus of the clips that `transcribe` has logged.

    Args:
        source: the folder that was transcribed.
        output: the folder with the log.
        language: keep only clips in this language.
        least_likelihood: keep only clips with at least this mean log-likelihood per token.

    Returns:
        The number of clips by what became of them, and the failures, each with `id` and `error`.

    Raises:
        ValueError: If no clip is left, or `language` is given and the recognizer does not detect languages.
    """
    clips, corpus = read_source(source)
    header, log = _read_log(Path(output) / LOG)
    if language is not None and log and not any(entry.get("language") for entry in log.values()):
        raise ValueError(
            f"{header['model']} does not detect languages; leave --language out, or use another recognizer."
        )
    counts, failures = Counter({"clips": 0}), []
    temporary = Path(output) / f".{MANIFEST}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        for clip in clips:
            entry = log.get(clip["id"], {})
            if clip["transcript"] is not None:
                entry = {}
                counts["of them with a transcript of their own"] += 1
            elif not _has_media(clip):
                counts["without an audio or video file"] += 1
                continue
            elif "error" in entry:
                failures.append({"id": clip["id"], "error": entry["error"]})
                counts["failed"] += 1
                continue
            elif not _passes_filters(entry, language, least_likelihood):
                counts["removed by the filters"] += 1
                continue
            counts["clips"] += 1
            counts["of them without words"] += clip["transcript"] is None and entry["transcript"] is None
            file.write(json.dumps(_manifest_line(clip, entry, Path(output)), ensure_ascii=False) + "\n")
    if not counts["clips"]:
        temporary.unlink()
        first = f"; the first failure: {failures[0]['error']}" if failures else ""
        raise ValueError(
            f"No clip of {source} is left ({', '.join(f'{n} {outcome}' for outcome, n in counts.items() if n)}){first}"
        )
    filters = {"language": language, "least_likelihood": least_likelihood}
    write_atomically(
        Path(output) / "corpus.json",
        json.dumps(corpus | {"transcripts": header | filters}, indent=1, ensure_ascii=False),
    )
    os.replace(temporary, Path(output) / MANIFEST)
    return {outcome: count for outcome, count in counts.items() if count}, failures


def read_source(source: str | Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Read the clips of a folder, and the content of its new corpus.json.

    Args:
        source: a folder with a manifest, or of media files.

    Returns:
        The clips, each with `id`, `group`, `split`, `transcript`, `audio_file`, `video_file`, `start`, `end`, and under
        `cells` its label columns as the manifest holds them; and corpus.json.

    Raises:
        FileNotFoundError: If there is no such folder, or nothing to transcribe in it.
    """
    source = Path(source)
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not a folder; expected one with a manifest, or with media files.")
    if any((source / name).is_file() for name in MANIFEST_NAMES):
        manifest = read_manifest(source)
        names = {field.name for field in manifest.label_fields}
        reserved = sorted(names & {"likelihood", "language"})
        if reserved:
            raise ValueError(
                f"{manifest.path} has a label column {reserved[0]!r}, a name that is reserved for transcripts; rename it."
            )
        lines = zip(manifest.records, read_lines(manifest.path), strict=True)
        clips = [
            record | {"cells": {name: cell for name, cell in cells.items() if name.partition(".")[0] in names}}
            for record, (_, cells) in lines
        ]
        return clips, manifest.corpus | {"label_fields": [field.to_dict() for field in manifest.label_fields]}
    clips = list(_list_media(source))
    if not clips:
        raise FileNotFoundError(
            f"{source} holds neither a manifest ({', '.join(MANIFEST_NAMES)}) nor media files to transcribe."
        )
    return clips, {"name": source.resolve().name, "label_fields": []}


def _list_media(source: Path) -> Iterator[dict[str, Any]]:
    names: dict[str, str] = {}
    for path in sorted(path for path in source.rglob("*") if path.suffix.lower() in MEDIA and path.is_file()):
        clip = path.relative_to(source).with_suffix("").as_posix()
        if clip in names:
            raise ValueError(
                f"{names[clip]} and {path.name} are both clip {clip!r}; write a manifest that names one of them."
            )
        names[clip] = path.name
        is_audio = path.suffix.lower() in SOUNDS
        yield dict.fromkeys(COLUMNS) | {
            "id": clip,
            "group": clip.partition("/")[0],
            "audio_file": str(path) if is_audio else None,
            "video_file": None if is_audio else str(path),
            "cells": {},
        }


def _has_media(clip: dict[str, Any]) -> bool:
    return bool(clip["audio_file"] or clip["video_file"])


def _passes_filters(entry: dict[str, Any], language: str | None, least_likelihood: float | None) -> bool:
    """Return True if a transcript passes both filters; an unknown language or likelihood does not."""
    if language is not None and entry["language"] != language:
        return False
    return least_likelihood is None or (entry["likelihood"] is not None and entry["likelihood"] >= least_likelihood)


def _manifest_line(clip: dict[str, Any], entry: dict[str, Any], output: Path) -> dict[str, Any]:
    """Return a line of the manifest, with file paths relative to `output`."""
    files = {
        name: os.path.relpath(clip[f"{name}_file"], output)
        for name in ("audio", "video")
        if clip[f"{name}_file"] is not None
    }
    columns = {name: clip[name] for name in ("id", "group", "split", "transcript", "start", "end")}
    line = columns | files | clip["cells"] | {name: value for name, value in entry.items() if name != "id"}
    return {name: value for name, value in line.items() if value is not None}


def _open_log(output: Path, header: dict[str, str]) -> Path:
    """Start the log, or check that its recognizer is the same and cut off an unfinished last line."""
    log = output / LOG
    if not log.is_file():
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise FileExistsError(f"{output} exists and holds no {LOG}; it is left alone: choose another folder.")
        write_atomically(log, json.dumps(header) + "\n")
        return log
    with open(log, "rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
    started = _read_log(log)[0]
    if started != header:
        raise ValueError(
            f"{output} was started with {started.get('model')} ({str(started.get('weights_sha256'))[:12]}), not with "
            f"{header['model']} ({header['weights_sha256'][:12]}), and transcripts of two recognizers are not mixed; choose "
            "another folder."
        )
    return log


def _read_log(log: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the recognizer, and the last entry of each clip."""
    lines = [cells for _, cells in read_lines(log)]
    return lines[0], {cells["id"]: cells for cells in lines[1:]}
