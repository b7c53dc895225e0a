# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows of a split in the order of its shards: streamed from Parquet by row group, or memory-mapped."""

from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.table import InMemoryTable

from ...data import RowReader, load, read_corpus
from ...data.rows import is_rows, shard_files
from ...features.processor import AffectProcessor
from ..config import RunConfig
from ..model_building import make_processor


class StreamedRows:
    """Sequence of row dicts that keeps only the row groups that were read last in memory.

    Args:
        folder: Folder of rows, as `write_rows` writes it.
        split: Split of the rows.
        groups_kept: Maximum number of row groups in memory.

    Raises:
        ValueError: A shard is missing or damaged; damage outside its footer is noticed when the row group is read.
    """

    def __init__(self, folder: str | Path, split: str, groups_kept: int = 1):
        self.groups_kept = groups_kept
        self.groups, counts = [], []
        for path in shard_files(Path(folder), split):
            metadata = pq.read_metadata(path)
            self.groups += [(path, number) for number in range(metadata.num_row_groups)]
            counts += [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self.starts = np.cumsum([0, *counts])
        self._read: OrderedDict[int, RowReader] = OrderedDict()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getstate__(self):
        return self.__dict__ | {"_read": OrderedDict()}  # every worker process reads for itself

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"Row {index} is out of range; there are {len(self)} rows.")
        group = bisect_right(self.starts, index) - 1
        if group not in self._read:
            while len(self._read) >= self.groups_kept:
                self._read.popitem(last=False)
            self._read[group] = self._reader(*self.groups[group])
        self._read.move_to_end(group)
        return self._read[group][index - int(self.starts[group])]

    @staticmethod
    def _reader(path: str, group: int) -> RowReader:
        try:
            with pq.ParquetFile(path) as file:
                return RowReader(datasets.Dataset(InMemoryTable(file.read_row_group(group))))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged in row group {group} ({str(error).splitlines()[0]}); copy or write it again."
            ) from error


class MappedRows(RowReader):
    """The same rows in the same order, from the memory-mapped copy in the cache of `datasets`."""

    groups_kept = 0  # none has to be kept

    def __init__(self, folder: str | Path, split: str):
        super().__init__(load(folder)[split])
        self.starts = StreamedRows(folder, split).starts

    def __reduce__(self):
        return _mapped, (self.dataset, self.starts)


def _mapped(dataset, starts) -> MappedRows:
    rows = MappedRows.__new__(MappedRows)
    RowReader.__init__(rows, dataset)
    rows.starts = starts
    return rows


def open_rows(folder: str | Path, split: str, streaming: bool = True) -> StreamedRows | MappedRows:
    """Open the rows of a split; `starts` of the result holds the first row of each row group, and the number of rows.

    Raises:
        ValueError: `folder` holds no rows, or none of this split.
    """
    if not is_rows(Path(folder)):
        raise ValueError(f"{folder} holds no feature rows; make them with `mm-affect extract`.")
    counts = read_corpus(folder).counts
    if not counts.get(split):
        there = ", ".join(name for name, count in counts.items() if count) or "none"
        raise ValueError(f"{folder} has no rows of the split {split!r}; splits with rows: {there}.")
    return StreamedRows(folder, split) if streaming else MappedRows(folder, split)


def new_processor(folder: str | Path, modalities: list[str] | None) -> AffectProcessor:
    """Return the processor of these rows, with their extractors, for these modalities (default: all of them).

    Raises:
        ValueError: The rows lack one of the modalities.
    """
    run = {"name": "pretraining", "rows": str(folder), "output": "", "modalities": modalities}
    return make_processor(RunConfig.from_dict(run), read_corpus(folder))
