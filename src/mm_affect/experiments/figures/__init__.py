# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures of the papers, drawn from a checkpoint and rows."""
