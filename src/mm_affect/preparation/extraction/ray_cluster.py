# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The shards of an extraction by a Ray cluster: one task for each shard, which writes it itself.

Tasks of Ray's core and not Ray Data: Ray Data carries blocks of rows through its object store and writes files of its own names
and sizes, where here a worker writes one file of a fixed name and nothing comes back; and who repeats a shard, and how, is told
by what its first worker died of. All machines see the corpus, the cache of `datasets` and the output by the same paths.
"""

from collections.abc import Callable, Iterator

import datasets

from ...features.processor import AffectProcessor
from .job import Job, Shard
from .workers import extract_shards


MAX_ATTEMPTS = 4  # workers that a shard may cost: machines are taken away, too


def extract_on_ray(
    job: Job,
    work: list[tuple[Shard, datasets.Dataset]],
    processor: AffectProcessor,
    address: str,
    workers: int,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Shard]:
    """As `extract_shards`, with a task of one processor for each shard; shards are finished in any order.

    A shard whose worker died is given to another one, which reads its clips in a process of their own, so that a clip that ends
    its reader becomes a failure by name. A cluster that is connected already is used and left running.

    Args:
        address: of a cluster, as `ray.init` takes it; `local`: a cluster of `workers` workers on this machine, for this job.

    Raises:
        ImportError: Ray is not installed.
        ChildProcessError: a shard has cost `MAX_ATTEMPTS` workers.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError as error:
        raise ImportError("Extraction by a cluster needs Ray: pip install 'mm_affect[ray]'") from error
    ours = not ray.is_initialized()
    if ours and address == "local":
        ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    elif ours:
        ray.init(address, log_to_driver=False)
    running = {}
    try:
        task = ray.remote(num_cpus=1, max_retries=0)(_extract_shard)
        shared = ray.put(processor)
        for shard, rows in work:
            running[task.remote(job, shard, rows, shared, 0)] = shard, rows, job.clips(shard, rows)["id"], 1
        while running:
            [done], _ = ray.wait(list(running), num_returns=1)
            shard, rows, clips, tries = running.pop(done)
            try:
                ray.get(done)
            except RayTaskError as error:  # the task itself failed, as it would have here
                raise error.cause from None
            except RayError as error:
                if tries == MAX_ATTEMPTS:
                    raise ChildProcessError(
                        f"{tries} workers died of shard {shard.name}, the last with: {str(error).splitlines()[0]}"
                    ) from error
                running[task.remote(job, shard, rows, shared, 1)] = shard, rows, clips, tries + 1
                continue
            for clip in clips if progress is not None else ():
                progress(clip)
            yield shard
    finally:
        for task in running:
            ray.cancel(task, force=True)
        if ours:
            ray.shutdown()


def _extract_shard(job: Job, shard: Shard, rows: datasets.Dataset, processor: AffectProcessor, processes: int) -> None:
    for _ in extract_shards(job, [(shard, rows)], processor, processes):
        pass
