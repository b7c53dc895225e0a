# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Base class of the corpus builders, and the conversion of rows to Arrow tables."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from datasets.builder import Key
from datasets.exceptions import DatasetGenerationError

from ..label_field import LabelField
from ..vocabulary import MODALITIES
from .ragged import ragged_array, replace_non_finite
from .record import CorpusRecord, DroppedClip
from .schema import check_label, features


TABLE_ROWS = 500
TABLE_BYTES = 64 * 2**20


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Configuration of a corpus builder.

    Args:
        manifest_hash: part of the cache key, so that a changed file never yields a stale dataset.
        allow_partial: accept counts that differ from the documented ones.
    """

    version: datasets.Version | str | None = "2.0.0"
    manifest_hash: str = ""
    allow_partial: bool = False


class AffectBuilder(datasets.ArrowBasedBuilder):
    """Base class of `datasets` builders of a corpus. Subclasses implement `describe` and `read_rows`.

    After `download_and_prepare`, `record` has the counts per split, the dropped clips and the replaced values. Pass
    `dataset_name` where two builders share a module: `datasets` names the cache after the module.
    """

    BUILDER_CONFIG_CLASS = CorpusConfig

    def __init__(self, **options):
        super().__init__(**options)
        self.dropped: list[DroppedClip] = []  # filled by `read_rows`
        self.reported: Counter = Counter()  # what was kept though it is odd, filled by `read_rows`
        self._counts: Counter = Counter()
        self._non_finite: Counter = Counter()

    def describe(self) -> CorpusRecord:
        """Return the record of the corpus before its rows are read.

        `counts` are the numbers of rows that the splits must have (None: any number).
        """
        raise NotImplementedError

    def read_rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of one split."""
        raise NotImplementedError

    @property
    def record(self) -> CorpusRecord:
        """Record of the prepared corpus."""
        return CorpusRecord.read(Path(self._output_dir))

    def download_and_prepare(self, *arguments, **options) -> None:
        """Prepare the dataset; unlike `datasets`, raise an error in the corpus as it is, not wrapped."""
        try:
            super().download_and_prepare(*arguments, **options)
        except DatasetGenerationError as error:
            if isinstance(error.__cause__, ValueError | OSError | ImportError):
                raise error.__cause__ from None
            raise

    def _info(self) -> datasets.DatasetInfo:
        corpus = self.describe()
        return datasets.DatasetInfo(
            features=features(corpus.label_fields, corpus.sizes),
            citation=corpus.citation or "",
            license=corpus.license or "",
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        # One split name, not a list: counts are kept by this object, so `datasets` must not divide the work over
        # processes.
        for collected in (self.dropped, self._counts, self._non_finite):
            collected.clear()
        counts = self.describe().counts
        return [datasets.SplitGenerator(name=split, gen_kwargs={"split": split}) for split in counts]

    def _generate_tables(self, split: str) -> Iterator[tuple[Key, pa.Table]]:
        corpus = self.describe()
        expected, count = corpus.counts[split], 0
        for number, rows in enumerate(in_tables(self.read_rows(split))):
            table, replaced = to_table(rows, corpus.label_fields, corpus.sizes)
            count += len(rows)
            self._non_finite.update(replaced)
            yield Key(0, number), table
        self._counts[split] = count
        if expected is not None and count != expected and not self.config.allow_partial:
            raise ValueError(
                f"{corpus.name}: found {count} rows in {split}, expected {expected}; complete the files, or "
                "accept these counts (`--allow-partial`, in Python `allow_partial=True`)."
            )

    def _download_and_prepare(self, dl_manager, verification_mode, **options) -> None:
        super()._download_and_prepare(dl_manager, verification_mode, **options)
        record = replace(
            self.describe(),
            manifest_hash=self.config.manifest_hash,
            counts=dict(self._counts),
            non_finite=dict(self._non_finite),
            dropped=self.dropped,
            reported=dict(self.reported),
        )
        record.write(Path(self._output_dir))


def in_tables(rows: Iterable[dict]) -> Iterator[list[dict]]:
    """Yield lists of at most `TABLE_ROWS` rows and about `TABLE_BYTES` bytes, so that memory is constant."""
    held, size = [], 0
    for row in rows:
        held.append(row)
        size += sum(getattr(row.get(modality), "nbytes", 0) for modality in MODALITIES)
        if len(held) == TABLE_ROWS or size >= TABLE_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def to_table(
    rows: list[dict], label_fields: list[LabelField], sizes: dict[str, int]
) -> tuple[pa.Table, dict[str, int]]:
    """Convert rows to an Arrow table; return it and the number of replaced non-finite values by modality.

    A missing key is null (a modality: zero steps).

    Raises:
        ValueError: features have a wrong shape, a label is outside of its field, or spans do not match the words; the
            message names the id of the row.
    """
    schema = features(label_fields, sizes).arrow_schema
    replaced: Counter = Counter()
    columns = {
        name: pa.array([row.get(name) for row in rows], type=schema.field(name).type)
        for name in ("id", "group", "transcript", "audio_file", "video_file", "start", "end")
    }
    if columns["id"].null_count or columns["group"].null_count:
        raise ValueError(f"{columns['id'].null_count + columns['group'].null_count} row(s) lack an `id` or a `group`.")
    columns["spans"] = ragged_array([None if row.get("spans") is None else _steps(row, "spans", 2) for row in rows], 2)
    for modality in MODALITIES:
        size, sequences = sizes.get(modality, 1), []
        for row in rows:
            sequence, count = replace_non_finite(_steps(row, modality, size))
            sequences.append(sequence)
            replaced.update({modality: count} if count else {})
        columns[modality] = ragged_array(sequences, size)
    _check_rows(rows, label_fields)
    if label_fields:
        kinds = schema.field("labels").type
        values = [
            [check_label((row.get("labels") or {}).get(field.name), field, f"Row `{row['id']}`") for row in rows]
            for field in label_fields
        ]
        arrays = [pa.array(column, type=kind.type) for column, kind in zip(values, kinds, strict=True)]
        columns["labels"] = pa.StructArray.from_arrays(arrays, fields=list(kinds))
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema), dict(replaced)


def _check_rows(rows: list[dict], label_fields: list[LabelField]) -> None:
    names = {field.name for field in label_fields}
    for row in rows:
        unknown = sorted(set(row.get("labels") or {}) - names)
        if unknown:
            raise ValueError(f"Row `{row['id']}` has the unknown label `{unknown[0]}`; known: {', '.join(names)}.")
        words = len((row.get("transcript") or "").split())
        if row.get("spans") is not None and len(row["spans"]) != words:
            raise ValueError(f"Row `{row['id']}` has {len(row['spans'])} spans for {words} words of its transcript.")


def _steps(row: dict, name: str, size: int) -> np.ndarray:
    """Return a sequence of a row as float32 (steps, size); an absent one has zero steps."""
    values = row.get(name)
    if values is None:
        return np.zeros((0, size), dtype=np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, which is counted
        values = np.asarray(values, dtype=np.float32)
    if len(values) == 0:
        return np.zeros((0, size), dtype=np.float32)
    if values.ndim != 2 or values.shape[1] != size:
        raise ValueError(f"Row `{row['id']}`: `{name}` has shape {values.shape}; expected (steps, {size}).")
    return values
