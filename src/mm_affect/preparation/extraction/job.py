# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The state of an extraction on disk: a fixed plan of shards, each written completely or not at all.

    plan.json               what is extracted, by which extractors, in shards of which size
    rows/<shard>.parquet    the rows of a finished shard, under their final name
    records/<shard>.json    written after them: number of rows and bytes, and the failed clips with their reasons
    unfinished/             files that workers are writing, under names that are unique to each attempt
    failures.jsonl          the failed clips of all shards, written when the last shard is finished

The bytes of a shard depend only on its clips, not on who writes it or on what happened before. A shard may therefore be
written again at any time, even by two workers at once: each renames a complete file, and the files are equal.
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
from typing import Any

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
ROWS_PER_HASH = 10_000
IDENTITY_COLUMNS = ("id", "group", "transcript", "audio_file", "video_file", "start", "end", "labels")

ExtractionResult = tuple[
    dict[str, Any], str | None
]  # a feature row and None; or the raw row and the reason of the failure


@dataclass(frozen=True)
class Shard:
    """Clips `start` to `stop` of a split: shard `number` of `of`."""

    split: str
    number: int
    of: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The name of its file, without the extension."""
        return f"{self.split}-{self.number:05d}-of-{self.of:05d}"


@dataclass(frozen=True)
class ShardRecord:
    """Record of a finished shard: rows, bytes of the file, replaced values per modality, and failed clips."""

    count: int
    bytes: int
    non_finite: dict[str, int]
    failures: list[DroppedClip]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "ShardRecord":
        """Build a record from its JSON form."""
        return cls(**record | {"failures": [DroppedClip(**failure) for failure in record["failures"]]})


@dataclass(frozen=True)
class ExtractionPlan:
    """Properties that two runs must share for the second to continue the work of the first.

    Args:
        clips: sha256 of the clips as the manifest describes them. The contents of their files do not count, so that
            repairing a file does not undo the rest.
        extractors: sha256 of the descriptions and sizes of the extractors.
        shard_clips: clips per shard.
    """

    clips: str
    extractors: str
    shard_clips: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "format": "mm_affect extraction",
            "version": 1,
            "clips": self.clips,
            "extractors": self.extractors,
            "clips per shard": self.shard_clips,
        }


def plan_shards(counts: dict[str, int], shard_clips: int) -> list[Shard]:
    """Divide the splits into shards of `shard_clips` clips; the last shard of a split has the remainder."""
    starts = {split: range(0, count, shard_clips) for split, count in counts.items()}
    return [
        Shard(split, number, len(split_starts), start, min(start + shard_clips, counts[split]))
        for split, split_starts in starts.items()
        for number, start in enumerate(split_starts)
    ]


def build_plan(splits: datasets.DatasetDict, processor: AffectProcessor, shard_clips: int) -> ExtractionPlan:
    """Build the plan of an extraction."""
    clips = hashlib.sha256()
    for split, rows in splits.items():
        names = [name for name in IDENTITY_COLUMNS if name in rows.column_names]
        columns = rows.select_columns(names).with_format("arrow")
        for start in range(0, len(rows), ROWS_PER_HASH):
            lines = columns[start : start + ROWS_PER_HASH].to_pylist()
            clips.update(json.dumps([split, lines], sort_keys=True, default=str).encode())
    extractors = json.dumps([processor.extractors, processor.feature_sizes], sort_keys=True).encode()
    return ExtractionPlan(clips.hexdigest(), hashlib.sha256(extractors).hexdigest(), shard_clips)


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to write a shard; small, and the same on every machine that sees `folder`.

    Args:
        folder: working folder, described at the top of this file.
        fields: label fields of the rows.
        sizes: features per step of each modality.
    """

    folder: Path
    fields: list[LabelField]
    sizes: dict[str, int]

    def read_record(self, shard: Shard) -> ShardRecord | None:
        """Return the record of a finished shard; None if the shard must be written (again)."""
        path = self._rows_path(shard)
        try:
            text = (self.folder / RECORDS / f"{shard.name}.json").read_text(encoding="utf-8")
            record = ShardRecord.from_dict(json.loads(text))
            actual = path.stat().st_size, pq.read_metadata(path).num_rows
        except (OSError, ValueError):
            return None
        return record if actual == (record.bytes, record.count) else None

    def select_pending(self, shard: Shard, rows: datasets.Dataset) -> datasets.Dataset:
        """Select the rows of a shard that must be extracted: all of them, or the failed ones of a finished shard."""
        record = self.read_record(shard)
        if record is None:
            return rows
        failed = {failure.id for failure in record.failures}
        return rows.select([index for index, clip in enumerate(rows["id"]) if clip in failed])

    def write(self, shard: Shard, rows: datasets.Dataset, results: Iterator[ExtractionResult]) -> None:
        """Write a shard and its record from the next results, one per row of `select_pending(shard, rows)`."""
        earlier = self.read_record(shard)
        failures: list[DroppedClip] = []
        non_finite = Counter(earlier.non_finite if earlier else {})

        def keep_extracted() -> Iterator[dict[str, Any]]:
            for row, reason in self._merge_results(shard, rows, earlier, results):
                if reason is None:
                    yield row
                else:
                    failures.append(DroppedClip(row["id"], reason))

        temporary = Path(tempfile.mkdtemp(prefix=f"{shard.name}.", dir=self.folder / UNFINISHED))
        try:
            count = write_split(
                temporary, shard.split, keep_extracted(), self.fields, self.sizes, len(rows), non_finite
            )
            if not count:  # every clip failed; `datasets` cannot read an empty row group
                schema = features(self.fields, self.sizes).arrow_schema
                pq.ParquetWriter(temporary / "empty.parquet", schema).close()
            [file] = temporary.iterdir()
            record = ShardRecord(count, file.stat().st_size, dict(non_finite), failures)
            os.replace(file, self._rows_path(shard))
            write_atomically(
                self.folder / RECORDS / f"{shard.name}.json",
                json.dumps(record.to_dict(), indent=1, ensure_ascii=False),
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
        """Move the rows to `output`, with corpus.json and the processor beside them; return their record."""
        counts: Counter[str] = Counter(dict.fromkeys((shard.split for shard in shards), 0))
        non_finite: Counter[str] = Counter()
        for shard in shards:
            record = self.read_record(shard)
            if record is None:
                raise ValueError(f"Shard {shard.name} in {self.folder} was changed; run the extraction again.")
            counts[shard.split] += record.count
            non_finite.update(record.non_finite)
        complete = replace(corpus, counts=dict(counts), non_finite=dict(non_finite))
        complete.write(self.folder / ROWS)
        processor.save_pretrained(self.folder / ROWS)
        put_in_place(self.folder / ROWS, output)
        return complete

    def _rows_path(self, shard: Shard) -> Path:
        return self.folder / ROWS / f"{shard.name}.parquet"

    def _merge_results(
        self, shard: Shard, rows: datasets.Dataset, earlier: ShardRecord | None, results: Iterator[ExtractionResult]
    ) -> Iterator[ExtractionResult]:
        """Yield the result of every clip of the shard in order; the rows of a finished shard are read from it."""
        if earlier is None:
            yield from islice(results, len(rows))
            return
        failed = {failure.id for failure in earlier.failures}
        finished = self._read_rows(shard)
        for clip in rows["id"]:
            yield next(results) if clip in failed else (next(finished), None)

    def _read_rows(self, shard: Shard) -> Iterator[dict[str, Any]]:
        file = pq.ParquetFile(self._rows_path(shard))
        for group in range(file.num_row_groups):
            yield from iterate_rows(datasets.Dataset(file.read_row_group(group)))


@contextmanager
def open_job(
    output: Path,
    plan: ExtractionPlan,
    fields: list[LabelField],
    sizes: dict[str, int],
    resumable: bool,
    overwrite: bool,
) -> Iterator[Job]:
    """Open the job that fills `output`, in a folder beside it.

    The folder is removed at the end; that of a resumable job only once the rows are in place.

    Raises:
        BlockingIOError: If another process works on this job.
        FileExistsError: If there is unfinished work of another plan and `overwrite` is False, or the folder holds
            something else.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    if not resumable:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".tmp", dir=output.parent))
        try:
            yield _prepare_folder(Job(folder, fields, sizes), plan)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    folder = output.with_name(f".{output.name}.extracting")
    if folder.exists() and not ((folder / PLAN).is_file() or (folder / LOCK).is_file()):
        raise FileExistsError(
            f"{folder} does not hold an unfinished extraction and is left alone; rename it, or choose another output."
        )
    folder.mkdir(exist_ok=True)
    try:
        lock = FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"Another process is extracting to {output} (it holds {folder / LOCK}); wait for it to finish, or stop it."
        ) from None
    with lock:
        _check_plan(folder, plan, overwrite)
        yield _prepare_folder(Job(folder, fields, sizes), plan)
        shutil.rmtree(folder, ignore_errors=os.name == "nt")
    if os.name == "nt":  # Windows keeps the lock file until it is released
        shutil.rmtree(folder, ignore_errors=True)


def _check_plan(folder: Path, plan: ExtractionPlan, overwrite: bool) -> None:
    """Refuse unfinished work of another plan, or remove it if `overwrite` is True."""
    if not (folder / PLAN).exists():
        return
    try:
        earlier = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except ValueError:
        earlier = {}
    different = [name for name, value in plan.to_dict().items() if value != earlier.get(name)]
    if different and not overwrite:
        raise FileExistsError(
            f"{folder} holds an unfinished extraction with other {', '.join(different)}; finish that one, replace it with "
            "--overwrite, or choose another output folder."
        )
    if different:
        for name in (PLAN, ROWS, RECORDS):
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink(missing_ok=True)


def _prepare_folder(job: Job, plan: ExtractionPlan) -> Job:
    shutil.rmtree(job.folder / UNFINISHED, ignore_errors=True)  # of killed workers
    for name in (ROWS, RECORDS, UNFINISHED):
        (job.folder / name).mkdir(exist_ok=True)
    write_atomically(job.folder / PLAN, json.dumps(plan.to_dict(), indent=1))
    return job


def iterate_rows(rows: datasets.Dataset) -> Iterator[dict[str, Any]]:
    """Yield the rows as dicts, in order."""
    reader = RowReader(rows)
    return map(reader.__getitem__, range(len(rows)))
