# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pretrain joint embeddings by speech recognition and person identification (Khare et al. 2021).

    mm-affect data sample corpus --clips 1200 && mm-affect extract corpus rows
    python examples/pretrain_multitask.py examples/configs/pretrain_sample.json --rows rows --output_dir pretrained

On several processes or GPUs the same program runs by the configuration of Accelerate alone (DDP, FSDP, bf16):

    accelerate launch --multi_gpu --num_processes 4 --mixed_precision bf16 examples/pretrain_multitask.py config.json

Every option of the config is a flag (`--steps 2000`). An interrupted run goes on with `--resume`, and ends as if it had not been
interrupted. The folder of the run holds `run.json` (options), `log.jsonl` (one entry per line), `checkpoints/` and in the end `model/`:

    AutoModel.from_pretrained("pretrained/model")                # without the decoder
    AutoModel.from_pretrained("pretrained/model", config=config, new_heads=True)  # to be tuned on the tasks of config
    AutoModelForPreTraining.from_pretrained("pretrained/model")  # all of it
    AutoProcessor.from_pretrained("pretrained/model"); TranscriptTokenizer.from_pretrained("pretrained/model/transcripts")
"""

import argparse
import json
import sys
import time
from dataclasses import fields
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import set_seed
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForPreTraining

from mm_affect import JointEmbeddingsConfig, TranscriptTokenizer
from mm_affect.files import as_json
from mm_affect.training.pretraining import (
    BatchPlan,
    Checkpoints,
    Evaluation,
    Interruption,
    Log,
    PlannedBatches,
    PretrainingCollator,
    PretrainingOptions,
    batch_loader,
    full_state,
    learning_rate,
    new_processor,
    open_rows,
    rows_of_others,
    run_folder,
    save_model,
    take_survey,
    train_step,
)


STOPPED = 130  # exit status of a run that was interrupted


def pretrain(options: PretrainingOptions, accelerator: Accelerator, folder: Path, resume: bool) -> int:
    """The whole run, in its folder. Returns the exit status."""
    processes = accelerator.num_processes
    if options.batches_per_step % processes:
        raise ValueError(
            f"Option batches_per_step is {options.batches_per_step}, which {processes} processes cannot share equally; give a "
            f"multiple of {processes}."
        )

    # what is there to learn from
    rows = open_rows(options.rows, options.split, options.streaming)
    tokenizer = TranscriptTokenizer()
    processor = new_processor(options.rows, options.model.get("modalities"))
    survey = take_survey(rows, processor, tokenizer, options)
    collator = PretrainingCollator(processor, tokenizer, survey.speakers)
    plan = BatchPlan(survey.training, survey.steps, rows.starts, options.batch_steps, options.pool_rows, options.seed)
    rows.groups_kept = plan.groups_at_once
    measured = {"held_out": survey.held_out}
    if options.unseen_split is not None:
        others = open_rows(options.rows, options.unseen_split, options.streaming)
        measured["unseen"] = rows_of_others(others, survey, tokenizer, options)

    # the model
    set_seed(options.seed)
    sizes = {"modalities": processor.modalities, "feature_sizes": processor.feature_sizes}
    alphabet = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    config = JointEmbeddingsConfig.pretraining(survey.speakers, **(options.model | sizes | alphabet))
    model = AutoModelForPreTraining.from_config(config).train()
    weights = {task.name: task.weight for task in config.tasks} | config.loss_weights
    evaluation = Evaluation(model, collator, {n: chosen for n, chosen in measured.items() if chosen}, survey.longest)
    model, optimizer = accelerator.prepare(model, options.make_optimizer(model))

    # where it goes on from
    checkpoints = Checkpoints(folder, options.keep)
    state = (checkpoints.load(model, optimizer) if resume else None) or {"step": 0, "place": [0, 0]}
    if state.get("digest", survey.digest) != survey.digest:
        raise ValueError(f"The rows in {options.rows} are others than those the run began with; begin a new run.")
    plain = {
        name: value if isinstance(value, int | float | str) else json.dumps(value)
        for name, value in options.to_dict().items()
    }
    accelerator.init_trackers("pretraining", plain)
    log = Log(folder, accelerator, state["step"], options.steps)
    for sentence in survey.sentences():
        log.tell(sentence)

    def evaluate(step, num_beams=1):
        whole = full_state(model)
        if accelerator.is_main_process:
            found = evaluation(whole, accelerator.device, num_beams)
            log.write(step, found | {"beams": num_beams})
            log.tell(f"step {step}: " + ", ".join(f"{n} {v:.3f}" for n, v in found.items() if isinstance(v, float)))
        accelerator.wait_for_everyone()

    batches = PlannedBatches(rows, plan, collator, options.hide_words)
    loader = iter(batch_loader(batches, *state["place"], accelerator.process_index, processes, options.workers))
    walk = plan.walk(*state["place"])
    began, heard, rate = time.monotonic(), 0, processor.extractors.get("audio", {}).get("rate", 1.0)
    with Interruption() as interruption:
        for step in range(state["step"] + 1, options.steps + 1):
            dealt = [next(loader) for _ in range(options.batches_per_step // processes)]
            for _ in range(options.batches_per_step):
                epoch, number = next(walk)
            lr = learning_rate(step, options.learning_rate, options.warmup_steps)
            found = train_step(accelerator, model, optimizer, dealt, weights, lr, options.max_grad_norm)
            heard += found["steps"] / rate
            log.bar.update()
            if step % options.log_every == 0 or step == options.steps:
                seconds = time.monotonic() - began
                speed = {"steps_per_second": (step - state["step"]) / seconds, "audio_per_second": heard / seconds}
                log.write(step, found | {"learning_rate": lr, "epoch": epoch} | speed)
                log.show(loss=f"{found['loss']:.3f}", audio=f"{speed['audio_per_second']:.0f} s/s")
            if step % options.evaluate_every == 0 and step < options.steps:
                evaluate(step)
            stop = interruption.seen(accelerator)
            if stop or step % options.save_every == 0 or step == options.steps:
                place = {"step": step, "place": [epoch, number + 1], "digest": survey.digest}
                checkpoints.save(accelerator, model, optimizer, place)
            if stop:
                log.tell(f"Stopped after step {step}, which is saved; go on with --resume.")
                return STOPPED
    evaluate(options.steps, options.num_beams)
    save_model(folder / "model", accelerator, model, processor, tokenizer)
    accelerator.end_training()
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="JSON file of `PretrainingOptions`")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="remove an earlier run in the output folder")
    parser.add_argument("--report-to", help="a tracker of Accelerate, such as tensorboard or wandb")
    for option in fields(PretrainingOptions):
        parser.add_argument(f"--{option.name}", type=as_json, metavar="VALUE", default=argparse.SUPPRESS)
    given = vars(parser.parse_args(argv))
    config, resume, overwrite, report_to = (given.pop(n) for n in ("config", "resume", "overwrite", "report_to"))
    try:
        options = PretrainingOptions.load(config, given)
        if report_to not in (None, *map(str, get_available_trackers())):
            raise ValueError(
                f"The tracker {report_to!r} is not installed, or is none that Accelerate knows; install it."
            )
        precision = "bf16" if options.bf16 else None  # None: what the configuration of Accelerate says
        accelerator = Accelerator(mixed_precision=precision, log_with=report_to, project_dir=options.output_dir)
        with run_folder(options, accelerator, resume, overwrite) as folder:
            return pretrain(options, accelerator, folder, resume)
    except (ValueError, OSError, StrictDataclassError) as error:
        cause = error.__cause__ if isinstance(error, StrictDataclassError) else error
        print(f"pretrain_multitask: {' '.join(str(cause).split())}", file=sys.stderr)
        return 1
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
