# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Binary sentiment on the utterance features of CMU-MOSI in the csv files of bc-LSTM, with the 1447/752 split of these files.

    python benchmarks/mosi_bclstm.py

An interrupted benchmark continues where it stopped; delete runs/mosi-bclstm to start from scratch.

Five seeds for each single modality and for all three together; 12 of the 62 training videos are used for validation. For comparison: a
logistic regression on the same features has an accuracy of 0.757-0.767 with all three modalities and 0.753-0.759 with text; the majority
class, 0.621. The split is that of the files, never the official one, whose test videos were in the training set of the network that produced
these features.

Validation accuracy is close to 0.99 here because the networks behind the features were trained on the training videos, so recipes can only be
compared by their validation loss. The recipe is the one with the lowest validation loss of six; test scores were visible while they were
compared.
"""

import csv
import shlex
import sys
from collections.abc import Iterator

import numpy as np
from realdata import ROOT, find_data, print_scores, save_card

from mm_affect.data import write_rows
from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


CONFIG = ROOT / "examples" / "configs" / "fusion_mosi_bclstm.json"
VALIDATION_VIDEOS = 12
FIELD = {
    "name": "sentiment",
    "problem_type": "single_label_classification",
    "labels": ["negative", "positive"],
    "range": None,
}


def read_csv(name: str) -> list[list[str]]:
    """Return the lines of a csv file."""
    with open(find_data("mosi/bclstm") / f"{name}.csv", newline="", encoding="utf-8", errors="replace") as file:
        return list(csv.reader(file))


def make_rows(split: str, transcripts: list[list[str]]) -> Iterator[dict]:
    """Yield the rows of one split.

    Raises:
        ValueError: the files of the three modalities and the transcripts disagree on a label.
    """
    for text, audio, visual in zip(
        read_csv(f"text_{split}"), read_csv(f"audio_{split}0"), read_csv(f"video_{split}0"), strict=True
    ):
        clip, words, _, label = transcripts[int(text[0])]
        if not float(label) == float(audio[-1]) == float(visual[-1]):
            raise ValueError(
                f"The csv files have different labels for {clip}; download all of them from the same source."
            )
        values = {"text": text[1:], "audio": audio[:-1], "visual": visual[:-1]}
        yield {
            "id": clip,
            "group": clip.rsplit("_", 1)[0],
            "transcript": words,
            "labels": {"sentiment": int(label)},
            **{m: np.array([v], np.float32) for m, v in values.items()},
        }


def prepare_splits() -> tuple[dict[str, list[dict]], dict]:
    """Return the rows of every split and the record of the corpus."""
    transcripts = read_csv("transcripts")
    rows = list(make_rows("train", transcripts))
    videos = np.random.default_rng(0).permutation(sorted({row["group"] for row in rows}))
    held = set(videos[:VALIDATION_VIDEOS])
    splits = {
        "train": [row for row in rows if row["group"] not in held],
        "validation": [row for row in rows if row["group"] in held],
        "test": list(make_rows("test", transcripts)),
    }
    corpus = {
        "name": "CMU-MOSI, bc-LSTM features",
        "license": "CMU-MOSI research data",
        "label_fields": [FIELD],
        "sizes": {"text": 100, "audio": 73, "visual": 100},
        "split_protocol": f"bc-LSTM's 1447/752 by video; validation: {VALIDATION_VIDEOS} of the 62 training videos",
    }
    return splits, corpus


def main() -> None:
    """Train every subset of modalities and save its card."""
    command = shlex.join(["python", "benchmarks/mosi_bclstm.py", *sys.argv[1:]])
    write_rows(RunConfig.load(CONFIG).rows, *prepare_splits(), overwrite=True)
    runs = []
    for modalities in (["text", "audio", "visual"], ["text"], ["audio"], ["visual"]):
        names = "+".join(modalities)
        name = "lf-avg-mosi-bclstm" + ("" if len(modalities) == 3 else f"-{names}")
        changes = {"name": name, "modalities": modalities, "output": f"runs/mosi-bclstm/{names}"}
        runs.append(run(RunConfig.load(CONFIG, changes), command, resume=True))
        save_card(runs[-1])
    print_scores(runs, "sentiment.accuracy")


if __name__ == "__main__":
    main()
