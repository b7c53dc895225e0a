# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The complete pipeline on the synthetic sample corpus (`make demo`). Every step is a command that you could type.

It takes a few minutes on two cores, and produces a table of scores, a card, plots, and the prediction for one held-out clip.
"""

import csv
import shlex
import shutil
import sys
import time
from pathlib import Path

from mm_affect.cli.main import main as mm_affect


OUTPUT = Path("demo_output")
CONFIG = Path("examples/configs/fusion_sample.json")


def step(title: str, *command: str) -> None:
    """Print one `mm-affect` command as it would be typed, and run it."""
    print(f"\n== {title}\n$ mm-affect {shlex.join(command)}", flush=True)
    code = mm_affect(list(command))
    if code:
        sys.exit(code)


def find_held_out_clip() -> dict:
    """Return the first test clip of the manifest with video, audio and transcript."""
    with open(OUTPUT / "corpus" / "manifest.csv", newline="") as file:
        return next(
            row for row in csv.DictReader(file) if row["split"] == "test" and row["video"] and row["transcript"]
        )


def main() -> None:
    """Run every step."""
    start = time.time()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    step("Generate the sample corpus (synthetic)", "data", "sample", f"{OUTPUT}/corpus")
    step("Check the corpus", "data", "check", f"{OUTPUT}/corpus")
    step("Extract features", "extract", f"{OUTPUT}/corpus", "--output", f"{OUTPUT}/rows")
    step("Train EF-LF-LSTM on emotion, sentiment and sarcasm", "train", str(CONFIG))
    step(
        "Evaluate every subset of the modalities",
        *("evaluate", "--model", f"{OUTPUT}/run", "--rows", f"{OUTPUT}/rows"),
    )
    clip = find_held_out_clip()
    step(
        "Predict a held-out clip",
        *(
            "predict",
            f"{OUTPUT}/corpus/{clip['video']}",
            "--model",
            f"{OUTPUT}/run",
            "--transcript",
            clip["transcript"],
        ),
    )
    truth = {name: value for name, value in clip.items() if name.split(".")[0] in ("emotion", "sentiment", "sarcasm")}
    print("\nLabels of the clip: " + ", ".join(f"{name} {value}" for name, value in truth.items()))
    print(f"Card: {OUTPUT}/run/README.md   plots: {OUTPUT}/run/plots   ({time.time() - start:.0f} seconds)")


if __name__ == "__main__":
    main()
