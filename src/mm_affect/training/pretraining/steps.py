# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One optimizer step over the batches of all processes, its learning rate, and interruption between steps."""

import math
import signal
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device, set_seed

from .batches import UNKNOWN


def learning_rate(step: int, highest: float, warmup_steps: int) -> float:
    """Return the learning rate of a step, counted from 1: it rises to `highest` in `warmup_steps`, then decays with 1 / sqrt(step).

    Source: Vaswani et al. (2017), equation 3, where `highest` is (model size * warm-up steps) ** -0.5.
    """
    return highest * min(step / warmup_steps, math.sqrt(warmup_steps / step))


def train_step(
    accelerator: Accelerator,
    model,
    optimizer,
    batches: list[tuple[int, dict]],
    weights: dict[str, float],
    rate: float,
    max_grad_norm: float,
) -> dict[str, float]:
    """Take one optimizer step on the batches of all processes, as if they were one batch.

    Each loss is the mean over the characters, or clips, of all processes. The seed of a batch determines its random numbers, so
    they do not depend on the process that trains on it.

    Args:
        accelerator: Process of the run.
        model: Model, as Accelerate prepared it.
        optimizer: Optimizer, as Accelerate prepared it.
        batches: Seed and model arguments of each batch of this process.
        weights: Weight of each loss in the total.
        rate: Learning rate of the step.
        max_grad_norm: Gradients are clipped to this norm.

    Returns:
        The losses and their total, the norm of the gradient before clipping, and `clips` and `steps` of audio, over all
        processes.

    Raises:
        ValueError: A loss is not finite.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    batches = [(seed, send_to_device(batch, accelerator.device)) for seed, batch in batches]
    counts = torch.tensor([_counts(batch) for _, batch in batches], dtype=torch.float64).to(accelerator.device).float()
    total = accelerator.reduce(counts.sum(0), "sum")
    shares = (counts[:, :2] / total[:2].clamp_min(1)).unbind(1)
    sums = torch.zeros(2, device=accelerator.device)
    for number, (seed, batch) in enumerate(batches):
        set_seed(seed)
        last = number + 1 == len(batches)
        with nullcontext() if last else accelerator.no_sync(model):
            losses = model(**batch).losses
            parts = [losses[name].float() * share[number] for name, share in zip(("speech", "person"), shares)]
            loss = weights["speech"] * parts[0] + weights["person"] * parts[1]
            accelerator.backward(loss * accelerator.num_processes)  # gradients are averaged over processes
        sums += torch.stack(parts).detach()
    norm = accelerator.clip_grad_norm_(model.parameters(), max_grad_norm)
    speech, person = accelerator.reduce(sums, "sum").tolist()
    if not math.isfinite(speech + person + float(norm)):
        raise ValueError(
            f"The loss of speech is {speech}, that of persons {person}, the gradient's norm {float(norm)}: training cannot "
            "continue. Lower `learning_rate`, and start a new run."
        )
    optimizer.step()
    optimizer.zero_grad()
    loss = weights["speech"] * speech + weights["person"] * person
    seen = {"clips": int(total[2]), "steps": int(total[3])}
    return {"loss": loss, "loss_speech": speech, "loss_person": person, "grad_norm": float(norm), **seen}


def _counts(batch: dict) -> list[int]:
    """Return the numbers of characters, clips of a known speaker, clips, and steps of audio."""
    persons = batch["labels"]["person"]
    return [
        int((batch["characters"] != UNKNOWN).sum()),
        int((persons != UNKNOWN).sum()),
        len(persons),
        int(batch["audio_mask"].sum()),
    ]


class Interruption:
    """Context in which Ctrl-C and SIGTERM wait for the end of a step, so that it can be saved; a second one interrupts at once."""

    def __init__(self):
        self.signal: int | None = None

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def seen(self, accelerator: Accelerator) -> bool:
        """Return True if any process received a signal."""
        signaled = torch.tensor([float(self.signal is not None)], device=accelerator.device)
        return bool(accelerator.reduce(signaled, "sum") > 0)
