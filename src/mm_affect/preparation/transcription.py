# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcripts of speech without any, by a speech recognizer, as a corpus of their own beside the originals.

The output is a folder with two files of one JSON object per line. `transcripts.jsonl` is the work: which recognizer, then every
clip that it heard, or why it could not, added as it is done; the next start goes on behind it and tries failures again.
`manifest.jsonl`, with corpus.json, is the corpus: written anew from that work at the end, so other filters cost no hearing. Its
columns `likelihood` (mean log-likelihood of a token) and `language` are no labels; `mm_affect.data` reads them as the manifest of
a published corpus, such as VoxCeleb2.

Clips that have a transcript keep it, whatever the filters. Feature files of the source are not carried over.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

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
    """Hear every clip of `source` that has no transcript, and add what is said to `transcripts.jsonl` of `output`.

    Args:
        source: a folder with a manifest, or any folder of media files: the id of a clip is then its path without ending, and
            its group, such as a speaker, the first folder of it.
        output: a new folder, or one that this has begun with the same recognizer.
        progress: called after each clip with its id and the number of all clips.

    Raises:
        FileExistsError: `output` holds something else.
        ValueError: it was begun with another recognizer; `source` cannot be read.
    """
    clips, _ = read_source(source)
    if Path(output).resolve() == Path(source).resolve():
        raise ValueError(f"{output} is the source itself, which stays as it is; choose another folder.")
    log = _begin(Path(output), {"model": recognizer.name, "weights_sha256": recognizer.sha256})
    done = {clip for clip, found in _read(log)[1].items() if "error" not in found}
    with open(log, "a", encoding="utf-8") as file:
        for clip in clips:
            if clip["id"] not in done and clip["transcript"] is None and _has_media(clip):
                try:
                    text, likelihood, language = recognizer(clip)
                    likelihood = round(likelihood, 6) if likelihood is not None and math.isfinite(likelihood) else None
                    found = {"transcript": text, "likelihood": likelihood, "language": language}
                except (ValueError, OSError) as error:
                    found = {"error": str(error)}
                file.write(json.dumps({"id": clip["id"]} | found, ensure_ascii=False) + "\n")
                file.flush()
            if progress is not None:
                progress(clip["id"], len(clips))


def write_manifest(
    source: str | Path, output: str | Path, language: str | None = None, least_likelihood: float | None = None
) -> tuple[dict[str, int], list[dict]]:
    """Write the corpus of what `transcribe` heard; return how many clips are in it or not and why, and the failures.

    Args:
        language: keep clips in this language only.
        least_likelihood: keep clips of at least this mean log-likelihood of a token.

    Raises:
        ValueError: no clip is left; a language is asked for where the recognizer names none.
    """
    clips, corpus = read_source(source)
    header, heard = _read(Path(output) / LOG)
    if language is not None and heard and not any(found.get("language") for found in heard.values()):
        raise ValueError(
            f"{header['model']} names no language, so none can be asked for; leave --language out, or take another recognizer."
        )
    counts, failures = Counter({"clips": 0}), []
    temporary = Path(output) / f".{MANIFEST}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        for clip in clips:
            found = heard.get(clip["id"], {})
            if clip["transcript"] is not None:
                found = {}
                counts["of them with a transcript of their own"] += 1
            elif not _has_media(clip):
                counts["without a sound file"] += 1
                continue
            elif "error" in found:
                failures.append({"id": clip["id"], "error": found["error"]})
                counts["failed"] += 1
                continue
            elif not _passes(found, language, least_likelihood):
                counts["left out by the filters"] += 1
                continue
            counts["clips"] += 1
            counts["of them without a word"] += clip["transcript"] is None and found["transcript"] is None
            file.write(json.dumps(_line(clip, found, Path(output)), ensure_ascii=False) + "\n")
    if not counts["clips"]:
        temporary.unlink()
        first = f"; the first failure: {failures[0]['error']}" if failures else ""
        raise ValueError(
            f"No clip of {source} is left ({', '.join(f'{n} {what}' for what, n in counts.items() if n)}){first}"
        )
    known = header | {"language": language, "least_likelihood": least_likelihood}
    write_atomically(
        Path(output) / "corpus.json", json.dumps(corpus | {"transcripts": known}, indent=1, ensure_ascii=False)
    )
    os.replace(temporary, Path(output) / MANIFEST)
    return {what: count for what, count in counts.items() if count}, failures


def read_source(source: str | Path) -> tuple[list[dict], dict]:
    """The clips of a folder, and what its corpus.json is to say.

    A clip has `id`, `group`, `split`, `transcript`, `audio_file`, `video_file`, `start`, `end`, and under `cells` the columns of
    its labels as they stand.

    Raises:
        FileNotFoundError: no such folder, or nothing to hear in it.
    """
    source = Path(source)
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not a folder; expected one with a manifest, or with media files.")
    if any((source / name).is_file() for name in MANIFEST_NAMES):
        manifest = read_manifest(source)
        names = {field.name for field in manifest.label_fields}
        clash = sorted(names & {"likelihood", "language"})
        if clash:
            raise ValueError(f"{manifest.path} has labels {clash[0]!r}, a name that transcripts need; rename them.")
        lines = zip(manifest.records, read_lines(manifest.path), strict=True)
        clips = [
            record | {"cells": {name: cell for name, cell in cells.items() if name.partition(".")[0] in names}}
            for record, (_, cells) in lines
        ]
        return clips, manifest.corpus | {"label_fields": [field.to_dict() for field in manifest.label_fields]}
    clips = list(_media_clips(source))
    if not clips:
        raise FileNotFoundError(
            f"{source} holds neither a manifest ({', '.join(MANIFEST_NAMES)}) nor media files to transcribe."
        )
    return clips, {"name": source.resolve().name, "label_fields": []}


def _media_clips(source: Path) -> Iterator[dict]:
    seen = {}
    for path in sorted(path for path in source.rglob("*") if path.suffix.lower() in MEDIA and path.is_file()):
        clip = path.relative_to(source).with_suffix("").as_posix()
        if clip in seen:
            raise ValueError(
                f"{seen[clip]} and {path.name} are both clip {clip!r}; a manifest can say which is heard."
            )
        seen[clip] = path.name
        yield dict.fromkeys(COLUMNS) | {
            "id": clip,
            "group": clip.partition("/")[0],
            "audio_file": str(path) if path.suffix.lower() in SOUNDS else None,
            "video_file": None if path.suffix.lower() in SOUNDS else str(path),
            "cells": {},
        }


def _has_media(clip: dict) -> bool:
    return bool(clip["audio_file"] or clip["video_file"])


def _passes(found: dict, language: str | None, least_likelihood: float | None) -> bool:
    """Whether a transcript is in the language, and likely enough; what is unknown does not pass."""
    if language is not None and found["language"] != language:
        return False
    return least_likelihood is None or (found["likelihood"] is not None and found["likelihood"] >= least_likelihood)


def _line(clip: dict, found: dict, output: Path) -> dict:
    """A line of the manifest, with its files as seen from `output`."""
    files = {
        name: os.path.relpath(clip[f"{name}_file"], output)
        for name in ("audio", "video")
        if clip[f"{name}_file"] is not None
    }
    known = {name: clip[name] for name in ("id", "group", "split", "transcript", "start", "end")}
    line = known | files | clip["cells"] | {name: value for name, value in found.items() if name != "id"}
    return {name: value for name, value in line.items() if value is not None}


def _begin(output: Path, header: dict) -> Path:
    """`transcripts.jsonl`, new or gone on with; a last line that was not finished is cut off."""
    log = output / LOG
    if not log.is_file():
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise FileExistsError(f"{output} exists and holds no {LOG}; it is left alone: choose another folder.")
        write_atomically(log, json.dumps(header) + "\n")
        return log
    with open(log, "rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
    begun = _read(log)[0]
    if begun != header:
        raise ValueError(
            f"{output} was begun with {begun.get('model')} ({str(begun.get('weights_sha256'))[:12]}), not with "
            f"{header['model']} ({header['weights_sha256'][:12]}); transcripts of two recognizers are not mixed: choose another "
            "folder."
        )
    return log


def _read(log: Path) -> tuple[dict, dict[str, dict]]:
    """Which recognizer, and what was heard last of each clip."""
    lines = [cells for _, cells in read_lines(log)]
    return lines[0], {cells["id"]: cells for cells in lines[1:]}
