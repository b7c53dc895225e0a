# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Readers of the files of a corpus folder: unchecked rows, each with the place that error messages name."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..label_field import check_label_fields


BATCH_ROWS = 4096  # of a Parquet file, read at once


def read_lines(path: Path) -> Iterator[tuple[str, dict]]:
    """Yield the place ("manifest.csv line 4") and the cells of every row of a csv, jsonl or Parquet file.

    csv cells are strings; jsonl and Parquet cells have the types of the file.

    Raises:
        ValueError: the file is damaged.
    """
    return {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}[path.suffix](path)


def read_corpus_json(path: Path) -> dict:
    """Read corpus.json and check its label fields; the result is empty if there is no file.

    Raises:
        ValueError: the file is not valid JSON, or a value is invalid.
    """
    if not path.exists():
        return {}
    try:
        corpus = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}).") from error
    if not isinstance(corpus, dict):
        raise ValueError(f"{path} is a JSON {type(corpus).__name__}; expected an object.")
    try:
        if corpus.get("label_fields") is not None:
            if not isinstance(corpus["label_fields"], list):
                raise ValueError("`label_fields` must be a list of label fields.")
            corpus["label_fields"] = check_label_fields(corpus["label_fields"])
        if not isinstance(corpus.get("split_protocol", {}), dict | str):
            raise ValueError("`split_protocol` must be an object or a text.")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return corpus


def _read_csv(path: Path) -> Iterator[tuple[str, dict]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if len(header) == 1 and ";" in header[0]:
                raise ValueError(f"{path} is separated by ';'; write it again with commas.")
            twice = [name for name in header if header.count(name) > 1]
            if twice:
                raise ValueError(f"{path} has two columns named `{twice[0]}`; rename one.")
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{path} line {reader.line_num}"
                if len(cells) != len(header):
                    raise ValueError(
                        f"{where}: {len(cells)} cells under {len(header)} columns; quote texts that hold a comma."
                    )
                yield where, dict(zip(header, cells, strict=True))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8."
            ) from error
        except csv.Error as error:
            raise ValueError(f"{path} line {reader.line_num}: {error}; it is not valid csv.") from error


def _read_jsonl(path: Path) -> Iterator[tuple[str, dict]]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not line.strip():
                continue
            where = f"{path} line {number}"
            try:
                cells = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where} is not valid JSON ({error}); expected one object in each line.") from error
            if not isinstance(cells, dict):
                raise ValueError(f"{where} is a JSON {type(cells).__name__}; expected one object in each line.")
            yield where, cells


def _read_parquet(path: Path) -> Iterator[tuple[str, dict]]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                for cells in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", cells
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]}).") from error
