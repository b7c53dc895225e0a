# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Safe readers of the file formats in which corpora are distributed: csd, pickle, torch.save, csv and feature files."""
