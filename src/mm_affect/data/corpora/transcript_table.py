# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Look up transcripts by clip id in a manifest of any size, in constant memory.

The manifest may be in any order, so it is copied to a temporary SQLite table with a cache of a few megabytes. Clips are
looked up in the order of their ids, which moves forward through the pages of the table.
"""

import contextlib
import math
import os
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from ..manifest_files import read_lines
from ..schema import is_empty


COLUMNS = ("id", "speaker", "transcript", "likelihood", "language")
CACHE_KIB = 16384
_CREATE = "CREATE TABLE clips (id TEXT PRIMARY KEY, speaker TEXT, transcript TEXT, likelihood REAL, language TEXT)"


class TranscriptTable:
    """Table on disk of the lines of a manifest, built at the first access and deleted with this object.

    Pickled copies in other processes read the same table.

    Args:
        path: csv, jsonl or Parquet file with an `id` column.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if self.path.suffix not in (".csv", ".jsonl", ".parquet"):
            raise ValueError(f"{path} is not a manifest; expected a .csv, .jsonl or .parquet file.")
        self._table: tuple[str, tuple[str, ...]] | None = None
        self._connection: tuple[int, sqlite3.Connection] | None = None

    def __getstate__(self) -> dict:
        return {"path": self.path, "_table": self._build_table(), "_connection": None}

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names in `COLUMNS` that the manifest has."""
        return self._build_table()[1]

    def find(self, clip: str) -> dict | None:
        """Return the line of a clip, column -> value or None; None if the manifest does not have the clip."""
        line = self._open().execute("SELECT * FROM clips WHERE id = ?", (clip,)).fetchone()
        return None if line is None else dict(zip(COLUMNS, line, strict=True))

    def speakers(self) -> list[str]:
        """Return all speakers, sorted."""
        query = "SELECT DISTINCT speaker FROM clips WHERE speaker IS NOT NULL ORDER BY speaker"
        return [speaker for (speaker,) in self._open().execute(query)]

    def ids(self) -> Iterator[str]:
        """Iterate over the ids of all lines, sorted."""
        yield from (clip for (clip,) in self._open().execute("SELECT id FROM clips ORDER BY id"))

    def _open(self) -> sqlite3.Connection:
        if self._connection is None or self._connection[0] != os.getpid():  # no connection survives a fork
            connection = sqlite3.connect(f"file:{self._build_table()[0]}?mode=ro", uri=True)
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._connection = (os.getpid(), connection)
        return self._connection[1]

    def _build_table(self) -> tuple[str, tuple[str, ...]]:
        if self._table is None:
            handle, name = tempfile.mkstemp(prefix="mm_affect_transcripts_", suffix=".sqlite")
            os.close(handle)
            try:
                columns = _fill(name, self.path)
            except BaseException:
                os.unlink(name)
                raise
            weakref.finalize(self, _remove, name, os.getpid())
            self._table = (name, columns)
        return self._table


def _remove(name: str, owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _fill(name: str, path: Path) -> tuple[str, ...]:
    columns: dict[str, None] = {}

    def iter_lines() -> Iterator[tuple]:
        for where, cells in read_lines(path):
            columns.update(dict.fromkeys(cells))
            if is_empty(cells.get("id")):
                raise ValueError(f"{where} has no id; every line needs the id of its clip.")
            clip = normalize_clip_id(str(cells["id"]))
            speaker, transcript, language = (
                None if is_empty(cells.get(column)) else str(cells[column]).strip()
                for column in ("speaker", "transcript", "language")
            )
            yield clip, speaker, transcript, _parse_likelihood(cells.get("likelihood"), where), language

    with contextlib.closing(sqlite3.connect(name)) as table, table:
        table.execute("PRAGMA journal_mode = OFF")  # an incomplete table is discarded
        table.execute("PRAGMA synchronous = OFF")
        table.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        table.execute(_CREATE + " WITHOUT ROWID")
        try:
            table.executemany("INSERT INTO clips VALUES (?, ?, ?, ?, ?)", iter_lines())
        except sqlite3.IntegrityError:
            raise ValueError(f"{path} has two lines of one clip; keep one line for each id.") from None
    if not columns:
        raise ValueError(f"{path} is empty; expected one line for each clip.")
    return tuple(column for column in COLUMNS if column in columns)


def normalize_clip_id(text: str) -> str:
    """Return the clip id of a manifest entry: without the file suffix, and with `/` as separator."""
    text = text.strip().replace("\\", "/").removeprefix("./")
    stem, dot, ending = text.rpartition(".")
    return stem if dot and ending.lower() in ("wav", "m4a", "mp4", "flac", "txt") and stem else text


def _parse_likelihood(cell, where: str) -> float | None:
    if is_empty(cell):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: `likelihood` is {cell!r}; expected a number.")
    return value
