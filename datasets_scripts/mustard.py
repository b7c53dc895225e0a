# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Convert MUStARD to checked Parquet rows, from the authors' repository, with its videos or published features.

python datasets_scripts/mustard.py inspect MUStARD/
python datasets_scripts/mustard.py build MUStARD/ --output rows/mustard --workers 4
python datasets_scripts/mustard.py push rows/mustard my-organization/mustard
"""

import sys

from mm_affect.cli.corpus_program import main


if __name__ == "__main__":
    sys.exit(main("mustard", __doc__))
