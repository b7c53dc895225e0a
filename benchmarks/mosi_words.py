# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sentiment on CMU-MOSI from transcripts only: words, labels and official folds of the SDK's sequences, with a bag-of-words model.

    python benchmarks/mosi_words.py

An interrupted benchmark continues where it stopped; delete runs/mosi-words to start from scratch.

A word is a one-hot vector over the training vocabulary, weighted by its inverse document frequency and divided by the norm of the vector of its
segment, so that the mean over the words, which LF-AVG computes, is the normalized TF-IDF vector. Five seeds; the epoch with the lowest
validation error is used.

For comparison: the best constant has an MAE of 1.456. A ridge regression on TF-IDF has an MAE of 1.209 and a correlation of 0.449 in a
preliminary experiment on these files. Another one, on the words as they are read here (tokens of scikit-learn, alpha 1, the best of four
values on validation), has 1.174 and 0.462, so this model is not better than a linear one.

Choice of the recipe: it is one of ten that were compared by validation error on two seeds (1.163 to 1.226), and among the best five, which
are within 0.008 of each other. The choice of TF-IDF over hashed vectors was made before, from ridge regressions whose test scores were
visible as well; validation and test agreed. The test scores of the network were first looked at after all choices had been made.
"""

import math
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from realdata import ROOT, find_data, print_scores, save_card

from mm_affect.data import RowReader, load, write_rows
from mm_affect.data.corpora.registry import find_layout
from mm_affect.features.word_vectors import tokenize
from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


CONFIG = ROOT / "examples" / "configs" / "fusion_mosi_words.json"


class BagOfWords:
    """Encoder of transcripts as weighted one-hot steps.

    Args:
        transcripts: training transcripts, from which the vocabulary and the inverse document frequencies are computed.
    """

    def __init__(self, transcripts: list[str]):
        rows = Counter(word for text in transcripts for word in set(tokenize(text or "")))
        self.index = {word: i for i, word in enumerate(sorted(rows))}
        self.weights = [math.log((1 + len(transcripts)) / (1 + rows[word])) + 1 for word in self.index]

    def __call__(self, transcript: str | None) -> np.ndarray:
        """Return float32 steps `(known words, vocabulary)`; the norm of their mean is 1."""
        known = [self.index[word] for word in tokenize(transcript or "") if word in self.index]
        steps = np.zeros((len(known), len(self.index)), np.float32)
        steps[range(len(known)), known] = [self.weights[i] for i in known]
        return steps / max(float(np.linalg.norm(steps.mean(axis=0))), 1e-6) if known else steps


def prepare(config: RunConfig) -> None:
    """Write rows of one-hot steps from the words of the csd files."""
    source = find_data("mosi")
    splits, layout = load("cmu_mosi", source), find_layout("cmu_mosi", source)
    bag = BagOfWords(splits["train"]["transcript"])

    def rows(split: str) -> Iterator[dict]:
        for row in RowReader(splits[split]):
            yield row | {"text": bag(row["transcript"])}

    record = replace(layout.describe(), sizes={"text": len(bag.index)}, layout=layout.name)
    write_rows(config.rows, {split: rows(split) for split in splits}, record, overwrite=True)


def main() -> None:
    """Train the config and save its card."""
    command = shlex.join(["python", "benchmarks/mosi_words.py", *sys.argv[1:]])
    config = RunConfig.load(CONFIG)
    prepare(config)
    results = run(config, command, resume=True)
    save_card(results)
    print_scores([results], "sentiment.mae")
    print_scores([results], "sentiment.pearson")


if __name__ == "__main__":
    main()
