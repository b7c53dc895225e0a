# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect card`, `push`, `export` and `convert`: commands that write checkpoints and cards for others."""

import argparse
from dataclasses import replace
from pathlib import Path

from ..files import as_json
from .console import disable_library_progress
from .options import add_model_option, add_output_option, add_overwrite_option


MAX_DIFFERENCE, MAX_INT8_DIFFERENCE = 1e-4, 1.0  # between the logits of a graph and of its model


# card -------------------------------------------------------------------------------------------------------------


def add_card_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect card`."""
    parser.add_argument("folder", type=Path, help="output folder of a run")
    parser.add_argument(
        "--hub-dataset",
        metavar="ORG/NAME",
        help="the Hub dataset that contains the test split; scores are then reported to it, in .eval_results",
    )
    parser.set_defaults(run=write_run_card)


def write_run_card(arguments: argparse.Namespace) -> None:
    """Write the card and the plots of a run."""
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


# push -------------------------------------------------------------------------------------------------------------


def add_push_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect push`."""
    parser.add_argument("folder", type=Path, help="output folder of a run, or folder of rows")
    parser.add_argument("repo_id", metavar="ORG/NAME", help="repository; created if it does not exist")
    parser.add_argument("--private", action="store_true", help="only you and your organization can read it")
    parser.add_argument("--revision", metavar="BRANCH", help="created if it does not exist; default: main")
    parser.add_argument("--with-code", action="store_true", help="add the model's code, for users without mm_affect")
    parser.set_defaults(run=push_folder)


def push_folder(arguments: argparse.Namespace) -> None:
    """Upload a run, or rows: a folder with a corpus.json and no results."""
    from ..checkpoints.hub import push
    from ..preparation.publishing import push_rows

    folder = arguments.folder
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; give the output folder of a finished run, or one of rows.")
    if (folder / "corpus.json").is_file() and not (folder / "results.json").is_file():
        if arguments.with_code:
            raise ValueError(f"{folder} holds rows, which have no code; leave --with-code out.")
        visibility = "private" if arguments.private else None  # None: as the license of the corpus requires
        print(push_rows(folder, arguments.repo_id, visibility=visibility, revision=arguments.revision))
    else:
        print(push(folder, arguments.repo_id, arguments.private, arguments.revision, arguments.with_code))


# export -----------------------------------------------------------------------------------------------------------


def add_export_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect export`."""
    parser.description = (
        "Write model.onnx, config.json and processor_config.json, and compare the output of the graph with that of the model. "
        "examples/onnx_runtime.py shows how to run it."
    )
    add_model_option(parser)
    add_output_option(parser, help="folder to write")
    add_overwrite_option(parser)
    parser.add_argument("--int8", action="store_true", help="8-bit weights: smaller and mostly faster, less exact")
    parser.set_defaults(run=export_checkpoint)


def export_checkpoint(arguments: argparse.Namespace) -> None:
    """Export a checkpoint as an ONNX graph and compare it with the model."""
    from logging import ERROR, getLogger

    from transformers.utils import logging

    from ..checkpoints.loading import load_checkpoint
    from ..checkpoints.onnx_export import export_onnx, measure_difference

    disable_library_progress()
    logging.set_verbosity_error()  # the exporter warns about untested versions; the outputs are compared below
    getLogger("torch.onnx").setLevel(ERROR)
    model, processor = load_checkpoint(arguments.model)
    folder = export_onnx(model, arguments.output, processor, arguments.int8, arguments.overwrite)
    size = sum(path.stat().st_size for path in folder.glob("model.onnx*"))
    difference = measure_difference(model, folder)
    print(f"Graph: {folder / 'model.onnx'} ({size / 1e6:.1f} MB)")
    print(f"Largest difference from the model, on random input of other lengths: {difference:.1e}")
    if not difference < (MAX_INT8_DIFFERENCE if arguments.int8 else MAX_DIFFERENCE):
        raise ValueError(
            f"The graph in {folder} does not compute what the model does ({difference:.1e}); do not use it."
        )


# convert ----------------------------------------------------------------------------------------------------------


def add_convert_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect convert`."""
    parser.add_argument("architecture", help="public code that saved it: tailor, spt, sugrm, mult, lmr_cbt, emo_emb")
    parser.add_argument("checkpoint", type=Path, help="its state dict: safetensors, or as torch.save writes it")
    add_output_option(parser, help="folder to write: model and processor")
    parser.add_argument("--labels", metavar="A,B,...", help="its labels in order; default: those of the authors")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=VALUE",
        help="fields of the config that cannot be read from the weights, such as num_attention_heads=4",
    )
    parser.set_defaults(run=convert_checkpoint)


def convert_checkpoint(arguments: argparse.Namespace) -> None:
    """Convert a checkpoint of the authors' public code."""
    from ..checkpoints.conversion import convert, format_report

    disable_library_progress()
    for text in arguments.set:
        if not text.partition("=")[0] or "=" not in text:
            raise ValueError(f"--set {text} has no field and value; write FIELD=VALUE, such as num_attention_heads=4.")
    fields = {name: as_json(value) for name, _, value in (text.partition("=") for text in arguments.set)}
    labels = None if arguments.labels is None else [label.strip() for label in arguments.labels.split(",")]
    record = convert(arguments.architecture, arguments.checkpoint, arguments.output, labels, fields)
    print(format_report(record, arguments.output))
