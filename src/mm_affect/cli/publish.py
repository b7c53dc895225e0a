# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect card` and `mm-affect reproduce`."""

from dataclasses import replace
from logging import ERROR, getLogger
from pathlib import Path

from ..files import as_json
from .experiments import reproduce_card


def add_card_commands(commands) -> None:
    """Add the commands to the parser of `mm-affect`."""
    card = commands.add_parser("card", help="write card and plots of a run again, from its results.json")
    card.add_argument("folder", type=Path, help="output folder of a run")
    card.add_argument(
        "--hub-dataset",
        metavar="ORG/NAME",
        help="the Hub's data set that the run was tested on; its scores are then reported to it, in .eval_results",
    )
    card.set_defaults(run=write_run_card)

    again = commands.add_parser(
        "reproduce",
        help="train a published card again and compare",
        description="Train again what a card publishes, on its data, and compare every primary metric per seed and over seeds. "
        "The exit code is 1 if one of them is not reproduced.",
    )
    again.add_argument("card", help="folder with a results.json, or the model's name on the Hub")
    again.add_argument("--rows", metavar="FOLDER", help="folder of its rows; default: that of the card's config")
    again.add_argument(
        "--realdata",
        metavar="FOLDER",
        help="of a card that a program in benchmarks/ made, the folder of the real data; default: MM_AFFECT_REALDATA, or "
        "../shared/realdata beside the checkout",
    )
    again.add_argument("--seeds", metavar="'[0, 1]'", help="only these seeds; default: those of the card")
    again.add_argument("--all", action="store_true", help="show every metric, not the primary ones alone")
    again.add_argument(
        "--output", type=Path, metavar="FOLDER", help="keep what is trained there; default: a temporary folder"
    )
    again.set_defaults(run=reproduce_card)


def write_run_card(arguments) -> None:
    """`mm-affect card`."""
    from huggingface_hub.utils import validate_repo_id

    from ..evaluation.results import read_results, write_results
    from ..evaluation.selection import read_best_seed
    from ..training.run import publish

    if arguments.hub_dataset is not None:
        validate_repo_id(arguments.hub_dataset)
        results = read_results(arguments.folder / "results.json")
        corpus = replace(results.corpus, hub_dataset=arguments.hub_dataset)
        write_results(arguments.folder / "results.json", replace(results, corpus=corpus))
    publish(arguments.folder, read_best_seed(arguments.folder))
    print(f"Card: {arguments.folder / 'README.md'}")


def convert_checkpoint(arguments) -> None:
    """`mm-affect convert`."""
    from transformers.utils import logging

    from ..checkpoints.conversion import convert, format_report

    logging.disable_progress_bar()
    for text in arguments.set:
        if not text.partition("=")[0] or "=" not in text:
            raise ValueError(f"--set {text} has no field and value; write FIELD=VALUE, such as num_attention_heads=4.")
    fields = {name: as_json(value) for name, _, value in (text.partition("=") for text in arguments.set)}
    labels = None if arguments.labels is None else [label.strip() for label in arguments.labels.split(",")]
    record = convert(arguments.architecture, arguments.checkpoint, arguments.folder, labels, fields)
    print(format_report(record, arguments.folder))


DIFFERENCE, INT8_DIFFERENCE = 1e-4, 1.0  # of logits, at most


def add_export_commands(commands) -> None:
    """Add the command to the parser of `mm-affect`."""
    export = commands.add_parser(
        "export",
        help="a checkpoint as an ONNX graph, which runs without PyTorch's models",
        description="Write model.onnx, config.json and processor_config.json, and compare the graph's answers with the "
        "model's. examples/onnx_runtime.py shows how to run it.",
    )
    export.add_argument("model", help="folder of a checkpoint, or its name on the Hub")
    export.add_argument("output", type=Path, help="folder to write")
    export.add_argument("--int8", action="store_true", help="weights of 8 bits: smaller and mostly faster, less exact")
    export.add_argument("--overwrite", action="store_true", help="replace what is in the output folder")
    export.set_defaults(run=export_checkpoint)


def export_checkpoint(arguments) -> None:
    """`mm-affect export`."""
    from transformers.utils import logging

    from ..checkpoints.loading import load_checkpoint
    from ..checkpoints.onnx_export import export_onnx, measure_difference

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # it would say which versions it was tried with; the answers are compared below
    getLogger("torch.onnx").setLevel(ERROR)
    model, processor = load_checkpoint(arguments.model)
    folder = export_onnx(model, arguments.output, processor, arguments.int8, arguments.overwrite)
    size = sum(path.stat().st_size for path in folder.glob("model.onnx*"))
    difference = measure_difference(model, folder)
    print(f"Graph: {folder / 'model.onnx'} ({size / 1e6:.1f} MB)")
    print(f"Largest difference from the model, on random input of other lengths: {difference:.1e}")
    if not difference < (INT8_DIFFERENCE if arguments.int8 else DIFFERENCE):
        raise ValueError(f"The graph in {folder} does not answer as the model does ({difference:.1e}); do not use it.")


def add_hub_commands(commands) -> None:
    """Add the command to the parser of `mm-affect`."""
    push = commands.add_parser("push", help="upload a finished run, or rows, to the Hub, in one commit")
    push.add_argument("folder", type=Path, help="output folder of a run, or folder of rows")
    push.add_argument("repo_id", metavar="NAME", help="organization/name; made if it does not exist")
    push.add_argument("--private", action="store_true", help="only you and your organization can read it")
    push.add_argument("--revision", metavar="BRANCH", help="made if it does not exist; default: main")
    push.add_argument("--with-code", action="store_true", help="with the model's code, for those without mm_affect")
    push.set_defaults(run=push_folder)


def push_folder(arguments) -> None:
    """`mm-affect push`; a folder with a corpus.json and no results holds rows."""
    from ..checkpoints.hub import push
    from ..preparation.publishing import push_rows

    folder = arguments.folder
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the output folder of a finished run, or one of rows.")
    if (folder / "corpus.json").is_file() and not (folder / "results.json").is_file():
        if arguments.with_code:
            raise ValueError(f"{folder} holds rows, which have no code; leave --with-code out.")
        visibility = "private" if arguments.private else None  # else as the license of its corpus has it
        print(push_rows(folder, arguments.repo_id, visibility=visibility, revision=arguments.revision))
    else:
        print(push(folder, arguments.repo_id, arguments.private, arguments.revision, arguments.with_code))
