# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Eight emotions from the sound of RAVDESS: embeddings that were pretrained, against the same model from scratch, six folds by actor.

    python benchmarks/ravdess_embeddings.py

In each fold the joint embeddings of Khare et al. (2021) are pretrained on the sixteen training actors, without emotions: what is said
(one of two sentences) and who says it. Then their emotions are learned, from all labels and from a tenth of them, by the same
model in three ways: from scratch, tuned from the pretrained one, and with its embeddings as they are under a linear head. Frames of 30 ms
are stacked by five, steps of 150 ms. Every recipe was fixed before any of them was run. Folds: see `ravdess.py`.

An interrupted benchmark goes on where it stopped; delete runs/ravdess_embeddings to begin anew.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import ravdess
from realdata import ROOT, combine_folds, compare_folds, keep, show

from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


PLACE = Path("runs/ravdess_embeddings")
CONFIG = Path("examples/configs/joint_embeddings_ravdess.json")
PRETRAINING = Path("examples/configs/pretrain_ravdess.json")
STATEMENTS = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}  # the fifth field of an id
STACKED = 5
SIZES = ravdess.SIZES | {"audio": 40 * STACKED}
WAYS = {"scratch": {}, "tuned": {}, "frozen": {"projections": 0, "encoders": 0}}  # other learning rates of parts


def clips() -> list[dict]:
    """One row per clip: the sound alone, and what is said."""
    found = []
    for row in ravdess.rows():
        frames = row["audio"][: len(row["audio"]) // STACKED * STACKED]
        found.append(row | {
            "transcript": STATEMENTS[row["id"].split("-")[4]],
            "audio": frames.reshape(-1, STACKED * frames.shape[1]),
        })  # fmt: skip
    return found


def pretrained(fold: int) -> Path:
    """The model that was pretrained on the training actors of the fold."""
    place = PLACE / f"fold-{fold}"
    if not (place / "pretrained" / "model").is_dir():
        began = ["--resume"] if (place / "pretrained" / "checkpoints").is_dir() else ["--overwrite"]
        command = [sys.executable, str(ROOT / "examples/pretrain_multitask.py"), str(ROOT / PRETRAINING), *began]
        subprocess.run([*command, "--rows", place / "rows", "--output_dir", place / "pretrained"], check=True)
    log = (place / "pretrained" / "log.jsonl").read_text().splitlines()
    last = [entry for entry in map(json.loads, log) if "held_out.cer" in entry][-1]
    print(f"fold {fold}: pretrained, characters {last['held_out.cer']:.3f}, persons {last['held_out.accuracy']:.3f}")
    return place / "pretrained" / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.1], help="of the labels; default: 1 0.1")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="default: all three")
    options = parser.parse_args()
    command, combined = shlex.join(["python", "benchmarks/ravdess_embeddings.py", *sys.argv[1:]]), []
    rows = clips()
    for fold in range(ravdess.FOLDS):
        if not (PLACE / f"fold-{fold}" / "rows").is_dir():
            ravdess.prepare(PLACE / f"fold-{fold}" / "rows", fold, rows, SIZES)
    models = [str(pretrained(fold)) for fold in range(ravdess.FOLDS)]
    for share in options.shares:
        ending = "" if share == 1 else f"-{share:g}"
        for way in options.ways:
            name, folds = f"joint-embeddings-ravdess-{way}{ending}", []
            for fold, model in enumerate(models):
                place = PLACE / f"fold-{fold}"
                changes = {
                    "name": name,
                    "rows": str(place / "rows"),
                    "output_dir": str(place / name),
                    "pretrained": None if way == "scratch" else model,
                    "label_fraction": share,
                    "training.learning_rates": WAYS[way],
                }
                folds.append(run(RunConfig.load(ROOT / CONFIG, changes), command, resume=True))
            combined.append(combine_folds(folds, name, ravdess.PROTOCOL))
            keep(combined[-1])
            if way != "scratch" and "scratch" in options.ways:
                pair = [
                    [PLACE / f"fold-{fold}" / run_name for fold in range(ravdess.FOLDS)]
                    for run_name in (name, f"joint-embeddings-ravdess-scratch{ending}")
                ]
                print(f"{name} against scratch: {compare_folds(*pair, 'emotion.accuracy')}")
    show(combined, "emotion.accuracy")


if __name__ == "__main__":
    main()
