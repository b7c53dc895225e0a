# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`python -m mm_affect.cli`."""

import sys

from .main import main


sys.exit(main())
