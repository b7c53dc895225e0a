# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a run tells: a line of JSON per entry in `log.jsonl`, the trackers of Accelerate, and a progress bar."""

import json
from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm

from ...files import write_atomically


class Log:
    """Entries of a run; only the main process writes.

    Args:
        folder: of the run.
        step: the last that was done; later entries, of steps that were lost with an interruption, are removed.
        steps: of the whole run.
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
        """One line, and the numbers of it to the trackers."""
        if self.accelerator.is_main_process:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step} | entry) + "\n")
        numbers = {name: value for name, value in entry.items() if isinstance(value, int | float)}
        self.accelerator.log(numbers, step=step)

    def show(self, **values) -> None:
        """Beside the bar, from now on."""
        self.bar.set_postfix(values)

    def tell(self, sentence: str) -> None:
        """A sentence above the bar."""
        if self.accelerator.is_main_process:
            self.bar.write(sentence)
