# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Convert IEMOCAP to checked Parquet rows, from the full release or the MulT pickle.

python datasets_scripts/iemocap.py inspect IEMOCAP_full_release/
python datasets_scripts/iemocap.py build IEMOCAP_full_release/ --output rows/iemocap --workers 4
python datasets_scripts/iemocap.py push rows/iemocap my-organization/iemocap
"""

import sys

from mm_affect.cli.corpus_program import main


if __name__ == "__main__":
    sys.exit(main("iemocap", __doc__))
