# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page of `mm-affect demo` as a Space; the variable MM_AFFECT_MODEL names its model.

MM_AFFECT_SAMPLES optionally names a folder of this Space with a corpus (manifest and media), which provides sample clips.
Expected: the page and nothing else; run it locally with `MM_AFFECT_MODEL=demo_output/run python examples/space/app.py`.
"""

import os
import sys

from mm_affect.inference.demo.serve import open_demo


if __name__ == "__main__":
    if not os.environ.get("MM_AFFECT_MODEL"):
        sys.exit("Set the variable MM_AFFECT_MODEL to a model on the Hub, such as organization/name, or to a folder.")
    open_demo(os.environ["MM_AFFECT_MODEL"], os.environ.get("MM_AFFECT_SAMPLES"))
