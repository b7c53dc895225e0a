# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Clips to features, in order, by this process or by several: a clip that ends the process which reads it is a failure by name."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain
from multiprocessing import get_context

import datasets
import torch

from ...data.parallel_build import end_with_parent
from ...features.processor import AffectProcessor
from ...vocabulary import MODALITIES
from .job import Job, Result, Shard, read


PREFETCH = 4  # clips that are held for each process
WORKER_DIED = (
    "the process that read it ended, and so did the next one that tried it alone: the file, or too little memory"
)


def extract_shards(
    job: Job,
    work: list[tuple[Shard, datasets.Dataset]],
    processor: AffectProcessor,
    processes: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Shard]:
    """Extract and write the shards, each given with its rows; yields each one when it is finished.

    Args:
        processes: extract in so many processes, all of them on one shard and the next; 0: in this one.
        progress: called with the id of each clip that was tried.
    """
    clips = chain.from_iterable(read(job.clips(shard, rows)) for shard, rows in work)

    def results():
        for result in extract_rows(processor, clips, processes):
            if progress is not None:
                progress(result[0]["id"])
            yield result

    found = results()
    try:
        for shard, rows in work:
            job.write(shard, rows, found)
            yield shard
    finally:
        found.close()


def extract_rows(processor: AffectProcessor, rows: Iterable[dict], processes: int = 0) -> Iterator[Result]:
    """The result of every row, in their order. Each process computes on one thread, so that numbers do not depend on how many
    there are; a few rows per process are held."""
    if processes:
        yield from _by_processes(processor, iter(rows), processes)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from map(_Extract(processor), rows)
    finally:
        torch.set_num_threads(threads)


class _Extract:
    """A row to its features, or to the sentence that says why not."""

    def __init__(self, processor: AffectProcessor):
        self.processor = processor
        given = [m for m in processor.feature_sizes if m not in processor.extractors]
        self.extractable, self.given = [m for m in MODALITIES if m not in given], given

    def __call__(self, row: dict) -> Result:
        try:
            return self.processor.extract(row, [*self.extractable, *(m for m in self.given if len(row[m]))]), None
        except (ValueError, OSError) as error:
            return row, str(error)


# several processes ------------------------------------------------------------------------------------------------

_extract: _Extract | None = None  # of a worker process


def _start_worker(processor: AffectProcessor) -> None:
    global _extract
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _extract = _Extract(processor)


def _work(row: dict) -> Result:
    return _extract(row)


def _by_processes(processor: AffectProcessor, rows: Iterator[dict], processes: int) -> Iterator[Result]:
    waiting: deque[tuple[dict, Future]] = deque()
    pool = None
    try:
        while True:
            while len(waiting) < PREFETCH * processes and (row := next(rows, None)) is not None:
                pool = pool or _pool(processor, processes)
                waiting.append((row, _submitted(pool, row)))
            if not waiting:
                return
            if isinstance(waiting[0][1].exception(), BrokenProcessPool):
                pool.shutdown()
                yield from _one_by_one(processor, waiting)
                waiting.clear()
                pool = None
            else:
                yield waiting.popleft()[1].result()
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _one_by_one(processor: AffectProcessor, lost: Iterable[tuple[dict, Future]]) -> Iterator[Result]:
    """What is known of the rows that a broken pool had taken; the others are tried alone, which shows who broke it."""
    pool = None
    for row, future in lost:
        if future.done() and future.exception() is None:
            yield future.result()
            continue
        pool = pool or _pool(processor, 1)
        try:
            yield _submitted(pool, row).result()
        except BrokenProcessPool:
            pool.shutdown()
            pool = None
            yield row, WORKER_DIED
    if pool is not None:
        pool.shutdown()


def _pool(processor: AffectProcessor, processes: int) -> ProcessPoolExecutor:
    """Processes that have the extractors; at least one of them is known to have started."""
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (processor,))
    with _deaf_to_interrupts():
        started = pool.submit(_started)
    if started.exception() is not None:
        pool.shutdown()
        raise ChildProcessError(
            "The worker processes could not be started; a script that extracts with several workers needs "
            "`if __name__ == '__main__':` before what it does."
        ) from started.exception()
    return pool


def _started() -> None:
    """The first thing that a worker is asked."""


def _submitted(pool: ProcessPoolExecutor, row: dict) -> Future:
    try:
        with _deaf_to_interrupts():
            return pool.submit(_work, row)
    except BrokenProcessPool as error:
        future = Future()
        future.set_exception(error)
        return future


@contextmanager
def _deaf_to_interrupts():
    """Processes that are started inside never see Ctrl-C: it is for the parent alone, which ends them. Here it waits until
    the end of the block, so that no process is left half started."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
        yield
        return
    heard = []
    handler = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    masks = hasattr(signal, "pthread_sigmask")  # not on Windows: there a worker may say that it was interrupted
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else None
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if heard:
        raise KeyboardInterrupt
