# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Read text files and csv tables as UTF-8; errors name the file and line."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path


def read_text(path: Path) -> str:
    """Read a UTF-8 file, without its byte order mark. Raises `ValueError` for another encoding."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from None


def read_lines(path: Path) -> list[list[str]]:
    """Read the cells of every csv line that is not blank. Raises `ValueError` for an empty file."""
    lines = [cells for cells in csv.reader(io.StringIO(read_text(path), newline="")) if cells]
    if not lines:
        raise ValueError(f"{path} is empty; get it again.")
    return lines


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Iterate over the lines of a csv table with a header.

    Args:
        path: the csv file.
        columns: columns that the header must have.

    Yields:
        The position of the line for error messages, and its cells by column.

    Raises:
        ValueError: if a column is missing or a line has another number of cells than the header.
    """
    header, *lines = read_lines(path)
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(f"{path} has no column `{missing[0]}`; it has {', '.join(header)}.")
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(header):
            raise ValueError(f"{path} line {number} has {len(cells)} cells; its header has {len(header)}.")
        yield f"{path} line {number}", dict(zip(header, cells, strict=True))


def parse_float(cell: str, where: str, column: str) -> float:
    """Parse a cell as a float. Raises `ValueError` with its position and column."""
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{where}: `{column}` is {cell!r}; expected a number.") from None
