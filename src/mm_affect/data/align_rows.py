# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Word alignment of rows: audio and visual frames become one step for each word."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from .alignment import REDUCERS, align
from .loading import load, read_corpus
from .ragged import RowReader
from .record import CorpusRecord, DroppedClip
from .rows import check_different_folders, write_rows


FRAMES = ("audio", "visual")
NO_TIMES = "no word with a time (`spans`)"
PROCESSOR_FILE = "processor_config.json"


def align_rows(source: str | Path, output: str | Path, reducer: str = "mean", overwrite: bool = False) -> CorpusRecord:
    """Align the audio and visual frames of rows to their words, and write these rows; return their record.

    Frame i covers the seconds i / rate to (i + 1) / rate from the start of the clip; `spans` are relative to the same
    start. A word without a measured frame becomes a step of NaN, and a missing modality becomes one such step for
    every word: the steps are masked, and all streams have the same length. Rows without `spans` are dropped and
    recorded under `dropped`. Memory is constant in the number of rows.

    The record has the reducer and the extractors of the frames under `alignment`. Neither the record nor the processor
    beside it has extractors of the aligned modalities: a raw clip has no word times, so it cannot be extracted.

    Args:
        source: a folder of rows whose audio and visual features have extractors with a rate.
        output: folder to write; it appears when complete.
        reducer: `"mean"`, `"max"`, `"first"` or `"last"` of the frames that a word overlaps; see `alignment.align`.
        overwrite: replace earlier rows in `output`.

    Raises:
        ValueError: features without a rate, text whose steps are not its words, or no row with `spans`.
        FileExistsError: `output` is not empty.
    """
    if reducer not in REDUCERS:
        raise ValueError(f"Reducer {reducer!r} is unknown; expected one of {', '.join(REDUCERS)}.")
    source, corpus = Path(source), read_corpus(source)
    check_different_folders(source, Path(output))
    rates = _rates(source, corpus)
    splits, dropped = load(source), list(corpus.dropped)
    total, known = sum(len(rows) for rows in splits.values()), len(dropped)

    def aligned(rows, last: bool) -> Iterator[dict]:
        reader = RowReader(rows)
        for row in map(reader.__getitem__, range(len(reader))):
            if row["spans"] is None or not len(row["spans"]):
                dropped.append(DroppedClip(row["id"], NO_TIMES))
            else:
                yield _aligned(row, rates, reducer)
        if last and len(dropped) == known + total:
            raise ValueError(f"No row of {source} has a word with a time; give the words of the corpus `spans` first.")

    *_, last = splits
    frames = {m: corpus.extractors[m] for m in rates}
    record = replace(
        corpus,
        extractors={m: extractor for m, extractor in corpus.extractors.items() if m not in rates},
        provenance=corpus.provenance
        | {m: f"{frame['name']} at {frame['rate']:g} Hz, {reducer} over each word" for m, frame in frames.items()},
        alignment={"reducer": reducer, "extractors": frames},
        dropped=dropped,
    )
    return write_rows(
        output,
        {name: aligned(rows, name == last) for name, rows in splits.items()},
        record,
        overwrite=overwrite,
        beside=lambda folder: _copy_processor(source, folder),
    )


def _rates(source: Path, corpus: CorpusRecord) -> dict[str, float]:
    """Return the steps per second of the modalities to align."""
    if corpus.alignment:
        raise ValueError(f"{source} is aligned to words already, with the reducer {corpus.alignment['reducer']!r}.")
    present = [m for m in FRAMES if m in corpus.sizes]
    if not present:
        raise ValueError(f"{source} has no audio or visual features; give a folder that `mm-affect extract` wrote.")
    rates = {}
    for modality in present:
        rates[modality] = (corpus.extractors.get(modality) or {}).get("rate") or 0.0
        if not rates[modality]:
            raise ValueError(
                f"{source} does not record an extractor with a rate for its {modality} features, so the times of "
                "their frames are unknown; extract them with `mm-affect extract`."
            )
    return rates


def _aligned(row: dict, rates: dict[str, float], reducer: str) -> dict:
    words = row["spans"]
    if len(row["text"]) not in (0, len(words)):
        raise ValueError(
            f"Row `{row['id']}` has {len(row['text'])} text steps for {len(words)} spans; word alignment needs one "
            "text step for each word."
        )
    steps = {}
    for modality, rate in rates.items():
        borders = np.arange(len(row[modality]) + 1) / rate
        steps[modality] = align(row[modality], np.stack([borders[:-1], borders[1:]], axis=1), words, reducer)
    if not len(row["text"]):
        steps["text"] = np.full((len(words), row["text"].shape[1]), np.nan, np.float32)
    return row | steps


def _copy_processor(source: Path, folder: Path) -> None:
    """Copy the processor of the rows, if there is one, without the extractors of the aligned modalities."""
    if not (source / PROCESSOR_FILE).is_file():
        return
    processor = json.loads((source / PROCESSOR_FILE).read_text(encoding="utf-8"))
    processor["extractors"] = {
        modality: extractor for modality, extractor in processor["extractors"].items() if modality not in FRAMES
    }
    (folder / PROCESSOR_FILE).write_text(json.dumps(processor, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for path in source.glob("word_vectors.*"):  # what the text extractor of a vector file needs
        shutil.copyfile(path, folder / path.name)
