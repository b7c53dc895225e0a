# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Programs that write rows: extraction, embeddings, transcripts, weak labels, and publishing."""
