# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sentiment of ICT-MMMO from its sequences: audio 74, visual 36, twenty word-aligned steps, official 220/40/80 reviews.

    python benchmarks/ict_mmmo.py examples/configs/sugrm_ict_mmmo.json [more configs]

An interrupted benchmark goes on where it stopped; delete runs/ict-mmmo to begin anew. The words of the training split are not
public, so audio and visual are read. Labels are 1 to 5. A linear model on the means has MAE 1.131, the best constant 1.181; with
80 test reviews one standard error of the mean error is about 0.08.

EF-LF-LSTM, MulT, LMR-CBT, MFN and EMO-EMB share the training of SUGRM's recipe, fixed before they were trained. With it TAILOR stays at
the constant; its own, slower one was the first other that was tried, on one seed, by validation, with the test score in sight.
"""

import argparse
import shlex
import sys
from pathlib import Path

from realdata import folder, keep, show

from mm_affect.data import RowReader, load, write_rows
from mm_affect.data.corpora.registry import find_layout
from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


def prepare(folder_of_rows: str) -> None:
    """Write the h5 files as rows."""
    source = folder("mmmo")
    splits, layout = load("ict_mmmo", source), find_layout("ict_mmmo", source)
    write_rows(
        folder_of_rows, {name: RowReader(rows) for name, rows in splits.items()}, layout.describe(), overwrite=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path)
    command = shlex.join(["python", "benchmarks/ict_mmmo.py", *sys.argv[1:]])
    configs = [RunConfig.load(path) for path in parser.parse_args().configs]
    for rows in {config.rows for config in configs}:
        prepare(rows)
    finished = []
    for config in configs:
        finished.append(run(config, command, resume=True))
        keep(finished[-1])
    show(finished, "sentiment.mae")
    show(finished, "sentiment.pearson")


if __name__ == "__main__":
    main()
