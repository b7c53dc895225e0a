# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Everything that travels with a checkpoint: flat modules that import only their siblings."""
