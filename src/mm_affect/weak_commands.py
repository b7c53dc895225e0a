# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect weak-labels`."""

import argparse
import sys
from pathlib import Path


def add_weak_commands(commands) -> None:
    """Add the command to the parser of `mm-affect`."""
    weak = commands.add_parser("weak-labels", help="add what a model predicts to rows, as a label column")
    weak.add_argument("--model", type=Path, required=True, help="folder of the checkpoint that predicts")
    weak.add_argument("--rows", type=Path, required=True, help="folder of rows to be labelled; it stays as it is")
    weak.add_argument("--output", type=Path, required=True, help="folder of rows to write")
    weak.add_argument("--task", help="of the model; default: its only one")
    weak.add_argument("--name", help="of the new label column; default: that of the task")
    weak.add_argument("--soft", action="store_true", help="probabilities instead of decisions")
    weak.add_argument(
        "--threshold",
        type=numbers,
        metavar="P[,P,...]",
        help="probability above which a label is present, one for all or one per label; default: the model's",
    )
    weak.add_argument(
        "--least-confidence", type=float, default=0.0, metavar="P", help="less certain decisions become unknown labels"
    )
    weak.add_argument("--confidence", type=float, metavar="C", help="of the model, where no results.json tells it")
    weak.add_argument("--modalities", nargs="+", metavar="M", help="look only at these: text, audio, visual")
    weak.add_argument("--overwrite", action="store_true", help="replace earlier rows in the output folder")
    weak.set_defaults(run=label_rows)


def numbers(text: str) -> float | list[float]:
    """One number, or several with commas between them."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, nor numbers with commas between them") from None
    return found[0] if len(found) == 1 else found


def label_rows(arguments) -> None:
    """`mm-affect weak-labels`."""
    from .checkpoint import load_checkpoint
    from .data.schema import weak_in_words
    from .row_pass import corpus_of
    from .weak_labels import Labeller, add_weak_labels, chosen_task, readable_modalities, source_of

    corpus = corpus_of(arguments.rows)
    model, processor = load_checkpoint(str(arguments.model))
    task = chosen_task(model.config.tasks, arguments.task, arguments.threshold)
    if arguments.soft and arguments.threshold is not None:
        raise ValueError("Soft labels are probabilities, which have no threshold; leave --soft or --threshold out.")
    labeller = Labeller(
        model,
        processor,
        task,
        readable_modalities(processor, corpus, arguments.modalities),
        arguments.soft,
        arguments.least_confidence,
    )
    source = source_of(arguments.model, task, arguments.confidence)
    field = labeller.field(arguments.name or task.name, source)

    def progress(done, total):
        print(f"\rweak labels: {done} of {total} shards", end="\n" if done == total else "", file=sys.stderr)

    record = add_weak_labels(labeller, field, arguments.rows, arguments.output, arguments.overwrite, progress)
    unknown = record["reported"].get(f"unknown_{field['name']}", 0)
    print(f"Rows: {arguments.output} ({sum(record['counts'].values())}, {unknown} of them without a label)")
    print(f"{field['name']}: {weak_in_words(field)}")
