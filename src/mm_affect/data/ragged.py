# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Ragged float32 sequences in Arrow, written from numpy arrays and read as numpy views without a copy.

The column type is `list<fixed_size_list<float>[size]>`. A view costs microseconds because it is two offsets into the
memory-mapped file; `datasets`' own numpy format costs a hundred times more (`benchmarks/read_rows_speed.py`).
"""

from bisect import bisect_right
from collections.abc import Sequence

import datasets
import numpy as np
import pyarrow as pa

from ..vocabulary import MODALITIES


def ragged_array(sequences: list, size: int) -> pa.ListArray:
    """Build an Arrow column from arrays of shape (steps, size), or None for null."""
    present = [sequence for sequence in sequences if sequence is not None]
    steps = [0 if sequence is None else len(sequence) for sequence in sequences]
    if sum(steps) >= 2**31:
        raise ValueError(f"One table cannot hold {sum(steps)} steps; write fewer rows at a time.")
    offsets = np.concatenate([[0], np.cumsum(steps, dtype=np.int64)]).astype(np.int32)
    flat = np.concatenate([sequence.reshape(-1) for sequence in present] or [[]]).astype(np.float32, copy=False)
    values = pa.FixedSizeListArray.from_arrays(pa.array(flat), size)
    mask = pa.array([sequence is None for sequence in sequences], type=pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=mask)


def replace_non_finite(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Replace non-finite values by 0 in `values` (steps, size); return the result and their number.

    A step of NaN alone is kept: it could not be measured, and is masked later.
    """
    bad = ~np.isfinite(values)
    if not bad.any():
        return values, 0
    bad &= ~np.isnan(values).all(axis=1, keepdims=True)
    return np.where(bad, np.float32(0), values), int(bad.sum())


class RaggedColumn:
    """A ragged column of a `datasets.Dataset`; item i is a read-only float32 view (steps, size), or None for null.

    The row order of `select`, `shuffle` and `filter` applies.
    """

    def __init__(self, dataset: datasets.Dataset, column: str):
        self._rows = _RowOrder(dataset, column)
        self._chunks = [self._split(chunk, column) for chunk in self._rows.chunks]

    @staticmethod
    def _split(chunk: pa.Array, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        kind = chunk.type
        if not (pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type)):
            raise TypeError(
                f"Column `{column}` is {kind}; expected list<fixed_size_list<float>>, as `mm_affect.data` writes it."
            )
        steps, size = chunk.values, kind.value_type.list_size
        flat = steps.values
        if flat.type != pa.float32() or flat.null_count:
            raise TypeError(
                f"Column `{column}` holds {flat.type} with {flat.null_count} nulls; expected float32 without."
            )
        first = steps.offset * size
        values = flat.to_numpy(zero_copy_only=True)[first : first + len(steps) * size].reshape(-1, size)
        known = chunk.is_valid().to_numpy(zero_copy_only=False) if chunk.null_count else None
        return chunk.offsets.to_numpy(), values, known

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> np.ndarray | None:
        chunk, row = self._rows.locate(index)
        offsets, values, known = self._chunks[chunk]
        if known is not None and not known[row]:
            return None
        return values[offsets[row] : offsets[row + 1]]


class RowReader(Sequence[dict]):
    """Sequence of the rows of a `datasets.Dataset` as dicts, fast enough to feed training from one process.

    A row has the modalities as float32 views (steps, size), `spans` as a view (words, 2) or None, and `labels` as a
    dict of label field -> float, class index, list of intensities, or None for unknown.
    """

    def __init__(self, dataset: datasets.Dataset):
        self.dataset = dataset
        names = dataset.column_names
        self._ragged = {name: RaggedColumn(dataset, name) for name in (*MODALITIES, "spans") if name in names}
        self._plain = {name: _RowOrder(dataset, name) for name in names if name not in self._ragged}

    def __reduce__(self):
        return RowReader, (self.dataset,)  # a worker maps the file again instead of receiving its contents

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:  # type: ignore[override]  # rows are read one by one, without slices
        row: dict = {"labels": {}}
        for name, rows in self._plain.items():
            chunk, position = rows.locate(index)
            row[name] = rows.chunks[chunk][position].as_py()
        for name, ragged in self._ragged.items():
            row[name] = ragged[index]
            if row[name] is None and name != "spans":
                row[name] = np.zeros((0, self.dataset.features[name].feature.length), dtype=np.float32)
        return row


class _RowOrder:
    """Position of row i of a dataset in the chunks of one Arrow column."""

    def __init__(self, dataset: datasets.Dataset, column: str):
        self.chunks = dataset.data.column(column).chunks
        self._starts = np.cumsum([0] + [len(chunk) for chunk in self.chunks]).tolist()
        # `select` and `shuffle` keep the order in a second table, for which `datasets` has no public name.
        indices = dataset._indices
        self._order = None if indices is None else indices.column(0).to_numpy()
        self._length = len(dataset)

    def __len__(self) -> int:
        return self._length

    def locate(self, index: int) -> tuple[int, int]:
        if not -self._length <= index < self._length:
            raise IndexError(f"Row {index} of a data set of {self._length} rows.")
        index %= self._length
        if self._order is not None:
            index = int(self._order[index])
        chunk = bisect_right(self._starts, index) - 1
        return chunk, index - self._starts[chunk]


class RowDataset(Sequence[dict]):
    """Map-style dataset of rows for a DataLoader, read as views of the memory-mapped file.

    Args:
        rows: a `datasets.Dataset` of feature rows, or any sequence of row dicts.
        modalities: modalities to keep; the others are removed, and the transcript with the text.
    """

    def __init__(self, rows, modalities=MODALITIES):
        self.reader = RowReader(rows) if hasattr(rows, "features") else rows
        self.hidden = {m for m in MODALITIES if m not in modalities}
        if "text" in self.hidden:
            self.hidden.add("transcript")

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> dict:  # type: ignore[override]  # rows are read one by one, without slices
        return {name: value for name, value in self.reader[index].items() if name not in self.hidden}

    def lengths(self) -> list[int]:
        """Return the length of each row: the steps of its longest stream, or the words of its transcript."""
        rows = (self[i] for i in range(len(self)))
        return [
            max((len(row[m]) for m in MODALITIES if row.get(m) is not None), default=0)
            or len((row.get("transcript") or "").split())
            for row in rows
        ]
