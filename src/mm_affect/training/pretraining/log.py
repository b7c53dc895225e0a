# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Log of a pretraining run: one line of JSON per entry in `log.jsonl`, the trackers of Accelerate, and a progress bar."""

import json
from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm

from ...files import write_atomically


class Log:
    """Log of a run; only the main process writes.

    Args:
        folder: Folder of the run.
        accelerator: Process of the run.
        step: Last step of the checkpoint that the run continues from; entries of later steps are removed.
        steps: Total number of steps.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, step: int, steps: int):
        self.path, self.accelerator = folder / "log.jsonl", accelerator
        if accelerator.is_main_process:
            write_atomically(self.path, "".join(line for line in self._lines() if json.loads(line)["step"] <= step))
        self.bar = tqdm(
            total=steps, initial=step, desc="pretrain", unit="step", disable=not accelerator.is_main_process
        )

    def _lines(self) -> list[str]:
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
        return [line for line in lines if line.endswith("\n")]  # the last may have been cut off

    def write(self, step: int, entry: dict) -> None:
        """Write one line, and report its numbers to the trackers."""
        if self.accelerator.is_main_process:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step} | entry) + "\n")
        numbers = {name: value for name, value in entry.items() if isinstance(value, int | float)}
        self.accelerator.log(numbers, step=step)

    def show(self, **values: str) -> None:
        """Show values beside the progress bar."""
        self.bar.set_postfix(values)

    def print(self, sentence: str) -> None:
        """Print a sentence above the progress bar."""
        if self.accelerator.is_main_process:
            self.bar.write(sentence)
