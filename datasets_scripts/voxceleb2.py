# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Convert VoxCeleb2, in its published folders or any folder of talking faces, to checked Parquet rows.

python datasets_scripts/voxceleb2.py inspect VoxCeleb2/
python datasets_scripts/voxceleb2.py build VoxCeleb2/ --output rows/voxceleb2 --workers 4
python datasets_scripts/voxceleb2.py push rows/voxceleb2 my-organization/voxceleb2
"""

import sys

from mm_affect.cli.corpus_program import main


if __name__ == "__main__":
    sys.exit(main("voxceleb2", __doc__))
