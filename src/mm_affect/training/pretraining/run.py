# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A pretraining run, from its options to a finished model."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import set_seed
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForPreTraining, PreTrainedModel

from ...features.characters import TranscriptTokenizer
from ...messages import validation_reason
from ...models.joint_embeddings import JointEmbeddingsConfig
from ..optimizers import OPTIMIZERS
from .batches import PlannedBatches, PretrainingCollator, batch_loader
from .checkpoints import Checkpoints, full_state, open_run_folder, save_model
from .evaluation import Evaluation
from .log import Log
from .options import PretrainingOptions
from .plan import BatchPlan
from .rows import new_processor, open_rows
from .steps import Interruption, learning_rate, train_step
from .survey import select_unseen_rows, take_survey


INTERRUPTED = 130  # exit status of an interrupted run


def run_pretraining(
    options: PretrainingOptions, resume: bool = False, overwrite: bool = False, report_to: str | None = None
) -> int:
    """Pretrain joint embeddings in the folder `options.output`, on every process that Accelerate starts.

    The folder then holds `run.json` (options), `log.jsonl` (one entry per line), `checkpoints/` and `model/`.

    Args:
        options: Config of the run.
        resume: Continue an interrupted run from its last checkpoint; it ends as if it had not been interrupted.
        overwrite: Remove an earlier run in the folder.
        report_to: A tracker of Accelerate, such as `"tensorboard"`.

    Returns:
        0, or 130 if the run was interrupted after a step, which is saved.

    Raises:
        ValueError: The rows, the options or the folder do not allow the run.
    """
    if report_to not in (None, *map(str, get_available_trackers())):
        raise ValueError(f"The tracker {report_to!r} is not installed, or unknown to Accelerate; install it.")
    precision = "bf16" if options.bf16 else None  # None: as the configuration of Accelerate says
    accelerator = Accelerator(mixed_precision=precision, log_with=report_to, project_dir=options.output)
    try:
        with open_run_folder(options, accelerator, resume, overwrite) as folder:
            return Pretraining(options, accelerator, folder, resume).train()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class Pretraining:
    """Everything that a run holds while it trains.

    Args:
        options: Config of the run.
        accelerator: Process of the run.
        folder: Folder of the run.
        resume: Continue from the last checkpoint.
    """

    def __init__(self, options: PretrainingOptions, accelerator: Accelerator, folder: Path, resume: bool):
        self.options, self.accelerator, self.folder = options, accelerator, folder
        self._check_processes()
        rows = open_rows(options.rows, options.split, options.streaming)
        self.tokenizer = TranscriptTokenizer()
        self.processor = new_processor(options.rows, options.model.get("modalities"))
        self.survey = take_survey(rows, self.processor, self.tokenizer, options)
        self.collator = PretrainingCollator(self.processor, self.tokenizer, self.survey.speakers)
        self.plan = BatchPlan(
            self.survey.training, self.survey.steps, rows.starts, options.batch_steps, options.pool_rows, options.seed
        )
        rows.groups_kept = self.plan.groups_at_once
        self.batches = PlannedBatches(rows, self.plan, self.collator, options.hide_words)

        set_seed(options.seed)
        model = self._new_model()
        self.loss_weights = {task.name: task.weight for task in model.config.tasks} | model.config.loss_weights
        self.evaluation = Evaluation(model, self.collator, self._evaluation_rows(), self.survey.longest)
        self.model, self.optimizer = accelerator.prepare(model, self._new_optimizer(model))

        self.checkpoints = Checkpoints(folder, options.keep)
        saved = self.checkpoints.load(self.model, self.optimizer) if resume else None
        self.state: dict[str, Any] = saved or {"step": 0, "place": [0, 0]}
        if self.state.get("digest", self.survey.digest) != self.survey.digest:
            raise ValueError(f"The rows in {options.rows} have changed since the run began; begin a new run.")

    def _check_processes(self) -> None:
        batches, processes = self.options.batches_per_step, self.accelerator.num_processes
        if batches % processes:
            raise ValueError(
                f"Option batches_per_step is {batches}, which {processes} processes cannot share equally; give a multiple of "
                f"{processes}."
            )

    def _evaluation_rows(self) -> dict[str, list[dict]]:
        sets = {"held_out": self.survey.held_out}
        if self.options.unseen_split is not None:
            others = open_rows(self.options.rows, self.options.unseen_split, self.options.streaming)
            sets["unseen"] = select_unseen_rows(others, self.survey, self.tokenizer, self.options)
        return {name: rows for name, rows in sets.items() if rows}

    def _new_model(self) -> PreTrainedModel:
        sizes = {"modalities": self.processor.modalities, "feature_sizes": self.processor.feature_sizes}
        alphabet = {"vocab_size": len(self.tokenizer), "pad_token_id": self.tokenizer.pad_token_id}
        try:
            config = JointEmbeddingsConfig.pretraining(self.survey.speakers, **(self.options.model | sizes | alphabet))
        except StrictDataclassError as error:
            raise ValueError(f"Config model: {validation_reason(error)}.") from None
        return AutoModelForPreTraining.from_config(config).train()

    def _new_optimizer(self, model: PreTrainedModel) -> torch.optim.Optimizer:
        options = self.options
        rates: dict[str, Any] = {"lr": options.learning_rate, "betas": tuple(options.betas), "eps": options.epsilon}
        return OPTIMIZERS[options.optimizer](model.parameters(), weight_decay=options.weight_decay, **rates)

    def train(self) -> int:
        """Train up to the last step, evaluate and save the model; returns 130 if it was interrupted, else 0."""
        options, accelerator = self.options, self.accelerator
        log = self._open_log()
        loader, walk = self._deal_batches()
        speed = Speed(self.state["step"], self.processor.extractors.get("audio", {}).get("rate", 1.0))
        with Interruption() as interruption:
            for step in range(self.state["step"] + 1, options.steps + 1):
                dealt = [next(loader) for _ in range(options.batches_per_step // accelerator.num_processes)]
                for _ in range(options.batches_per_step):
                    epoch, number = next(walk)
                rate = learning_rate(step, options.learning_rate, options.warmup_steps)
                losses = train_step(
                    accelerator, self.model, self.optimizer, dealt, self.loss_weights, rate, options.max_grad_norm
                )
                speed.add(losses["steps"])
                log.bar.update()
                if step % options.log_every == 0 or step == options.steps:
                    measured = speed.measure(step)
                    log.write(step, losses | {"learning_rate": rate, "epoch": epoch} | measured)
                    log.show(loss=f"{losses['loss']:.3f}", audio=f"{measured['audio_per_second']:.0f} s/s")
                if step % options.evaluate_every == 0 and step < options.steps:
                    self._evaluate(log, step)
                stop = interruption.seen(accelerator)
                if stop or step % options.save_every == 0 or step == options.steps:
                    state = {"step": step, "place": [epoch, number + 1], "digest": self.survey.digest}
                    self.checkpoints.save(accelerator, self.model, self.optimizer, state)
                if stop:
                    log.print(f"Stopped after step {step}, which is saved; continue with --resume.")
                    return INTERRUPTED
        self._evaluate(log, options.steps, options.num_beams)
        save_model(self.folder / "model", accelerator, self.model, self.processor, self.tokenizer)
        accelerator.end_training()
        return 0

    def _open_log(self) -> Log:
        plain = {
            name: value if isinstance(value, int | float | str) else json.dumps(value)
            for name, value in self.options.to_dict().items()
        }
        self.accelerator.init_trackers("pretraining", plain)
        log = Log(self.folder, self.accelerator, self.state["step"], self.options.steps)
        for sentence in self.survey.sentences():
            log.print(sentence)
        return log

    def _deal_batches(self) -> tuple[Iterator, Iterator[tuple[int, int]]]:
        """Return the batches of this process, and the place of every batch of all processes, from where the run continues."""
        epoch, number = self.state["place"]
        share = (self.accelerator.process_index, self.accelerator.num_processes)
        loader = batch_loader(self.batches, epoch, number, *share, self.options.workers)
        return iter(loader), self.plan.walk(epoch, number)

    def _evaluate(self, log: Log, step: int, num_beams: int = 1) -> None:
        weights = full_state(self.model)
        if self.accelerator.is_main_process:
            metrics = self.evaluation(weights, self.accelerator.device, num_beams)
            log.write(step, metrics | {"beams": num_beams})
            numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
            log.print(f"step {step}: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
        self.accelerator.wait_for_everyone()


class Speed:
    """Throughput of a run since it was started.

    Args:
        step: Steps that were done before.
        rate: Audio steps per second of audio.
    """

    def __init__(self, step: int, rate: float):
        self.first, self.rate, self.audio, self.began = step, rate, 0.0, time.monotonic()

    def add(self, steps: float) -> None:
        """Count audio steps that were trained on."""
        self.audio += steps / self.rate

    def measure(self, step: int) -> dict[str, float]:
        """Return optimizer steps per second, and seconds of audio per second, up to this step."""
        seconds = time.monotonic() - self.began
        return {"steps_per_second": (step - self.first) / seconds, "audio_per_second": self.audio / seconds}
