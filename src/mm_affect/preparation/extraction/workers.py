# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Extraction of rows in order, in this process or in worker processes; a clip that kills its worker becomes a named failure."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain
from multiprocessing import get_context
from typing import Any

import datasets
import torch

from ...data.parallel_build import end_with_parent
from ...features.processor import AffectProcessor
from ...vocabulary import MODALITIES
from .job import ExtractionResult, Job, Shard, iterate_rows


PREFETCH = 4  # clips per process that are read ahead
WORKER_DIED = (
    "the worker process that read it died, and so did a second one that read it alone; check the file and the memory"
)


def extract_shards(
    job: Job,
    work: list[tuple[Shard, datasets.Dataset]],
    processor: AffectProcessor,
    processes: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Generator[Shard, None, None]:
    """Extract and write shards, and yield each one when it is finished.

    Args:
        job: the job that the shards belong to.
        work: the shards with their rows.
        processor: the processor with the extractors.
        processes: worker processes, which share each shard; 0 extracts in this process.
        progress: called with the id of each clip that was tried.
    """
    clips = chain.from_iterable(iterate_rows(job.select_pending(shard, rows)) for shard, rows in work)

    def report_progress() -> Generator[ExtractionResult, None, None]:
        for result in extract_rows(processor, clips, processes):
            if progress is not None:
                progress(result[0]["id"])
            yield result

    results = report_progress()
    try:
        for shard, rows in work:
            job.write(shard, rows, results)
            yield shard
    finally:
        results.close()


def extract_rows(
    processor: AffectProcessor, rows: Iterable[dict[str, Any]], processes: int = 0
) -> Generator[ExtractionResult, None, None]:
    """Yield the result of every row, in order, holding a few rows per process.

    Each process computes on one thread, so that numbers do not depend on how many there are.
    """
    if processes:
        yield from _extract_in_processes(processor, iter(rows), processes)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from map(_RowExtractor(processor), rows)
    finally:
        torch.set_num_threads(threads)


class _RowExtractor:
    """Converts a row to its features, or to the reason why that failed."""

    def __init__(self, processor: AffectProcessor):
        self.processor = processor
        self.precomputed = [m for m in processor.feature_sizes if m not in processor.extractors]
        self.extractable = [m for m in MODALITIES if m not in self.precomputed]

    def __call__(self, row: dict[str, Any]) -> ExtractionResult:
        modalities = [*self.extractable, *(m for m in self.precomputed if len(row[m]))]
        try:
            return self.processor.extract(row, modalities), None
        except (ValueError, OSError) as error:
            return row, str(error)


# worker processes -------------------------------------------------------------------------------------------------

_extractor: _RowExtractor | None = None  # of a worker process


def _start_worker(processor: AffectProcessor) -> None:
    global _extractor
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _extractor = _RowExtractor(processor)


def _extract_in_worker(row: dict[str, Any]) -> ExtractionResult:
    assert _extractor is not None, "`_start_worker` runs first"
    return _extractor(row)


def _extract_in_processes(
    processor: AffectProcessor, rows: Iterator[dict[str, Any]], processes: int
) -> Iterator[ExtractionResult]:
    waiting: deque[tuple[dict[str, Any], Future[ExtractionResult]]] = deque()
    pool = None
    try:
        while True:
            while len(waiting) < PREFETCH * processes and (row := next(rows, None)) is not None:
                pool = pool or _start_pool(processor, processes)
                waiting.append((row, _submit(pool, row)))
            if not waiting:
                return
            if isinstance(waiting[0][1].exception(), BrokenProcessPool):
                if pool is not None:
                    pool.shutdown()
                yield from _retry_one_by_one(processor, waiting)
                waiting.clear()
                pool = None
            else:
                yield waiting.popleft()[1].result()
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _retry_one_by_one(
    processor: AffectProcessor, lost: Iterable[tuple[dict[str, Any], Future[ExtractionResult]]]
) -> Iterator[ExtractionResult]:
    """Yield the results that a broken pool has finished, and retry the other rows alone to find the one that broke it."""
    pool = None
    for row, future in lost:
        if future.done() and future.exception() is None:
            yield future.result()
            continue
        pool = pool or _start_pool(processor, 1)
        try:
            yield _submit(pool, row).result()
        except BrokenProcessPool:
            pool.shutdown()
            pool = None
            yield row, WORKER_DIED
    if pool is not None:
        pool.shutdown()


def _start_pool(processor: AffectProcessor, processes: int) -> ProcessPoolExecutor:
    """Start worker processes with the extractors, and wait until one of them answers."""
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (processor,))
    with _delay_interrupts():
        started = pool.submit(_do_nothing)
    if started.exception() is not None:
        pool.shutdown()
        raise ChildProcessError(
            "The worker processes could not be started; a script that extracts with several workers must protect its entry "
            "point with `if __name__ == '__main__':`."
        ) from started.exception()
    return pool


def _do_nothing() -> None:
    """Prove that a worker has started."""


def _submit(pool: ProcessPoolExecutor, row: dict[str, Any]) -> Future[ExtractionResult]:
    try:
        with _delay_interrupts():
            return pool.submit(_extract_in_worker, row)
    except BrokenProcessPool as error:
        future: Future[ExtractionResult] = Future()
        future.set_exception(error)
        return future


@contextmanager
def _delay_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which only the parent handles.

    In the parent an interrupt is delayed to the end of the block, so that no process is left half started.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
        yield
        return
    interrupts = []
    handler = signal.signal(signal.SIGINT, lambda *_: interrupts.append(True))
    can_mask = hasattr(signal, "pthread_sigmask")  # not on Windows, where a worker may print that it was interrupted
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_mask else set()
    try:
        yield
    finally:
        if can_mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        raise KeyboardInterrupt
