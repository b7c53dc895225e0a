# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The folder of a pretraining run: a lock, atomic checkpoints, and resuming from the last one.

A checkpoint holds the weights, the optimizer's moments and the position in the data, in safetensors and JSON; nothing else
determines how a run continues. Learning rates follow from the step, random numbers from the seed and the batch. A checkpoint
does not depend on the number of processes or on how the weights are sharded, so a run may be resumed on another number of
processes.
"""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from ...features.characters import TranscriptTokenizer
from ...features.processor import AffectProcessor
from ...files import write_atomically
from .options import PretrainingOptions


MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
LOCK, LOCK_OWNER = ".lock", ".lock.owner"
EVERYWHERE = StateDictOptions(full_state_dict=True)  # full tensors on every process
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # full tensors on the CPU of the main process


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes; the lock ends with the process, however that ends.

    Raises:
        ValueError: Another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder / LOCK_OWNER
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = owner.read_text(encoding="utf-8") if owner.is_file() else "another process"
        raise ValueError(
            f"{folder} is in use: {holder} writes to it. Wait until it has finished, or choose another folder."
        ) from None
    try:
        owner.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


@contextmanager
def open_run_folder(
    options: PretrainingOptions, accelerator: Accelerator, resume: bool, overwrite: bool
) -> Iterator[Path]:
    """Lock the folder of a run and write the options to its `run.json`.

    Args:
        options: Config of the run.
        accelerator: Process of the run; the main process holds the lock.
        resume: Keep an earlier run, to be continued.
        overwrite: Remove an earlier run.

    Raises:
        ValueError: The folder holds an earlier run, and neither `resume` nor `overwrite` is given; a run with other options;
            or other files. There is nothing to resume. Another process writes to the folder.
    """
    folder = Path(options.output)
    with lock_folder(folder) if accelerator.is_main_process else nullcontext():
        if accelerator.is_main_process:
            _prepare(folder, options, resume, overwrite)
        accelerator.wait_for_everyone()
        yield folder


def _prepare(folder: Path, options: PretrainingOptions, resume: bool, overwrite: bool) -> None:
    contents = [path for path in folder.iterdir() if path.name not in (LOCK, LOCK_OWNER)]
    record = folder / "run.json"
    if resume and not record.is_file():
        raise ValueError(f"{folder} holds no run to resume; leave --resume out to begin one.")
    if contents and not record.is_file():
        raise ValueError(f"{folder} exists and is not the output of a run; it is left alone: choose another folder.")
    if contents and not (resume or overwrite):
        raise ValueError(f"{folder} holds an earlier run; add --resume to continue it, or --overwrite to replace it.")
    if resume:
        options.check_same_run(json.loads(record.read_text(encoding="utf-8")))
    else:
        for path in sorted(
            contents, key=lambda path: path == record
        ):  # run.json last: without it the folder is no run
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_atomically(record, json.dumps(options.to_dict(), indent=1))


def full_state(model: torch.nn.Module) -> dict[str, Any]:
    """Return all weights on the CPU; with several processes the main process has them."""
    return get_model_state_dict(model, options=WHOLE)


class Checkpoints:
    """Checkpoints of one run, in folders `step-00000100`.

    Args:
        folder: Folder of the run.
        keep: Number of checkpoints that are kept.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder / "checkpoints", keep

    def complete(self) -> list[Path]:
        """Return the complete checkpoints from the oldest to the newest, without one that was cut off while it was written."""
        return sorted(self.folder.glob("step-????????"))

    def save(
        self, accelerator: Accelerator, model: torch.nn.Module, optimizer: AcceleratedOptimizer, state: dict[str, Any]
    ) -> None:
        """Write a checkpoint; every process calls it. `state` has the `step`, and is what `load` returns."""
        weights = full_state(model)
        moments: dict[str, Any] = get_optimizer_state_dict(model, optimizer.optimizer, options=WHOLE)
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
                _flush_to_disk(path)
            target = self.folder / f"step-{state['step']:08d}"
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
            for old in self.complete()[: -self.keep]:
                shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def load(self, model: torch.nn.Module, optimizer: AcceleratedOptimizer) -> dict[str, Any] | None:
        """Load the newest checkpoint into model and optimizer and return its state; None if there is none.

        Raises:
            ValueError: It cannot be read, or belongs to another model.
        """
        if not self.complete():
            return None
        newest = self.complete()[-1]
        try:
            state = json.loads((newest / STATE).read_text(encoding="utf-8"))
            weights: dict[str, Any] = load_file(newest / MODEL)
            moments = load_file(newest / OPTIMIZER)
            set_model_state_dict(model, weights, options=EVERYWHERE)
            # the hyperparameters follow from the options; the moments are added to them
            parts: dict[str, Any] = get_optimizer_state_dict(model, optimizer.optimizer, options=EVERYWHERE)
            parts |= {"state": {}}
            for name, value in moments.items():
                name, _, kind = name.rpartition(".")
                parts["state"].setdefault(name, {})[kind] = value
            set_optimizer_state_dict(model, optimizer.optimizer, parts, options=EVERYWHERE)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise ValueError(
                f"The checkpoint {newest} cannot be read ({str(error).splitlines()[0]}); remove it to continue from the one "
                "before it."
            ) from error
        return state


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_model(
    folder: Path,
    accelerator: Accelerator,
    model: torch.nn.Module,
    processor: AffectProcessor,
    tokenizer: TranscriptTokenizer,
) -> None:
    """Save the model with its processor, and the tokenizer in `transcripts/`; the folder appears when it is complete."""
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
