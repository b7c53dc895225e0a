# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Conversion of a published corpus to Parquet rows by several processes, in parts that survive an interruption.

Unfinished work is in `.<name>.building` beside the folder: a plan, and one folder per finished part with a record of its
files and their hashes. The next build resumes if its plan is the same (files, options, description and parts), and
reuses the parts that match their record; all others are built again.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.parquet as pq

from .corpora.layouts import CorpusLayout
from .corpora.registry import fingerprint
from .record import FORMAT, VERSION, CorpusRecord, DroppedClip
from .rows import check_target, put_in_place, write_split


SHARD_ROWS = 2000
MAX_PARTS = 64  # of one split
DEFAULT_PARTS = 32  # of a split without a documented size
PLAN, DONE = "plan.json", "part.json"


def build_rows(
    layout: CorpusLayout,
    folder: str | Path,
    workers: int = 1,
    overwrite: bool = False,
    beside: Callable[[Path, CorpusRecord], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CorpusRecord:
    """Write the rows of every split of a layout to a folder in the format of `write_rows`; return their record.

    An interrupted build is resumed, or replaced if its inputs changed.

    Args:
        layout: the layout to read.
        folder: folder to write; it appears when complete.
        workers: number of processes.
        overwrite: replace earlier rows in `folder`.
        beside: called with the folder, before it appears, and the record, to add more files.
        progress: called with the number of finished parts and of all parts.

    Raises:
        ValueError: a split does not have the documented number of rows, unless the layout has the option
            `allow_partial`.
        FileExistsError: `folder` is not empty, unless it holds rows and `overwrite` is True.
    """
    folder = Path(os.path.abspath(folder))
    check_target(folder, overwrite)
    corpus = layout.describe()
    parts = [
        (split, k, n) for split, count in corpus.counts.items() for n in [_parts(layout, count)] for k in range(n)
    ]
    building = folder.with_name(f".{folder.name}.building")
    files = fingerprint(layout)
    _prepare(building, layout, corpus, parts, files)
    waiting = [part for part in parts if _finished(building / _name(part)) is None]
    if progress is not None:
        progress(len(parts) - len(waiting), len(parts))
    for done, _ in enumerate(_build_parts(layout, corpus, building, waiting, workers), len(parts) - len(waiting) + 1):
        if progress is not None:
            progress(done, len(parts))
    record = _assemble(building, layout, corpus, parts, files)
    if beside is not None:
        beside(building, record)
    put_in_place(building, folder)
    return record


def _parts(layout: CorpusLayout, count: int | None) -> int:
    if not layout.shardable:
        return 1
    return DEFAULT_PARTS if count is None else max(1, min(MAX_PARTS, -(-count // SHARD_ROWS)))


def _name(part: tuple[str, int, int]) -> str:
    return f"{part[0]}-{part[1]:03d}-of-{part[2]:03d}"


def _prepare(building: Path, layout: CorpusLayout, corpus: CorpusRecord, parts: list, files: str) -> None:
    """The folder of the build: an earlier one with the same plan, or a new one."""
    plan = {
        "format": FORMAT,
        "version": VERSION,
        "files": files,  # and the options
        "corpus": hashlib.sha256(json.dumps(corpus.to_dict(), sort_keys=True).encode()).hexdigest(),
        "parts": list(map(_name, parts)),
    }
    try:
        same = json.loads((building / PLAN).read_text(encoding="utf-8")) == plan
    except (OSError, ValueError):
        same = False
    if not same:
        if building.exists():
            shutil.rmtree(building)
        building.mkdir(parents=True)
        _write_json(building / PLAN, plan)


def _build_parts(
    layout: CorpusLayout, corpus: CorpusRecord, building: Path, parts: list, workers: int
) -> Iterator[None]:
    """Build `parts`; yield when one of them is finished."""
    if workers < 2 or len(parts) < 2:
        for part in parts:
            _build_part(layout.shard(*part[1:]), part, corpus, building)
            yield
        return
    pool = ProcessPoolExecutor(min(workers, len(parts)), multiprocessing.get_context("spawn"), _start_worker)
    try:
        work = [pool.submit(_build_part, layout.shard(*part[1:]), part, corpus, building) for part in parts]
        for done in as_completed(work):
            done.result()
            yield
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which lets running parts finish; end with the parent if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait for the end of the parent process, then end this one; runs in a thread of a worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _build_part(layout: CorpusLayout, part: tuple[str, int, int], corpus: CorpusRecord, building: Path) -> None:
    target = building / _name(part)
    temporary = target.with_suffix(".tmp")
    for left in (target, temporary):
        if left.exists():
            shutil.rmtree(left)
    temporary.mkdir()
    non_finite: Counter = Counter()
    rows = layout.rows(part[0])
    count = write_split(temporary, part[0], rows, corpus.label_fields, corpus.sizes, SHARD_ROWS, non_finite)
    record = {
        "count": count,
        "non_finite": dict(non_finite),
        "dropped": [asdict(clip) for clip in layout.dropped],
        "reported": dict(layout.reported),
        "files": {path.name: _sha256(path) for path in sorted(temporary.iterdir())},
    }
    _write_json(temporary / DONE, record)
    temporary.rename(target)


def _finished(folder: Path) -> dict | None:
    """Return the record of a finished part, or None if the part is missing or damaged."""
    try:
        record = json.loads((folder / DONE).read_text(encoding="utf-8"))
        whole = record["files"] == {path.name: _sha256(path) for path in folder.glob("*.parquet")}
        count = sum(pq.read_metadata(folder / name).num_rows for name in record["files"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if count == record["count"] else None


def _assemble(building: Path, layout: CorpusLayout, corpus: CorpusRecord, parts: list, files: str) -> CorpusRecord:
    """Move the shards of all parts to their final names; write and return the record of the corpus."""
    records = {part: json.loads((building / _name(part) / DONE).read_text(encoding="utf-8")) for part in parts}
    counts, dropped = dict.fromkeys(corpus.counts, 0), list[DroppedClip]()
    non_finite: Counter = Counter()
    reported: Counter = Counter()
    for (split, *_), record in records.items():
        counts[split] += record["count"]
        non_finite.update(record["non_finite"])
        reported.update(record["reported"])
        dropped += [DroppedClip(**clip) for clip in record["dropped"]]
    for split, expected in corpus.counts.items():
        if expected is not None and counts[split] != expected and not layout.options["allow_partial"]:
            raise ValueError(
                f"{corpus.name}: found {counts[split]} rows in {split}, expected {expected}; complete the files, or "
                "accept these counts (`--allow-partial`, in Python `allow_partial=True`)."
            )
    for split in counts:
        shards = [
            building / _name(part) / name for part, record in records.items() if part[0] == split
            for name in sorted(record["files"])
        ]  # fmt: skip
        for number, shard in enumerate(shards):
            shard.rename(building / f"{split}-{number:05d}-of-{len(shards):05d}.parquet")
    for part in parts:
        shutil.rmtree(building / _name(part))
    complete = replace(
        corpus,
        counts=counts,
        non_finite=dict(non_finite),
        layout=layout.name,
        dropped=dropped,
        reported=dict(reported),
        manifest_hash=files,
    )
    complete.write(building)
    (building / PLAN).unlink()
    return complete


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, value: dict) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(temporary, path)
