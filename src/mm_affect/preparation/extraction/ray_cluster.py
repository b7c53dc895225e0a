# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Extraction of shards on a Ray cluster: one task per shard, which writes the shard itself.

This uses Ray's core and not Ray Data, which passes blocks of rows through its object store and writes files with names and
sizes of its own. Here a worker writes one file with a fixed name and returns nothing, and how a shard is retried depends on
how its worker died. All machines must see the corpus, the cache of `datasets` and the output under the same paths.
"""

from collections.abc import Callable, Generator
from typing import Any

import datasets

from ...features.processor import AffectProcessor
from .job import Job, Shard
from .workers import extract_shards


MAX_ATTEMPTS = 4  # workers per shard, some of which may be preempted


def extract_on_ray(
    job: Job,
    work: list[tuple[Shard, datasets.Dataset]],
    processor: AffectProcessor,
    address: str,
    workers: int,
    progress: Callable[[str], None] | None = None,
) -> Generator[Shard, None, None]:
    """Extract shards like `extract_shards`, with one single-core task per shard, which finish in any order.

    If the worker of a shard dies, another one reads its clips in a process of their own, so that a clip that kills its
    reader becomes a named failure. An existing connection to a cluster is used and left open.

    Args:
        job: the job that the shards belong to.
        work: the shards with their rows.
        processor: the processor with the extractors.
        address: address of the cluster, as `ray.init` takes it; `local` starts one with `workers` workers on this machine.
        workers: workers of a local cluster.
        progress: called with the id of each clip that was tried.

    Raises:
        ImportError: If Ray is not installed.
        ChildProcessError: If `MAX_ATTEMPTS` workers died on a shard.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError as error:
        raise ImportError("Extraction on a cluster needs Ray: pip install 'mm_affect[ray]'") from error
    connect = not ray.is_initialized()
    if connect and address == "local":
        ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    elif connect:
        ray.init(address, log_to_driver=False)
    running: dict[Any, tuple[Shard, datasets.Dataset, list[str], int]] = {}  # by the reference of the task
    try:
        task = ray.remote(num_cpus=1, max_retries=0)(_extract_shard)
        shared = ray.put(processor)
        for shard, rows in work:
            running[task.remote(job, shard, rows, shared, 0)] = shard, rows, job.select_pending(shard, rows)["id"], 1
        while running:
            [done], _ = ray.wait(list(running), num_returns=1)
            shard, rows, clips, attempts = running.pop(done)
            try:
                ray.get(done)
            except RayTaskError as error:  # an exception in the task, as it would be raised in this process
                raise error.cause from None
            except RayError as error:
                if attempts == MAX_ATTEMPTS:
                    raise ChildProcessError(
                        f"{attempts} workers died on shard {shard.name}, the last with: {str(error).splitlines()[0]}"
                    ) from error
                running[task.remote(job, shard, rows, shared, 1)] = shard, rows, clips, attempts + 1
                continue
            if progress is not None:
                for clip in clips:
                    progress(clip)
            yield shard
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if connect:
            ray.shutdown()


def _extract_shard(job: Job, shard: Shard, rows: datasets.Dataset, processor: AffectProcessor, processes: int) -> None:
    for _ in extract_shards(job, [(shard, rows)], processor, processes):
        pass
