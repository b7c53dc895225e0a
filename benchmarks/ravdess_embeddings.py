# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Eight emotions from the audio of RAVDESS: pretrained embeddings compared with the same model trained from scratch, six folds by actor.

    python benchmarks/ravdess_embeddings.py

In each fold, the joint embeddings of Khare et al. (2021) are pretrained on the sixteen training actors, without emotion labels, to recognize
which of two sentences is spoken and by whom. The same model is then trained on the emotions of these actors, with all labels and with a tenth
of them, in three ways: from scratch, fine-tuned from the pretrained weights, and with frozen pretrained weights under a linear head. Five frames
of 30 ms are stacked to one step of 150 ms. Every recipe was fixed before any of them was run. Folds: see `ravdess.py`.

An interrupted benchmark continues where it stopped; delete runs/ravdess_embeddings to start from scratch.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import ravdess
from realdata import ROOT, combine_folds, compare_folds, print_scores, save_card

from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


PLACE = Path("runs/ravdess_embeddings")
CONFIG = Path("examples/configs/joint_embeddings_ravdess.json")
PRETRAINING = Path("examples/configs/pretrain_ravdess.json")
SENTENCES = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}  # by the fifth field of an id
STACKED = 5
SIZES = ravdess.SIZES | {"audio": 40 * STACKED}
STARTS = {"scratch": {}, "tuned": {}, "frozen": {"projections": 0, "encoders": 0}}  # learning rates that are changed


def make_rows() -> list[dict]:
    """Return one row per clip, with stacked audio frames and the transcript."""
    rows = []
    for row in ravdess.make_rows():
        frames = row["audio"][: len(row["audio"]) // STACKED * STACKED]
        rows.append(row | {
            "transcript": SENTENCES[row["id"].split("-")[4]],
            "audio": frames.reshape(-1, STACKED * frames.shape[1]),
        })  # fmt: skip
    return rows


def pretrain(fold: int) -> Path:
    """Pretrain a model on the training actors of the fold, unless it exists, and return its folder."""
    place = PLACE / f"fold-{fold}"
    if not (place / "pretrained" / "model").is_dir():
        start = ["--resume"] if (place / "pretrained" / "checkpoints").is_dir() else ["--overwrite"]
        command = [sys.executable, str(ROOT / "examples/pretrain_multitask.py"), str(ROOT / PRETRAINING), *start]
        subprocess.run([*command, "--rows", place / "rows", "--output", place / "pretrained"], check=True)
    log = (place / "pretrained" / "log.jsonl").read_text().splitlines()
    last = [entry for entry in map(json.loads, log) if "held_out.cer" in entry][-1]
    print(
        f"fold {fold}: pretrained, character error rate {last['held_out.cer']:.3f}, "
        f"speaker accuracy {last['held_out.accuracy']:.3f}"
    )
    return place / "pretrained" / "model"


def main() -> None:
    """Pretrain on every fold, train every initialization and save the combined cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shares", nargs="+", type=float, default=[1.0, 0.1], help="fractions of the labels; default: 1 0.1"
    )
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=list(STARTS),
        default=list(STARTS),
        help="initializations of the model; default: all three",
    )
    options = parser.parse_args()
    command, combined = shlex.join(["python", "benchmarks/ravdess_embeddings.py", *sys.argv[1:]]), []
    rows = make_rows()
    for fold in range(ravdess.FOLDS):
        if not (PLACE / f"fold-{fold}" / "rows").is_dir():
            ravdess.prepare(PLACE / f"fold-{fold}" / "rows", fold, rows, SIZES)
    models = [str(pretrain(fold)) for fold in range(ravdess.FOLDS)]
    for fraction in options.shares:
        ending = "" if fraction == 1 else f"-{fraction:g}"
        for start in options.ways:
            name, folds = f"joint-embeddings-ravdess-{start}{ending}", []
            for fold, model in enumerate(models):
                place = PLACE / f"fold-{fold}"
                changes = {
                    "name": name,
                    "rows": str(place / "rows"),
                    "output": str(place / name),
                    "pretrained": None if start == "scratch" else model,
                    "label_fraction": fraction,
                    "training.learning_rates": STARTS[start],
                }
                folds.append(run(RunConfig.load(ROOT / CONFIG, changes), command, resume=True))
            combined.append(combine_folds(folds, name, ravdess.PROTOCOL))
            save_card(combined[-1])
            if start != "scratch" and "scratch" in options.ways:
                pair = [
                    [PLACE / f"fold-{fold}" / run_name for fold in range(ravdess.FOLDS)]
                    for run_name in (name, f"joint-embeddings-ravdess-scratch{ending}")
                ]
                print(f"{name} minus scratch: {compare_folds(*pair, 'emotion.accuracy')}")
    print_scores(combined, "emotion.accuracy")


if __name__ == "__main__":
    main()
