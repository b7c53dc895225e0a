# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A folder of rows to another one in which some columns are new: the walk that weak labels and embeddings share.

Work goes shard by shard, in memory for one row group. It stands beside the output as `.<name>.rewriting`; a finished shard is
taken over by the next start with the same plan, and gives the same bytes as one that was never interrupted.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..data import read_corpus
from ..data.record import CORPUS_FILE, CorpusRecord
from ..data.rows import check_apart, check_target, is_rows, put_in_place, shard_files
from ..data.schema import features
from ..files import write_atomically


PLAN = "plan.json"
Progress = Callable[[int, int], None]


def read_rows_corpus(rows: str | Path) -> CorpusRecord:
    """Return the record of a folder of rows, and of nothing else."""
    if not is_rows(Path(rows)):
        raise ValueError(f"{rows} is not a folder of rows; `mm-affect extract` makes one of a corpus.")
    return read_corpus(rows)


def rewrite_rows(
    rows: str | Path,
    output: str | Path,
    plan: dict,
    described: CorpusRecord,
    change: Callable[[pa.Table, pa.Schema], dict[str, pa.Array]],
    finish: Callable[[Path, list[str], CorpusRecord], CorpusRecord],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CorpusRecord:
    """Write rows with other columns, in every split; return their record.

    Args:
        rows: a folder of rows; nothing in it changes.
        output: the folder to write; it appears when complete.
        plan: everything that decides the new columns; work on another plan is not gone on with.
        described: the record of the rows with the label fields, sizes and extractors of the new rows.
        change: the new columns of a table of rows, in the new schema; the others stay.
        finish: called with the folder before it appears, the names of its shards, and the record; returns the new record.
        progress: called with the number of shards that are done, and of all.

    Raises:
        FileExistsError: `output` holds something, unless it holds rows and `overwrite` is given.
    """
    rows, output, corpus = Path(rows), Path(os.path.abspath(output)), read_rows_corpus(rows)
    check_apart(rows, output)
    check_target(output, overwrite)
    shards = [Path(path) for split, n in corpus.counts.items() if n for path in shard_files(rows, split)]
    building = output.with_name(f".{output.name}.rewriting")
    _prepare(building, json.dumps({"rows": _state(rows, shards)} | plan))
    schema = features(described.label_fields, described.sizes).arrow_schema
    for number, shard in enumerate(shards):
        if progress is not None:
            progress(number, len(shards))
        target = building / shard.name
        if not target.exists():
            temporary = target.with_suffix(".tmp")
            _rewrite_shard(shard, temporary, schema, change)
            temporary.rename(target)
    for path in rows.iterdir():  # the processor, and what it needs; the card is written anew when the rows are pushed
        if path.is_file() and path.suffix != ".parquet" and path.name not in (CORPUS_FILE, "README.md"):
            shutil.copyfile(path, building / path.name)
    changed = hashlib.sha256(json.dumps([corpus.manifest_hash, plan]).encode()).hexdigest()
    names = [shard.name for shard in shards]
    record = finish(building, names, replace(described, manifest_hash=changed))
    record.write(building)
    (building / PLAN).unlink()
    put_in_place(building, output)
    if progress is not None:
        progress(len(shards), len(shards))
    return record


def _prepare(building: Path, plan: str) -> None:
    """The folder of the work: an earlier one with the same plan, or a new one."""
    if (building / PLAN).is_file() and (building / PLAN).read_text(encoding="utf-8") == plan:
        return
    if building.exists():
        shutil.rmtree(building)
    building.mkdir(parents=True)
    write_atomically(building / PLAN, plan)


def _state(rows: Path, shards: list[Path]) -> str:
    """sha256 of corpus.json and of the names, sizes and times of change of the shards."""
    found = hashlib.sha256((rows / CORPUS_FILE).read_bytes())
    for path in shards:
        found.update(f"{path.name}\t{path.stat().st_size}\t{path.stat().st_mtime_ns}\n".encode())
    return found.hexdigest()


def _rewrite_shard(shard: Path, target: Path, schema: pa.Schema, change) -> None:
    file = pq.ParquetFile(shard)
    with pq.ParquetWriter(target, schema) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            columns = {name: table.column(name) for name in table.column_names} | change(table, schema)
            writer.write_table(pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema))
