# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints: loading, the Hub, code that travels along, ONNX export, and conversion of public code."""
