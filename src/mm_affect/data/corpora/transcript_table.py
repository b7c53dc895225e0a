# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A manifest of transcripts by clip id, looked up from disk: a million lines cost no memory.

The lines come in any order and the clips in that of the folders, so one side has to be sorted or searched. SQLite does
it in a temporary file with a cache of a few megabytes, from the standard library; the clips are walked in the order of
their ids, so that look-ups move forward through its pages.
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


class Transcripts:
    """`path` (csv, jsonl or Parquet with an `id` column) as a table on disk, made when first needed.

    The table goes with this object.
    `columns` are those of `COLUMNS` that the file has. Copies of this object in other processes read the same table.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if self.path.suffix not in (".csv", ".jsonl", ".parquet"):
            raise ValueError(f"{path} is not a manifest; expected a .csv, .jsonl or .parquet file.")
        self._made: tuple[str, tuple[str, ...]] | None = None
        self._connection: tuple[int, sqlite3.Connection] | None = None

    def __getstate__(self) -> dict:
        return {"path": self.path, "_made": self._make(), "_connection": None}

    @property
    def columns(self) -> tuple[str, ...]:
        return self._make()[1]

    def find(self, clip: str) -> dict | None:
        """What the manifest says of a clip: a value or None for each of `COLUMNS`."""
        found = self._open().execute("SELECT * FROM clips WHERE id = ?", (clip,)).fetchone()
        return None if found is None else dict(zip(COLUMNS, found, strict=True))

    def speakers(self) -> list[str]:
        """Every speaker that is named, sorted."""
        query = "SELECT DISTINCT speaker FROM clips WHERE speaker IS NOT NULL ORDER BY speaker"
        return [speaker for (speaker,) in self._open().execute(query)]

    def ids(self) -> Iterator[str]:
        """The id of every line, in their order."""
        yield from (clip for (clip,) in self._open().execute("SELECT id FROM clips ORDER BY id"))

    def _open(self) -> sqlite3.Connection:
        if self._connection is None or self._connection[0] != os.getpid():  # no connection survives a fork
            connection = sqlite3.connect(f"file:{self._make()[0]}?mode=ro", uri=True)
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._connection = (os.getpid(), connection)
        return self._connection[1]

    def _make(self) -> tuple[str, tuple[str, ...]]:
        if self._made is None:
            handle, name = tempfile.mkstemp(prefix="mm_affect_transcripts_", suffix=".sqlite")
            os.close(handle)
            try:
                columns = _fill(name, self.path)
            except BaseException:
                os.unlink(name)
                raise
            weakref.finalize(self, _remove, name, os.getpid())
            self._made = (name, columns)
        return self._made


def _remove(name: str, owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _fill(name: str, path: Path) -> tuple[str, ...]:
    columns = {}

    def checked() -> Iterator[tuple]:
        for where, cells in read_lines(path):
            columns.update(dict.fromkeys(cells))
            if is_empty(cells.get("id")):
                raise ValueError(f"{where} has no id; every line needs the id of its clip.")
            clip = clip_id(str(cells["id"]))
            speaker, transcript, language = (
                None if is_empty(cells.get(column)) else str(cells[column]).strip()
                for column in ("speaker", "transcript", "language")
            )
            yield clip, speaker, transcript, _likelihood(cells.get("likelihood"), where), language

    with contextlib.closing(sqlite3.connect(name)) as table, table:
        table.execute("PRAGMA journal_mode = OFF")  # a table that is not finished is thrown away
        table.execute("PRAGMA synchronous = OFF")
        table.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        table.execute(_CREATE + " WITHOUT ROWID")
        try:
            table.executemany("INSERT INTO clips VALUES (?, ?, ?, ?, ?)", checked())
        except sqlite3.IntegrityError:
            raise ValueError(f"{path} has two lines of one clip; keep one line for each id.") from None
    if not columns:
        raise ValueError(f"{path} is empty; expected one line for each clip.")
    return tuple(column for column in COLUMNS if column in columns)


def clip_id(text: str) -> str:
    """The id of a clip from what a manifest calls it: without the ending of its file, with `/` between parts."""
    text = text.strip().replace("\\", "/").removeprefix("./")
    stem, dot, ending = text.rpartition(".")
    return stem if dot and ending.lower() in ("wav", "m4a", "mp4", "flac", "txt") and stem else text


def _likelihood(cell, where: str) -> float | None:
    if is_empty(cell):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: `likelihood` is {cell!r}; expected a number.")
    return value
