# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The folder of a run: one run at a time in it, checkpoints that are whole or not there, and going on from the last.

A checkpoint is the weights, the optimizer's moments and the place in the data, in safetensors and JSON: nothing else decides
how a run goes on. Rates follow from the step, and what is drawn from the seed and the batch. It is the same whether one
process trains or many, and however the weights lie on them, so a run may go on with another number of processes.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from ...files import write_atomically
from .options import PretrainingOptions


MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
EVERYWHERE = StateDictOptions(full_state_dict=True)  # whole tensors, in every process
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # in the first, on the CPU


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within it, no other process can take the folder; the lock ends with the process, however that ends.

    Raises:
        ValueError: another run writes to the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"Another run writes to {folder}; wait for its end, or choose another folder.") from None
        yield


@contextmanager
def run_folder(options: PretrainingOptions, accelerator: Accelerator, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of a run, within it locked, with the options in `run.json`. An earlier run is kept for `resume`, or removed
    if `overwrite`.

    Raises:
        ValueError: an earlier run, and neither was asked for; one of other options; something else; nothing to resume; or
            another run that writes there.
    """
    folder = Path(options.output_dir)
    with locked(folder) if accelerator.is_main_process else nullcontext():
        if accelerator.is_main_process:
            _prepare(folder, options, resume, overwrite)
        accelerator.wait_for_everyone()
        yield folder


def _prepare(folder: Path, options: PretrainingOptions, resume: bool, overwrite: bool) -> None:
    found, record = [path for path in folder.iterdir() if path.name != ".lock"], folder / "run.json"
    if resume and not record.is_file():
        raise ValueError(f"{folder} holds no run to resume; leave --resume out to begin one.")
    if found and not record.is_file():
        raise ValueError(f"{folder} holds something else than a run, which is left alone; choose another folder.")
    if found and not (resume or overwrite):
        raise ValueError(f"{folder} holds a run; give --resume to go on with it, or --overwrite to begin anew.")
    if resume:
        options.check_same_run(json.loads(record.read_text(encoding="utf-8")))
    else:
        for path in sorted(found, key=lambda path: path == record):  # the record last: without it, it is no run
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_atomically(record, json.dumps(options.to_dict(), indent=1))


def full_state(model) -> dict:
    """All weights, on the CPU; of several processes the first has them."""
    return get_model_state_dict(model, options=WHOLE)


class Checkpoints:
    """Those of one run, in folders `step-00000100`.

    Args:
        folder: of the run.
        keep: so many are kept.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder / "checkpoints", keep

    def complete(self) -> list[Path]:
        """From the oldest to the newest. One that is being written, or was when the run was killed, is none."""
        return sorted(self.folder.glob("step-????????"))

    def save(self, accelerator: Accelerator, model, optimizer, state: dict) -> None:
        """Called by all processes; `state` has the `step` and what else is to come back."""
        weights = full_state(model)
        moments = get_optimizer_state_dict(model, optimizer.optimizer, options=WHOLE)
        if accelerator.is_main_process:
            temporary = self.folder / ".writing"
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            save_file({name: value.contiguous() for name, value in weights.items()}, temporary / MODEL)
            save_file(
                {f"{name}.{kind}": value for name, kinds in moments["state"].items() for kind, value in kinds.items()},
                temporary / OPTIMIZER,
            )
            (temporary / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
            for path in [*temporary.iterdir(), temporary]:
                _to_disk(path)
            target = self.folder / f"step-{state['step']:08d}"
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
            for old in self.complete()[: -self.keep]:
                shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def load(self, model, optimizer) -> dict | None:
        """The state of the newest, whose weights and moments are put in place; None if there is none.

        Raises:
            ValueError: it cannot be read, or is of another model.
        """
        if not self.complete():
            return None
        newest = self.complete()[-1]
        try:
            state = json.loads((newest / STATE).read_text(encoding="utf-8"))
            weights, moments = load_file(newest / MODEL), load_file(newest / OPTIMIZER)
            set_model_state_dict(model, weights, options=EVERYWHERE)
            # rates and the like follow from the options; the moments are put beside them
            parts = get_optimizer_state_dict(model, optimizer.optimizer, options=EVERYWHERE) | {"state": {}}
            for name, value in moments.items():
                name, _, kind = name.rpartition(".")
                parts["state"].setdefault(name, {})[kind] = value
            set_optimizer_state_dict(model, optimizer.optimizer, parts, options=EVERYWHERE)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise ValueError(
                f"The checkpoint {newest} cannot be read ({str(error).splitlines()[0]}); remove it to go on from the one "
                "before it."
            ) from error
        return state


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_model(folder: Path, accelerator: Accelerator, model, processor, tokenizer) -> None:
    """The finished model with its processor, and the tokenizer in `transcripts/`; the folder appears when it is complete."""
    weights = full_state(model)
    if accelerator.is_main_process:
        temporary = folder.with_name(f".{folder.name}.writing")
        shutil.rmtree(temporary, ignore_errors=True)
        accelerator.unwrap_model(model).save_pretrained(temporary, state_dict=weights)
        processor.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary / "transcripts")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    accelerator.wait_for_everyone()
