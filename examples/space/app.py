# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo as a Space: the page of `mm-affect demo`, with its model named by the variable MM_AFFECT_MODEL.

MM_AFFECT_SAMPLES may name a folder of this Space with a corpus (manifest and media), whose clips can then be picked.
Expected: the page, and nothing else; run it here with `MM_AFFECT_MODEL=demo_output/run python examples/space/app.py`.
"""

import os
import sys

from mm_affect.inference.demo.serve import open_demo


if __name__ == "__main__":
    if not os.environ.get("MM_AFFECT_MODEL"):
        sys.exit("Set the variable MM_AFFECT_MODEL to a model on the Hub, such as organization/name, or to a folder.")
    open_demo(os.environ["MM_AFFECT_MODEL"], os.environ.get("MM_AFFECT_SAMPLES"))
