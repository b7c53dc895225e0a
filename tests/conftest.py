# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings of every test run: one thread (small models are many times slower on two), no network, no progress bars."""

import os
import time


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import pytest
import torch
from transformers.utils import logging


torch.set_num_threads(1)
logging.disable_progress_bar()


# Files that `make test-fast` leaves out: they train runs, start processes or a browser, build packages or read real recordings. Single
# tests of other files carry the marker `full` themselves.
FULL = {
    f"test_{name}.py"
    for name in """
    backbone_benchmark cards cli compare cost_benchmark data_attacks data_publish demo demo_page docs embedding
    examples experiments exporting extraction extraction_job faces grid hub_round_trip joint_training label_subset
    packaging parallel pipelines planted_faults pretraining_runs realdata remote_code reproduce sample sugrm_plots
    speech_encoder sugrm_training tables tailor_plots text_encoder training transformers_common vgg16 warm_start weak_labels
    """.split()
}


def pytest_addoption(parser):
    """Add `--architecture-seconds`."""
    parser.addoption(
        "--architecture-seconds",
        action="store_true",
        help="show the processor time that the common tests of each architecture take",
    )


def pytest_configure(config):
    """Declare `full` and the markers that transformers' own common tests carry (`test_transformers_common.py`)."""
    config.addinivalue_line("markers", "full: left out by `make test-fast`")
    for marker in (
        "accelerate_tests",
        "flash_attn_test",
        "flash_attn_3_test",
        "flash_attn_4_test",
        "order",
        "slow",
        "torch_compile_test",
    ):
        config.addinivalue_line("markers", f"{marker}: set by transformers' own tests")


def pytest_collection_modifyitems(items):
    """Mark the tests of the files that take long."""
    for item in items:
        if item.path.name in FULL:
            item.add_marker(pytest.mark.full)


def architecture_of(item) -> str | None:
    """Return the name of the architecture that a common test is about, or None for other tests."""
    tested = getattr(item.cls, "model_class", None) or next(iter(getattr(item.cls, "all_model_classes", ())), None)
    return tested and tested.__name__


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Record the processor time of a common test in its report."""
    start = time.process_time()
    try:
        return (yield)
    finally:
        if name := architecture_of(item):
            ours = "model_class" in dir(item.cls)
            item.user_properties.append(("architecture_seconds", [name, ours, time.process_time() - start]))


def pytest_terminal_summary(terminalreporter, config):
    """Print a table of architectures if `--architecture-seconds` was given."""
    if not config.getoption("architecture_seconds"):
        return
    costs = {}  # architecture -> [tests, seconds of our common tests, seconds of those of transformers]
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for key, value in getattr(report, "user_properties", ()):
            if key == "architecture_seconds" and report.when == "call":
                name, ours, seconds = value
                cost = costs.setdefault(name, [0, 0.0, 0.0])
                cost[0] += 1
                cost[1 if ours else 2] += seconds
    terminalreporter.section("seconds of processor time per architecture")
    terminalreporter.line(f"{'':28}{'tests':>8}{'ours':>10}{'transformers':>15}{'all':>10}")
    for name, (tests, ours, theirs) in sorted(costs.items(), key=lambda item: -item[1][1] - item[1][2]):
        terminalreporter.line(f"{name:28}{tests:8}{ours:10.1f}{theirs:15.1f}{ours + theirs:10.1f}")
