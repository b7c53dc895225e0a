# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Manifests: a corpus folder (manifest.csv, .jsonl or .parquet, corpus.json, feature files) as checked records."""

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..label_field import LabelField
from ..vocabulary import MODALITIES
from .manifest_files import read_corpus_json, read_lines
from .readers.feature_files import FEATURE_SUFFIXES
from .schema import SPLITS, class_name, infer_label_field, is_empty, parse_label
from .splits import split_by_group


MANIFEST_NAMES = ("manifest.csv", "manifest.jsonl", "manifest.parquet")
COLUMNS = ("id", "group", "split", "transcript", "spans", "audio", "video", "start", "end")
RESERVED = ("text", "visual", "labels", "audio_file", "video_file")  # other columns of a row: never labels
SPLIT_NAMES = {split: split for split in SPLITS} | {"valid": "validation", "val": "validation", "dev": "validation"}
HASHED_WHOLE = 1_000_000  # bytes; a larger file is known by its size and time of change
SPLIT_SEED = 0


@dataclass(frozen=True)
class Manifest:
    """Contents of a corpus folder.

    Args:
        path: the manifest file.
        records: one dict per clip with `id`, `group`, `split`, `transcript`, `spans`, `audio_file`, `video_file`,
            `start`, `end` and `labels` as in a row, and `features`: modality -> path of its feature file.
        label_fields: label fields, declared or inferred.
        corpus: contents of corpus.json (empty if there is none), with the split protocol filled in.
    """

    path: Path
    records: list[dict]
    label_fields: list[LabelField]
    corpus: dict

    def hash(self) -> str:
        """Return the sha256 of the manifest, corpus.json and every file that they name.

        Files under 1 MB are hashed by content, larger ones by size and modification time, so that a repaired file
        always changes the hash.
        """
        digest = hashlib.sha256()
        declared = self.path.with_name("corpus.json")
        named = {record[key] for record in self.records for key in ("audio_file", "video_file") if record[key]}
        named |= {str(path) for record in self.records for path in record["features"].values()}
        for path in [self.path, *([declared] if declared.exists() else []), *map(Path, sorted(named))]:
            state = path.stat()
            whole = state.st_size < HASHED_WHOLE or path in (self.path, declared)
            content = hashlib.sha256(path.read_bytes()).hexdigest() if whole else str(state.st_mtime_ns)
            digest.update(f"{os.path.relpath(path, self.path.parent)}\0{state.st_size}\0{content}\n".encode())
        return digest.hexdigest()


def manifest_hash(folder: str | Path) -> str:
    """Return the hash of the manifest in `folder`; see `Manifest.hash`."""
    return read_manifest(folder).hash()


def find_manifest(folder: str | Path) -> Path:
    """Return the path of the manifest in `folder`.

    Raises:
        FileNotFoundError: the folder does not exist, or has no manifest.
        ValueError: it has several manifests.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not a folder; expected a folder that holds one of {', '.join(MANIFEST_NAMES)}."
        )
    paths = [folder / name for name in MANIFEST_NAMES if (folder / name).is_file()]
    if not paths:
        raise FileNotFoundError(f"{folder} holds no manifest; expected one of {', '.join(MANIFEST_NAMES)}.")
    if len(paths) > 1:
        raise ValueError(f"{folder} holds {' and '.join(path.name for path in paths)}; keep one and remove the rest.")
    return paths[0]


def read_manifest(folder: str | Path) -> Manifest:
    """Read and check the manifest in `folder`.

    Label fields are those declared under `label_fields` in corpus.json; without a declaration every column that is not
    in `COLUMNS` is one, see `schema.infer_label_field`. Without a `split` column, whole groups are divided 70/15/15. A
    row without a `group` is its own group.

    Raises:
        FileNotFoundError: there is no manifest, or a file that it names does not exist.
        ValueError: a row or a column is invalid; the message names the file and the row.
    """
    path = find_manifest(folder)
    corpus = read_corpus_json(path.with_name("corpus.json"))
    lines = list(read_lines(path))
    if not lines:
        raise ValueError(f"{path} is empty; expected one row for each clip.")
    _check_columns(path, lines)
    label_cells = [_label_cells(cells) for _, cells in lines]
    declared = corpus.get("label_fields")
    fields = _declared_fields(path, declared, label_cells) if declared is not None else _inferred_fields(label_cells)
    feature_files = _feature_files(path.parent)
    records: list[dict] = []
    seen: dict[str, str] = {}
    for (where, cells), labels in zip(lines, label_cells, strict=True):
        record = _read_record(path.parent, where, cells, feature_files)
        if record["id"] in seen:
            raise ValueError(f"{where}: id `{record['id']}` was used in {seen[record['id']]}; ids must be unique.")
        seen[record["id"]] = where
        record["labels"] = {field.name: parse_label(labels.get(field.name), field, where) for field in fields}
        records.append(record)
    for modality, files in feature_files.items():
        if files and not any(modality in record["features"] for record in records):
            raise ValueError(
                f"{path.parent / modality} holds {len(files)} feature files, such as {min(files.values()).name}, but "
                f"no id of {path.name} has one; name them <id>{files[min(files)].suffix}."
            )
    protocol = _assign_splits(path, [where for where, _ in lines], records, corpus.get("split_protocol"))
    return Manifest(path, records, fields, corpus | {"split_protocol": protocol})


def _check_columns(path: Path, lines: list[tuple[str, dict]]) -> None:
    names = {name for _, cells in lines for name in cells}
    if "id" not in names:
        raise ValueError(f"{path} has no `id` column; its columns are {', '.join(sorted(names))}.")
    wrong = sorted(names & set(RESERVED)) + sorted(name for name in names if not str(name).strip())
    if wrong:
        raise ValueError(
            f"{path} has a column `{wrong[0]}`, a name kept for rows; rename it (words belong in `transcript`, "
            "media paths in `audio` and `video`)."
        )


def _label_cells(cells: dict) -> dict:
    """Return the label columns; `emotion.happy`, `emotion.sad`, ... become one dict `emotion`."""
    labels: dict = {}
    for name, cell in cells.items():
        field, dot, label = name.partition(".")
        if name in COLUMNS:
            continue
        if dot and field and label:
            labels.setdefault(field, {})[label] = cell
        else:
            labels[name] = cell
    return labels


def _inferred_fields(label_cells: list[dict]) -> list[LabelField]:
    names = list(dict.fromkeys(name for cells in label_cells for name in cells))
    return [infer_label_field(name, [cells.get(name) for cells in label_cells]) for name in names]


def _declared_fields(path: Path, fields: list[LabelField], label_cells: list[dict]) -> list[LabelField]:
    names = {name for cells in label_cells for name in cells}
    absent = [field.name for field in fields if field.name not in names]
    if absent:
        raise ValueError(f"{path} has no column `{absent[0]}`, which corpus.json declares as a label field.")
    return fields


def _feature_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Return modality -> id -> feature file, from one walk over the folder of each modality."""
    feature_files: dict[str, dict[str, Path]] = {modality: {} for modality in MODALITIES}
    for modality, files in feature_files.items():
        for parent, _, names in os.walk(folder / modality):
            for path in (Path(parent, name) for name in names):
                if path.suffix in FEATURE_SUFFIXES:
                    clip = path.relative_to(folder / modality).as_posix().removesuffix(path.suffix)
                    if clip in files:
                        raise ValueError(
                            f"{path} and {files[clip].name} are both features of clip `{clip}`; keep one."
                        )
                    files[clip] = path
    return feature_files


def _read_record(folder: Path, where: str, cells: dict, feature_files: dict[str, dict[str, Path]]) -> dict:
    clip = _text(cells.get("id"))
    if not clip:
        raise ValueError(f"{where} has no id; every row needs one.")
    if ".." in PurePosixPath(clip).parts or clip.startswith("/") or "\\" in clip or not clip.isprintable():
        raise ValueError(
            f"{where}: id {clip!r} cannot name a file; use letters, digits, '_', '-', '.' or '/' between parts."
        )
    transcript = _text(cells.get("transcript"))
    start, end = (_seconds(cells.get(name), name, where) for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"{where}: end {end:g} s is not after start {start or 0:g} s.")
    features = {modality: files[clip] for modality, files in feature_files.items() if clip in files}
    media = {f"{name}_file": _media(folder, cells.get(name), name, where) for name in ("audio", "video")}
    if transcript is None and not features and not any(media.values()):
        raise ValueError(
            f"{where}: clip `{clip}` has no transcript, media file or feature file; remove the row or add one."
        )
    group, spans = _text(cells.get("group")) or clip, _spans(cells.get("spans"), transcript, where)
    record = {"id": clip, "group": group, "split": _text(cells.get("split")), "transcript": transcript, "spans": spans}
    return record | media | {"start": start, "end": end, "features": features}


def _text(cell) -> str | None:
    return None if is_empty(cell) else class_name(cell)


def _seconds(cell, name: str, where: str) -> float | None:
    if is_empty(cell):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{where}: `{name}` is {cell!r}; expected seconds from 0.")
    return value


def _media(folder: Path, cell, name: str, where: str) -> str | None:
    if is_empty(cell):
        return None
    path = Path(os.path.abspath(folder / str(cell)))
    if not path.is_file():
        raise FileNotFoundError(f"{where}: `{name}` names {cell}, which is not a file in {folder}.")
    if path.stat().st_size == 0:
        raise ValueError(f"{where}: `{name}` names {cell}, which is an empty file.")
    return str(path)


def _spans(cell, transcript: str | None, where: str) -> list[list[float]] | None:
    if is_empty(cell):
        return None
    try:
        spans = json.loads(cell) if isinstance(cell, str) else cell
        spans = [[float(begin), float(end)] for begin, end in spans]
    except (TypeError, ValueError):
        raise ValueError(f"{where}: `spans` must be a list of [start, end] in seconds, one for each word.") from None
    words = len((transcript or "").split())
    if len(spans) != words:
        raise ValueError(f"{where}: {len(spans)} spans for {words} words of the transcript; they must be as many.")
    for begin, end in spans:
        if not 0 <= begin <= end < math.inf:
            raise ValueError(f"{where}: span [{begin:g}, {end:g}] is not a start and a later end in seconds.")
    return spans


def _assign_splits(path: Path, places: list[str], records: list[dict], protocol: dict | str | None) -> dict | str:
    without = [where for where, record in zip(places, records, strict=True) if record["split"] is None]
    if len(without) == len(records):
        try:
            splits = split_by_group([record["group"] for record in records], seed=SPLIT_SEED)
        except ValueError as error:
            raise ValueError(f"{path} has no `split` column: {error}") from error
        for record, split in zip(records, splits, strict=True):
            record["split"] = split
        return {"name": "by group, 70/15/15", "seed": SPLIT_SEED, "groups_may_cross": False}
    if without:
        raise ValueError(
            f"{without[0]} has no split but other rows have; fill all of them, or none to split by group."
        )
    homes: dict[str, str] = {}
    may_cross = isinstance(protocol, dict) and protocol.get("groups_may_cross") is True
    for where, record in zip(places, records, strict=True):
        name = record["split"].lower()
        if name not in SPLIT_NAMES:
            raise ValueError(f"{where}: split is {record['split']!r}; expected {', '.join(SPLITS)}.")
        record["split"] = split = SPLIT_NAMES[name]
        if homes.setdefault(record["group"], split) != split and not may_cross:
            raise ValueError(
                f"{where}: group `{record['group']}` is in {homes[record['group']]} and {split}; a group must stay in "
                'one split, unless corpus.json says "split_protocol": {"groups_may_cross": true}.'
            )
    return protocol or {"name": "as given in the manifest", "groups_may_cross": False}
