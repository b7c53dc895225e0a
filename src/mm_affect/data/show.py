# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Look up one row of a corpus by its id, and format it as text."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from ..label_field import LabelField
from ..messages import did_you_mean
from ..vocabulary import MODALITIES
from .corpora.layouts import CorpusLayout
from .corpora.registry import CORPORA, find_layout
from .loading import load, read_corpus
from .ragged import RowReader
from .record import CorpusRecord
from .schema import NO_LABEL


MAX_COMPARED_IDS = 20000  # ids that are compared with an unknown one
WORDS_PER_LINE = 6


def find_row(
    source: str | Path, clip: str, data_dir: str | Path | None = None, config: str | None = None, **options
) -> tuple[dict, CorpusRecord, str]:
    """Return the row with the id `clip`, the record of its corpus, and its split.

    Args:
        source: folder of rows or own corpus; with `data_dir` the name of a published corpus.
        clip: id of the row.
        data_dir: folder of the published corpus, which are read until the row is reached.
        config: named configuration of the published corpus.
        options: options of its layout.

    Raises:
        ValueError: there is no such row; the message names the most similar ids.
    """
    if data_dir is not None:
        return _read_until(clip, find_layout(str(source), Path(data_dir), config, **options))
    if str(source) in CORPORA and not Path(source).exists():
        raise ValueError(f"{source} is the name of a corpus; say where its files are with --data-dir.")
    corpus, ids = read_corpus(source), []
    for split, rows in load(source).items():
        column = rows.data.column("id")
        place = pc.index(column, clip).as_py()
        if place >= 0:
            return RowReader(rows)[place], corpus, split
        ids += column.slice(0, MAX_COMPARED_IDS).to_pylist()
    raise _unknown(clip, ids, str(source))


def _read_until(clip: str, layout: CorpusLayout) -> tuple[dict, CorpusRecord, str]:
    corpus = layout.describe()
    ids: list[str] = []
    absent: dict = dict.fromkeys(("transcript", "spans", "audio_file", "video_file", "start", "end"))
    absent |= {modality: np.zeros((0, corpus.sizes.get(modality, 1)), np.float32) for modality in MODALITIES}
    for split in corpus.counts:
        for row in layout.rows(split):
            if row["id"] == clip:
                return absent | {name: value for name, value in row.items() if value is not None}, corpus, split
            if len(ids) < MAX_COMPARED_IDS:
                ids.append(row["id"])
        dropped = next((lost.reason for lost in layout.dropped if lost.id == clip), None)
        if dropped is not None:
            raise ValueError(f"{corpus.name} has `{clip}`, but it makes no row: {dropped}.")
    raise _unknown(clip, ids, corpus.name)


def _unknown(clip: str, ids: list[str], where: str) -> ValueError:
    return ValueError(f"{where} has no row {clip!r}.{did_you_mean(clip, ids)}" if ids else f"{where} has no rows.")


def format_row(row: dict, corpus: CorpusRecord, split: str) -> Iterator[str]:
    """Yield the lines that describe a row."""
    synthetic = " (SYNTHETIC)" if corpus.synthetic else ""
    yield f"{row['id']}  ({corpus.name}{synthetic}, {split}, group {row['group']})"
    for name, value in format_labels(row, corpus.label_fields).items():
        yield f"  {name:12} {value}"
    for name in ("audio_file", "video_file"):
        if row[name]:
            there = "" if Path(row[name]).is_file() else "  (not there)"
            yield f"  {name:12} {row[name]}{there}"
    if row["start"] is not None or row["end"] is not None:
        end = "its end" if row["end"] is None else f"{row['end']:.3f} s"
        yield f"  {'cut':12} from {row['start'] or 0:.3f} s to {end}"
    yield f"  {'transcript':12} {row['transcript'] or '-'}"
    if row["spans"] is not None:
        timed = [f"{s:.2f}-{e:.2f} {w}" for w, (s, e) in zip(row["transcript"].split(), row["spans"], strict=True)]
        for first in range(0, len(timed), WORDS_PER_LINE):
            yield f"  {'' if first else 'words, s':12} " + "   ".join(timed[first : first + WORDS_PER_LINE])
    for modality in MODALITIES:
        yield f"  {modality:12} {_format_features(row[modality])}"


def format_labels(row: dict, fields: list[LabelField]) -> dict[str, str]:
    """Return the labels of a row as text, by label field."""
    texts = {}
    for field in fields:
        value = (row.get("labels") or {}).get(field.name)
        if value is None:
            texts[field.name] = "unknown"
        elif field.problem_type == "single_label_classification":
            texts[field.name] = field.labels[value]
        elif field.problem_type == "regression":
            texts[field.name] = f"{value:+.3g}"
        else:
            present = [f"{label} {v:.3g}" for label, v in zip(field.labels, value, strict=True) if v]
            texts[field.name] = ", ".join(present) or NO_LABEL
    return texts


def _format_features(values: np.ndarray) -> str:
    if not len(values):
        return "no features"
    measured = values[~np.isnan(values).all(axis=1)]
    text = f"{len(values)} steps of {values.shape[1]}"
    if len(measured) < len(values):
        text += f", {len(values) - len(measured)} of them not measured"
    if not len(measured):
        return text
    return f"{text}, from {np.nanmin(measured):.4g} to {np.nanmax(measured):.4g}, mean {np.nanmean(measured):.4g}"
