# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The synthetic sample corpus: drawn faces that speak."""
