# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Run independent trainings in parallel, in processes with one thread each.

Small models do not get faster with a second thread, but training two seeds on two cores takes little more time than one
(measured by `benchmarks/seeds_speed.py`).
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed

from tqdm import tqdm


def run_parallel(function: Callable, calls: list[tuple], jobs: int) -> list:
    """Call `function(*call)` for every call, in up to `jobs` processes; with one job, in this process.

    Args:
        function: Function of a module, which the processes import by its name.
        calls: Positional arguments of each call.
        jobs: Number of processes.

    Returns:
        The return values, in the order of the calls.

    Raises:
        ValueError: If `jobs` is less than 1.
        Exception: The error of the first call that failed; calls that had not started are canceled.
    """
    if jobs < 1:
        raise ValueError(f"The number of jobs is {jobs}; expected 1 or more.")
    jobs = min(jobs, len(calls))
    if jobs < 2:
        return [function(*call) for call in calls]
    # Spawned, because a forked process inherits the locks of torch's threads and can hang.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _use_one_thread) as pool:
        futures = [pool.submit(function, *call) for call in calls]
        try:
            for future in tqdm(as_completed(futures), total=len(calls), desc=f"{jobs} in parallel", unit="training"):
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [future.result() for future in futures]


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)
