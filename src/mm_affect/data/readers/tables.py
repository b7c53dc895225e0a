# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Texts and csv tables of corpora: read as UTF-8, checked, with the line in every error."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from None


def read_lines(path: Path) -> list[list[str]]:
    """The cells of every csv line that is not blank."""
    lines = [cells for cells in csv.reader(io.StringIO(read_text(path), newline="")) if cells]
    if not lines:
        raise ValueError(f"{path} is empty; get it again.")
    return lines


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """(where, cells by column) of every csv line below a header that has `columns`."""
    header, *lines = read_lines(path)
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(f"{path} has no column `{missing[0]}`; it has {', '.join(header)}.")
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(header):
            raise ValueError(f"{path} line {number} has {len(cells)} cells; its header has {len(header)}.")
        yield f"{path} line {number}", dict(zip(header, cells, strict=True))


def number(cell: str, where: str, column: str) -> float:
    """A cell as a float."""
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{where}: `{column}` is {cell!r}; expected a number.") from None
