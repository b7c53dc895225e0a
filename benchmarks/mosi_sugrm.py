# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sentiment intensity on CMU-MOSI with SUGRM: utterance features of bc-LSTM, intensities from the labels of the SDK.

    python benchmarks/mosi_sugrm.py [--config examples/configs/sugrm_mosi_utterances.json]

An interrupted benchmark continues where it stopped; delete runs/mosi-sugrm to start from scratch.

Five seeds of SUGRM with its three unimodal tasks, of its multimodal task only (the first row of Table 3 of the paper), and of the
multimodal task with text only. The split is that of the csv files, 1447/752 utterances by video, with 12 of the 62 training videos for
validation. It is never the official split, whose test videos were in the training set of the networks that produced these features. A row
has one step per modality. The clip `video_k` of the csv files is the segment `k - 1` of the labels; the sign of the intensity agrees with
the csv label for all 2,199 clips.

For comparison: a ridge regression on the same features, standardized, has an MAE of 0.946 to 0.952 and a correlation of 0.623 to 0.627
(alpha 100 to 1000); with text only, an MAE of 0.953 and a correlation of 0.606.
"""

import argparse
import shlex
import sys
from pathlib import Path

from mosi_bclstm import prepare_splits
from realdata import ROOT, find_data, print_scores, save_card

from mm_affect.data import RowReader, load, write_rows
from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


CONFIG = ROOT / "examples" / "configs" / "sugrm_mosi_utterances.json"
MULTIMODAL_ONLY = {"unimodal": []}
VARIANTS = {
    "": {},
    "-multimodal-task": {"model": MULTIMODAL_ONLY},
    "-text": {"model": MULTIMODAL_ONLY, "modalities": ["text"]},
}


def read_intensities() -> dict[str, float]:
    """Return the sentiment from -3 to 3 for every clip name of the csv files."""
    sentiments = {}
    for rows in load("cmu_mosi", find_data("mosi")).values():
        for row in RowReader(rows):
            video, segment = row["id"].removesuffix("]").rsplit("[", 1)
            sentiments[f"{video}_{int(segment) + 1}"] = row["labels"]["sentiment"]
    return sentiments


def prepare(config: RunConfig) -> None:
    """Write rows with the csv features and the intensity of each clip."""
    splits, corpus = prepare_splits()
    intensities = read_intensities()
    for rows in splits.values():
        for row in rows:
            row["labels"] = {"sentiment": intensities[row["id"]]}
    field = {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3.0, 3.0]}
    write_rows(config.rows, splits, corpus | {"label_fields": [field]}, overwrite=True)


def main() -> None:
    """Train every variant and save its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    command = shlex.join(["python", "benchmarks/mosi_sugrm.py", *sys.argv[1:]])
    config = RunConfig.load(parser.parse_args().config)
    prepare(config)
    finished = []
    for name, changes in VARIANTS.items():
        values = config.to_dict() | changes | {"name": config.name + name}
        values["output"] = str(Path(config.output).with_name(values["name"]))
        finished.append(run(RunConfig.from_dict(values), command, resume=True))
        save_card(finished[-1])
    print_scores(finished, "sentiment.mae")
    print_scores(finished, "sentiment.pearson")


if __name__ == "__main__":
    main()
