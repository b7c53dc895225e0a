# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Load the rows of a folder, of an own corpus, or of a published corpus."""

from pathlib import Path

import datasets
import pyarrow.parquet as pq

from .manifest import MANIFEST_NAMES
from .own_corpus import OwnCorpus
from .record import CorpusRecord
from .rows import is_rows, shard_files


def read_corpus(source: str | Path, cache_dir: str | Path | None = None) -> CorpusRecord:
    """Return the record of a folder of rows, or of an own corpus, which is prepared first if it was not yet."""
    source = Path(source)
    if is_rows(source):
        return CorpusRecord.read(source)
    return _prepared(_own_corpus(source, cache_dir)).record


def load(
    source: str | Path,
    data_dir: str | Path | None = None,
    *,
    config: str | None = None,
    cache_dir: str | Path | None = None,
    streaming: bool = False,
    **options,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    """The splits of a corpus, of an own-corpus folder, or of a folder that `write_rows` made.

    `load("cmu_mosei", data_dir)` reads a published corpus from a folder; `config` and `options` are described in
    `load_corpus`. For a folder of rows or an own corpus, `source` is that folder.

    Data sets are memory-mapped from `cache_dir` (default: that of `datasets`); with `streaming` nothing is cached and
    rows are read as they are needed. Read rows with `RowReader(dataset)`.
    """
    if data_dir is not None:
        from .corpora.corpus_builder import load_corpus

        return load_corpus(str(source), data_dir, config, cache_dir=cache_dir, streaming=streaming, **options)
    if config is not None or options:
        raise ValueError(
            f"{', '.join([*options, *(['config'] if config else [])])}: these belong to a corpus with `data_dir`."
        )
    source = Path(source)
    if not is_rows(source):
        builder = _own_corpus(source, cache_dir)
        if not streaming:
            return _prepared(builder).as_dataset()
        return datasets.IterableDatasetDict({s: builder.as_streaming_dataset(s) for s in builder.describe().counts})
    counts = read_corpus(source).counts
    files = {split: shard_files(source, split) for split, count in counts.items() if count}
    if not files:
        raise ValueError(f"{source} holds no rows in any split; write it again.")
    rows = {split: sum(pq.read_metadata(path).num_rows for path in paths) for split, paths in files.items()}
    for split, count in rows.items():
        if count != counts[split]:
            raise ValueError(
                f"{source}: {count} rows in {split}, but corpus.json says {counts[split]}; write it again."
            )
    return datasets.load_dataset(
        "parquet",
        data_files=files,
        cache_dir=None if cache_dir is None else str(cache_dir),
        streaming=streaming,
    )


def _own_corpus(source: Path, cache_dir: str | Path | None) -> OwnCorpus:
    if not any((source / name).is_file() for name in MANIFEST_NAMES):
        raise FileNotFoundError(
            f"{source} is neither a corpus (a folder with {', '.join(MANIFEST_NAMES)}) nor a folder of prepared rows; "
            "for a published corpus give its name and the folder of its files, as in load('cmu_mosi', data_dir)."
        )
    return OwnCorpus(source, cache_dir)


def _prepared(builder: OwnCorpus) -> OwnCorpus:
    builder.download_and_prepare()
    return builder
