# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows on disk: Parquet shards and corpus.json, written completely or not at all."""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..label_field import LabelField
from .builder import in_tables, to_table
from .record import CORPUS_FILE, FORMAT, CorpusRecord
from .schema import SPLITS, features


def write_rows(
    folder: str | Path,
    splits: dict[str, Iterable[dict]],
    corpus: CorpusRecord | dict,
    shard_rows: int = 2000,
    overwrite: bool = False,
    beside: Callable[[Path], None] | None = None,
) -> CorpusRecord:
    """Write the rows of each split to `folder` as `<split>-00000-of-0000N.parquet`; return the record beside them.

    Rows may come from generators: about 64 MB are in memory at a time. The folder appears only when it is complete; on
    any failure, including an interruption, earlier rows stay and no temporary file is left. `overwrite` replaces a
    folder of rows; a folder with other content is never replaced.

    `corpus` is the record of the corpus or its JSON form (`name`, `label_fields`, `sizes`, ...); its `counts` and
    `non_finite` are replaced, and iterables may still fill its `dropped` list while they are read. `beside` is called
    with the folder before it appears, to put more files in it.
    """
    folder, corpus = Path(os.path.abspath(folder)), CorpusRecord.from_dict(corpus)
    wrong = [split for split in splits if split not in SPLITS]
    if wrong or not splits:
        raise ValueError(f"`splits` has the keys {list(splits)}; expected some of {', '.join(SPLITS)}.")
    check_target(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        temporary.chmod(0o755)  # mkdtemp makes it private
        counts: dict[str, int] = {}
        non_finite: Counter = Counter()
        for split, rows in splits.items():
            fields, sizes = corpus.label_fields, corpus.sizes
            counts[split] = write_split(temporary, split, rows, fields, sizes, shard_rows, non_finite)
        record = replace(corpus, counts=counts, non_finite=dict(non_finite))
        record.write(temporary)
        if beside is not None:
            beside(temporary)
        put_in_place(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return record


def check_target(folder: Path, overwrite: bool) -> None:
    """Raise `FileExistsError` if rows must not be written to `folder`."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() and not is_rows(folder):
        raise FileExistsError(f"{folder} exists and holds no mm_affect rows; it is left alone: choose another folder.")
    if folder.exists() and not overwrite:
        raise FileExistsError(
            f"{folder} already holds rows; replace them (`--overwrite`, in Python `overwrite=True`), or choose another folder."
        )


def check_different_folders(source: Path, output: Path) -> None:
    """Raise `ValueError` if rows would be written to the folder that they are read from."""
    if source.resolve() == output.resolve():
        raise ValueError(
            f"{output} holds the rows that are read, which stay as they are; give another folder to write to."
        )


def is_rows(folder: Path) -> bool:
    """Return True if the folder holds rows in the format of `write_rows`."""
    try:
        return json.loads((folder / CORPUS_FILE).read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def write_split(
    folder: Path,
    split: str,
    rows: Iterable[dict],
    fields: list[LabelField],
    sizes: dict,
    shard_rows: int,
    non_finite: Counter,
) -> int:
    """Write one split to `folder` in shards of `shard_rows` rows; return the number of rows."""
    schema = features(fields, sizes).arrow_schema
    shards: list[Path] = []
    held, count, writer = 0, 0, None
    try:
        for part in in_tables(rows):
            table, replaced = to_table(part, fields, sizes)
            non_finite.update(replaced)
            count += len(table)
            while len(table):
                if writer is None:
                    shards.append(folder / f"{split}-{len(shards):05d}.parquet")
                    writer, held = pq.ParquetWriter(shards[-1], schema), 0
                piece = table.slice(0, shard_rows - held)
                writer.write_table(piece)
                held += len(piece)
                table = table.slice(len(piece))
                if held == shard_rows:
                    writer.close()
                    writer = None
    finally:
        if writer is not None:
            writer.close()
    for number, path in enumerate(shards):
        path.rename(folder / f"{split}-{number:05d}-of-{len(shards):05d}.parquet")
    return count


def put_in_place(temporary: Path, folder: Path) -> None:
    """Rename the finished folder to its name; an earlier one is removed last, and restored if the rename fails."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = temporary.with_suffix(".old")
    try:
        folder.rename(old)
        temporary.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old)


def shard_files(folder: Path, split: str) -> list[str]:
    """Return the Parquet files of a split, in order. Raises `ValueError` if one is missing or damaged."""
    paths = sorted(folder.glob(f"{split}-?????-of-?????.parquet"))
    total = int(paths[0].stem[-5:]) if paths else 0
    if len(paths) != max(total, 1):
        raise ValueError(
            f"{folder}: {len(paths)} of {max(total, 1)} file(s) of {split} are there; copy or write it again."
        )
    for path in paths:
        try:
            pq.read_metadata(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]}); copy or write it again.") from error
    return [str(path) for path in paths]
