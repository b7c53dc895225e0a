# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Convert CMU-MOSI to checked Parquet rows, from the raw release, SDK (.csd), MulT, MMSA, MISA, MFN or bc-LSTM files.

python datasets_scripts/cmu_mosi.py inspect mosi_sdk/
python datasets_scripts/cmu_mosi.py build mosi_sdk/ --output rows/cmu_mosi --workers 4
python datasets_scripts/cmu_mosi.py push rows/cmu_mosi my-organization/cmu_mosi
"""

import sys

from mm_affect.cli.corpus_program import main


if __name__ == "__main__":
    sys.exit(main("cmu_mosi", __doc__))
