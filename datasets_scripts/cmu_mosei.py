# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Convert CMU-MOSEI to checked Parquet rows, from the raw release, SDK (.csd), MulT, MMSA and HHMPN files or label tables.

python datasets_scripts/cmu_mosei.py inspect mosei_sdk/
python datasets_scripts/cmu_mosei.py build mosei_sdk/ --output rows/cmu_mosei --workers 4
python datasets_scripts/cmu_mosei.py push rows/cmu_mosei my-organization/cmu_mosei
"""

import sys

from mm_affect.cli.corpus_program import main


if __name__ == "__main__":
    sys.exit(main("cmu_mosei", __doc__))
