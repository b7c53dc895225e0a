# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rewriting of a folder of rows with some new columns, shared by weak labels and embeddings.

Rows are rewritten shard by shard, with one row group in memory. Unfinished work is kept beside the output as
`.<name>.rewriting`; the next run with the same plan reuses its finished shards, and writes the same bytes as an
uninterrupted run.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data import read_corpus
from ..data.record import CORPUS_FILE, CorpusRecord
from ..data.rows import check_different_folders, check_target, is_rows, put_in_place, shard_files
from ..data.schema import features
from ..files import write_atomically


PLAN = "plan.json"
Progress = Callable[[int, int], None]  # shards done, and all shards
Transform = Callable[
    [pa.Table, pa.Schema], dict[str, pa.Array]
]  # a table of rows and the new schema to the new columns


def read_rows_corpus(rows: str | Path) -> CorpusRecord:
    """Return the record of a folder of rows.

    Raises:
        ValueError: If the folder does not hold rows.
    """
    if not is_rows(Path(rows)):
        raise ValueError(f"{rows} is not a folder of rows; extract those of a corpus with `mm-affect extract`.")
    return read_corpus(rows)


def rewrite_rows(
    rows: str | Path,
    output: str | Path,
    plan: dict[str, Any],
    corpus: CorpusRecord,
    transform: Transform,
    finish: Callable[[Path, list[str], CorpusRecord], CorpusRecord],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CorpusRecord:
    """Write rows with new columns, in every split, and return their record.

    Args:
        rows: folder of rows; it is not changed.
        output: folder to write; it appears when complete.
        plan: everything that determines the new columns; unfinished work of another plan is discarded.
        corpus: record with the label fields, sizes and extractors of the new rows.
        transform: computes the new columns of a table of rows; the other columns are copied.
        finish: called with the folder before it appears, the names of its shards, and the record; returns the final record.
        overwrite: replace earlier rows in `output`.
        progress: called with the number of finished shards and of all shards.

    Raises:
        FileExistsError: If `output` is not empty, unless it holds rows and `overwrite` is True.
    """
    rows, output = Path(rows), Path(os.path.abspath(output))
    source = read_rows_corpus(rows)
    check_different_folders(rows, output)
    check_target(output, overwrite)
    shards = [Path(path) for split, count in source.counts.items() if count for path in shard_files(rows, split)]
    building = output.with_name(f".{output.name}.rewriting")
    _prepare_folder(building, json.dumps({"rows": _hash_rows(rows, shards)} | plan))
    schema = features(corpus.label_fields, corpus.sizes).arrow_schema
    for number, shard in enumerate(shards):
        if progress is not None:
            progress(number, len(shards))
        target = building / shard.name
        if not target.exists():
            temporary = target.with_suffix(".tmp")
            _rewrite_shard(shard, temporary, schema, transform)
            temporary.rename(target)
    for path in rows.iterdir():  # the processor and its files; the card is written again when the rows are pushed
        if path.is_file() and path.suffix != ".parquet" and path.name not in (CORPUS_FILE, "README.md"):
            shutil.copyfile(path, building / path.name)
    manifest_hash = hashlib.sha256(json.dumps([source.manifest_hash, plan]).encode()).hexdigest()
    names = [shard.name for shard in shards]
    record = finish(building, names, replace(corpus, manifest_hash=manifest_hash))
    record.write(building)
    (building / PLAN).unlink()
    put_in_place(building, output)
    if progress is not None:
        progress(len(shards), len(shards))
    return record


def _prepare_folder(building: Path, plan: str) -> None:
    """Reuse the folder of unfinished work with the same plan, or start a new one."""
    if (building / PLAN).is_file() and (building / PLAN).read_text(encoding="utf-8") == plan:
        return
    if building.exists():
        shutil.rmtree(building)
    building.mkdir(parents=True)
    write_atomically(building / PLAN, plan)


def _hash_rows(rows: Path, shards: list[Path]) -> str:
    """Return the sha256 of corpus.json and of the names, sizes and modification times of the shards."""
    digest = hashlib.sha256((rows / CORPUS_FILE).read_bytes())
    for path in shards:
        digest.update(f"{path.name}\t{path.stat().st_size}\t{path.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _rewrite_shard(shard: Path, target: Path, schema: pa.Schema, transform: Transform) -> None:
    file = pq.ParquetFile(shard)
    with pq.ParquetWriter(target, schema) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            columns = {name: table.column(name) for name in table.column_names} | transform(table, schema)
            writer.write_table(pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema))
