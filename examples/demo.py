# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The whole road on the synthetic sample corpus: `make demo`. Every step is a command that you could type.

Expected: a few minutes on two cores; a table of scores, a card, plots, and the prediction of one held-out clip.
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
    """Run one `mm-affect` command, showing it as it would be typed."""
    print(f"\n== {title}\n$ mm-affect {shlex.join(command)}", flush=True)
    code = mm_affect(list(command))
    if code:
        sys.exit(code)


def held_out_clip() -> dict:
    """The first test clip of the manifest that has picture, sound and words."""
    with open(OUTPUT / "corpus" / "manifest.csv", newline="") as file:
        return next(
            row for row in csv.DictReader(file) if row["split"] == "test" and row["video"] and row["transcript"]
        )


def main() -> None:
    began = time.time()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    step("Generate the sample corpus (synthetic)", "data", "sample", f"{OUTPUT}/corpus")
    step("Check it", "data", "check", f"{OUTPUT}/corpus")
    step("Extract features", "extract", f"{OUTPUT}/corpus", "--output", f"{OUTPUT}/rows")
    step("Train EF-LF-LSTM on emotion, sentiment and sarcasm", "train", str(CONFIG))
    step(
        "Scores with every subset of the modalities",
        *("evaluate", "--model", f"{OUTPUT}/run", "--rows", f"{OUTPUT}/rows"),
    )
    clip = held_out_clip()
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
    print("\nThe clip's labels: " + ", ".join(f"{name} {value}" for name, value in truth.items()))
    print(f"Card: {OUTPUT}/run/README.md   plots: {OUTPUT}/run/plots   ({time.time() - began:.0f} seconds)")


if __name__ == "__main__":
    main()
