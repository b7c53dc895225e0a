# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings of every test run: one thread (small models are many times slower on two), no network, no progress bars."""

import os


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import torch
from transformers.utils import logging


torch.set_num_threads(1)
logging.disable_progress_bar()


def pytest_configure(config):
    """Names of the markers that transformers' own common tests carry (`test_transformers_common.py`)."""
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
