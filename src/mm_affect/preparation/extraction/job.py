# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The work of an extraction on disk: a fixed plan of shards, each written whole or not at all.

    plan.json               what is extracted, by which extractors, in how many shards
    rows/<shard>.parquet    the rows of a finished shard, under their final name
    records/<shard>.json    written after them: how many rows and bytes, and the clips that failed, each with its reason
    unfinished/             what workers write at the moment, under names that no other attempt has
    failures.jsonl          the clips that failed, of all shards; written when the last one is finished

The bytes of a shard follow from its clips alone, not from who writes it nor from what happened before. So a shard may be done
again at any time, even by two workers at once: each renames a whole file, and the files are equal.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import datasets
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from ...data import RowReader, features
from ...data.record import CorpusRecord, DroppedClip
from ...data.rows import put_in_place, write_split
from ...features.processor import AffectProcessor
from ...files import write_atomically
from ...label_field import LabelField


PLAN, LOCK, FAILURES = "plan.json", "lock", "failures.jsonl"
ROWS, RECORDS, UNFINISHED = "rows", "records", "unfinished"
ROWS_HASHED = 10_000  # at once
IDENTITY_COLUMNS = (
    "id",
    "group",
    "transcript",
    "audio_file",
    "video_file",
    "start",
    "end",
    "labels",
)  # columns that tell clips apart

ExtractionResult = tuple[dict, str | None]  # a row with features; or the row, and why it has none


@dataclass(frozen=True)
class Shard:
    """Clips `start` to `stop` of a split: number `number` of `of` shards."""

    split: str
    number: int
    of: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        return f"{self.split}-{self.number:05d}-of-{self.of:05d}"


def plan_shards(counts: dict[str, int], clips: int) -> list[Shard]:
    """The plan: shards of `clips` clips, the last of a split with what is left."""
    starts = {split: range(0, count, clips) for split, count in counts.items()}
    return [
        Shard(split, number, len(found), start, min(start + clips, counts[split]))
        for split, found in starts.items()
        for number, start in enumerate(found)
    ]


def build_plan(splits: datasets.DatasetDict, processor: AffectProcessor, shard_clips: int) -> dict:
    """What two starts must have in common for the second to go on with the work of the first.

    Clips count by what the manifest says of them, not by the contents of their files: a repaired file must not undo the rest.
    """
    clips = hashlib.sha256()
    for split, rows in splits.items():
        told = rows.select_columns([name for name in IDENTITY_COLUMNS if name in rows.column_names]).with_format(
            "arrow"
        )
        for start in range(0, len(rows), ROWS_HASHED):
            lines = told[start : start + ROWS_HASHED].to_pylist()
            clips.update(json.dumps([split, lines], sort_keys=True, default=str).encode())
    made = json.dumps([processor.extractors, processor.feature_sizes], sort_keys=True).encode()
    return {
        "format": "mm_affect extraction",
        "version": 1,
        "clips": clips.hexdigest(),
        "extractors": hashlib.sha256(made).hexdigest(),
        "clips per shard": shard_clips,
    }


@contextmanager
def open_job(output: Path, plan: dict, fields: list[dict], sizes: dict, resumable: bool, overwrite: bool):
    """The job that fills `output`, in a folder beside it; the folder is removed at the end, of a resumable job only when the
    rows are in place.

    Raises:
        BlockingIOError: another process works on this job.
        FileExistsError: there is unfinished work of another plan, and not `overwrite`; or a folder that is something else.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    if not resumable:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".tmp", dir=output.parent))
        try:
            yield _prepared(Job(folder, fields, sizes), plan)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    folder = output.with_name(f".{output.name}.extracting")
    if folder.exists() and not ((folder / PLAN).is_file() or (folder / LOCK).is_file()):
        raise FileExistsError(f"{folder} is no work of an extraction; it is left alone: rename it, or the output.")
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"Another process is extracting to {output} (it holds {folder / LOCK}); wait for its end, or end it."
        ) from None
    with held:
        _check_plan(folder, plan, overwrite)
        yield _prepared(Job(folder, fields, sizes), plan)
        shutil.rmtree(folder)


def _check_plan(folder: Path, plan: dict, overwrite: bool) -> None:
    """Raises `FileExistsError` if the work is of another plan; with `overwrite`, removes it."""
    if not (folder / PLAN).exists():
        return
    try:
        known = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except ValueError:
        known = {}
    other = [name for name in plan if plan[name] != known.get(name)]
    if other and not overwrite:
        raise FileExistsError(
            f"{folder} holds an unfinished extraction with other {', '.join(other)}; finish that one, or replace it by "
            "overwrite, or choose another output folder."
        )
    if other:
        for name in (PLAN, ROWS, RECORDS):
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink(missing_ok=True)


def _prepared(job: "Job", plan: dict) -> "Job":
    shutil.rmtree(job.folder / UNFINISHED, ignore_errors=True)  # of workers that were killed
    for name in (ROWS, RECORDS, UNFINISHED):
        (job.folder / name).mkdir(exist_ok=True)
    write_atomically(job.folder / PLAN, json.dumps(plan, indent=1))
    return job


@dataclass(frozen=True)
class Job:
    """What a worker must know to write a shard; small, and the same on every machine that sees `folder`.

    Args:
        folder: of the work, see the top of this file.
        fields, sizes: label fields, and features per step of each modality, of the rows.
    """

    folder: Path
    fields: list[LabelField]
    sizes: dict[str, int]

    def record(self, shard: Shard) -> dict | None:
        """`count`, `bytes`, `non_finite` and `failures` of a finished shard; None if it is to be done (again)."""
        try:
            record = json.loads((self.folder / RECORDS / f"{shard.name}.json").read_text(encoding="utf-8"))
            found = self._rows(shard).stat().st_size, pq.read_metadata(self._rows(shard)).num_rows
        except (OSError, ValueError):
            return None
        return record if found == (record["bytes"], record["count"]) else None

    def select_pending(self, shard: Shard, rows: datasets.Dataset) -> datasets.Dataset:
        """Those of the shard's `rows` that are to be extracted: all, or of a finished shard those that failed."""
        record = self.record(shard)
        if record is None:
            return rows
        failed = {failure["id"] for failure in record["failures"]}
        return rows.select([place for place, clip in enumerate(rows["id"]) if clip in failed])

    def write(self, shard: Shard, rows: datasets.Dataset, results: Iterator[ExtractionResult]) -> None:
        """Write the shard from the next results, one for each of `select_pending(shard, rows)`, and its record."""
        earlier = self.record(shard)
        failures, non_finite = [], Counter(earlier["non_finite"] if earlier else {})

        def readable():
            for row, reason in self._merged(shard, rows, earlier, results):
                if reason is None:
                    yield row
                else:
                    failures.append({"id": row["id"], "reason": reason})

        temporary = Path(tempfile.mkdtemp(prefix=f"{shard.name}.", dir=self.folder / UNFINISHED))
        try:
            count = write_split(temporary, shard.split, readable(), self.fields, self.sizes, len(rows), non_finite)
            if not count:  # every clip failed
                schema = features(self.fields, self.sizes).arrow_schema
                pq.ParquetWriter(
                    temporary / "nothing.parquet", schema
                ).close()  # `datasets` fails at an empty row group
            [written] = temporary.iterdir()
            record = {
                "count": count,
                "bytes": written.stat().st_size,
                "non_finite": dict(non_finite),
                "failures": failures,
            }
            os.replace(written, self._rows(shard))
            write_atomically(
                self.folder / RECORDS / f"{shard.name}.json", json.dumps(record, indent=1, ensure_ascii=False)
            )
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def write_failures(self, failures: list[DroppedClip]) -> Path:
        """Write the failures of all shards to one file, and return its path."""
        lines = "".join(json.dumps(asdict(failure), ensure_ascii=False) + "\n" for failure in failures)
        write_atomically(self.folder / FAILURES, lines)
        return self.folder / FAILURES

    def finish(
        self, shards: list[Shard], corpus: CorpusRecord, processor: AffectProcessor, output: Path
    ) -> CorpusRecord:
        """Put the rows in place, with corpus.json and the processor beside them; return their record."""
        counts, non_finite = dict.fromkeys((shard.split for shard in shards), 0), Counter()
        for shard in shards:
            record = self.record(shard)
            counts[shard.split] += record["count"]
            non_finite.update(record["non_finite"])
        complete = replace(corpus, counts=counts, non_finite=dict(non_finite))
        complete.write(self.folder / ROWS)
        processor.save_pretrained(self.folder / ROWS)
        put_in_place(self.folder / ROWS, output)
        return complete

    def _rows(self, shard: Shard) -> Path:
        return self.folder / ROWS / f"{shard.name}.parquet"

    def _merged(self, shard: Shard, rows: datasets.Dataset, earlier: dict | None, results: Iterator[ExtractionResult]):
        """Results of every clip of the shard, in order; of a finished shard the rows that it has, and new results."""
        if earlier is None:
            yield from islice(results, len(rows))
            return
        failed = {failure["id"] for failure in earlier["failures"]}
        kept = self._kept(shard)
        for clip in rows["id"]:
            yield next(results) if clip in failed else (next(kept), None)

    def _kept(self, shard: Shard) -> Iterator[dict]:
        file = pq.ParquetFile(self._rows(shard))
        for group in range(file.num_row_groups):
            yield from iterate_rows(datasets.Dataset(file.read_row_group(group)))


def iterate_rows(rows: datasets.Dataset) -> Iterator[dict]:
    """The rows as dicts, one after the other."""
    reader = RowReader(rows)
    return map(reader.__getitem__, range(len(rows)))
