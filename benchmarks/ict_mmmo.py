# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sentiment on ICT-MMMO from its sequences: 74 audio and 36 visual features, twenty word-aligned steps, official 220/40/80 reviews.

    python benchmarks/ict_mmmo.py examples/configs/sugrm_ict_mmmo.json [more configs]

An interrupted benchmark continues where it stopped; delete runs/ict-mmmo to start from scratch. The words of the training split are not
public, so only audio and visual features are used. Labels range from 1 to 5. For comparison: a linear model on the means has an MAE of 1.131,
the best constant 1.181. With 80 test reviews, one standard error of the MAE is about 0.08.

EF-LF-LSTM, MulT, LMR-CBT, MFN and EMO-EMB share the training settings of SUGRM's recipe, which were fixed before they were trained. With these
settings, TAILOR does not improve on the constant; its own recipe, with a lower learning rate, was the first alternative that was tried, on one
seed and by validation score, with the test score visible.
"""

import argparse
import shlex
import sys
from pathlib import Path

from realdata import find_data, print_scores, save_card

from mm_affect.data import RowReader, load, write_rows
from mm_affect.data.corpora.registry import find_layout
from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


def prepare(folder_of_rows: str) -> None:
    """Write rows from the h5 files."""
    source = find_data("mmmo")
    splits, layout = load("ict_mmmo", source), find_layout("ict_mmmo", source)
    write_rows(
        folder_of_rows, {name: RowReader(rows) for name, rows in splits.items()}, layout.describe(), overwrite=True
    )


def main() -> None:
    """Train every config and save its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path, help="JSON files of runs")
    command = shlex.join(["python", "benchmarks/ict_mmmo.py", *sys.argv[1:]])
    configs = [RunConfig.load(path) for path in parser.parse_args().configs]
    for rows in {config.rows for config in configs}:
        prepare(rows)
    finished = []
    for config in configs:
        finished.append(run(config, command, resume=True))
        save_card(finished[-1])
    print_scores(finished, "sentiment.mae")
    print_scores(finished, "sentiment.pearson")


if __name__ == "__main__":
    main()
