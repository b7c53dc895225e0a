# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SUGRM's regression of sentiment on CMU-MOSI: utterance features of bc-LSTM, intensities of the SDK's labels.

    python benchmarks/mosi_sugrm.py [--config examples/configs/sugrm_mosi_utterances.json]

An interrupted benchmark goes on where it stopped; delete runs/mosi-sugrm to begin anew.

Five seeds of SUGRM with its three unimodal tasks, of its multimodal task alone (the first row of the paper's Table 3), and of that
on the text alone. The split is the files' own, 1447/752 utterances by video, of which
12 of the 62 training videos validate; never the official one, whose test videos were in the training set of the networks
that made these features. A row is one step per modality. The clip `video_k` of the csv files is the segment `k - 1` of the
labels, whose sign agrees with the csv label in all 2,199.

What to compare with: a ridge regression on the same features, standardized, has MAE 0.946 to 0.952 and correlation 0.623 to
0.627 (alpha 100 to 1000), on the text alone MAE 0.953 and 0.606.
"""

import argparse
import shlex
import sys
from pathlib import Path

from mosi_bclstm import prepare_splits
from realdata import ROOT, folder, keep, show

from mm_affect.data import RowReader, load, write_rows
from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


CONFIG = ROOT / "examples" / "configs" / "sugrm_mosi_utterances.json"
ALONE = {"unimodal": []}
VARIANTS = {"": {}, "-multimodal-task": {"model": ALONE}, "-text": {"model": ALONE, "modalities": ["text"]}}


def intensities() -> dict[str, float]:
    """Sentiment from -3 to 3 by the clip's name in the csv files."""
    found = {}
    for rows in load("cmu_mosi", folder("mosi")).values():
        for row in RowReader(rows):
            video, segment = row["id"].removesuffix("]").rsplit("[", 1)
            found[f"{video}_{int(segment) + 1}"] = row["labels"]["sentiment"]
    return found


def prepare(config: RunConfig) -> None:
    """Rows of the csv features with the intensity of each clip."""
    splits, corpus = prepare_splits()
    known = intensities()
    for rows in splits.values():
        for row in rows:
            row["labels"] = {"sentiment": known[row["id"]]}
    field = {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3.0, 3.0]}
    write_rows(config.rows, splits, corpus | {"label_fields": [field]}, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    command = shlex.join(["python", "benchmarks/mosi_sugrm.py", *sys.argv[1:]])
    config = RunConfig.load(parser.parse_args().config)
    prepare(config)
    finished = []
    for name, changes in VARIANTS.items():
        values = config.to_dict() | changes | {"name": config.name + name}
        values["output_dir"] = str(Path(config.output_dir).with_name(values["name"]))
        finished.append(run(RunConfig.from_dict(values), command, resume=True))
        keep(finished[-1])
    show(finished, "sentiment.mae")
    show(finished, "sentiment.pearson")


if __name__ == "__main__":
    main()
