# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Check a corpus of your own (a folder with a manifest) and print a summary; with --output, write its Parquet rows, too.

python datasets_scripts/own_corpus.py my_corpus/ --output my_rows/
"""

import argparse
import sys
from pathlib import Path

from mm_affect.data import RowReader, load, read_corpus, write_rows


def main() -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the corpus")
    parser.add_argument("--output", type=Path, help="folder of rows to write")
    parser.add_argument("--overwrite", action="store_true", help="replace existing rows")
    arguments = parser.parse_args()
    try:
        corpus = read_corpus(arguments.folder)
        print(f"{corpus.name}: {corpus.counts}, splits by {corpus.split_protocol}")
        for column in corpus.label_fields:
            print(f"  {column.name}: {column.problem_type}, {', '.join(column.labels)}")
        if arguments.output:
            splits = {
                name: map(RowReader(rows).__getitem__, range(len(rows)))
                for name, rows in load(arguments.folder).items()
            }
            write_rows(arguments.output, splits, corpus, overwrite=arguments.overwrite)
            print(f"Rows: {arguments.output}")
    except (ValueError, OSError) as error:
        print(f"own_corpus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
