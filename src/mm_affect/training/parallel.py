# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Trainings that do not depend on each other, several at a time: processes with one thread each.

Small models gain nothing from a second thread, and whole seeds gain nearly everything from a second core
(`benchmarks/seeds_speed.py` measures it).
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed

from tqdm import tqdm


def run_parallel(function: Callable, calls: list[tuple], jobs: int) -> list:
    """`function(*call)` for every call, `jobs` of them at a time; with one job, here.

    Args:
        function: of a module, so that another process finds it by its name.

    Returns: the results, in the order of the calls.

    Raises:
        ValueError: `jobs` is less than 1.
        Exception: that of the first call that failed. Calls that had not begun are then left out.
    """
    if jobs < 1:
        raise ValueError(f"The number of jobs is {jobs}; it must be 1 or more.")
    jobs = min(jobs, len(calls))
    if jobs < 2:
        return [function(*call) for call in calls]
    # Fresh processes: a forked one inherits the locks of torch's threads, and can hang.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _one_thread) as pool:
        futures = [pool.submit(function, *call) for call in calls]
        try:
            for future in tqdm(as_completed(futures), total=len(calls), desc=f"{jobs} at a time", unit="training"):
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [future.result() for future in futures]


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
