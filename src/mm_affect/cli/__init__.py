# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command `mm-affect`: `main` builds the parser, every other module is one group of subcommands."""
