# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect export`."""

from logging import ERROR, getLogger
from pathlib import Path


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

    from .checkpoint import load_checkpoint
    from .exporting import export_onnx, largest_difference

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # it would say which versions it was tried with; the answers are compared below
    getLogger("torch.onnx").setLevel(ERROR)
    model, processor = load_checkpoint(arguments.model)
    folder = export_onnx(model, arguments.output, processor, arguments.int8, arguments.overwrite)
    size = sum(path.stat().st_size for path in folder.glob("model.onnx*"))
    difference = largest_difference(model, folder)
    print(f"Graph: {folder / 'model.onnx'} ({size / 1e6:.1f} MB)")
    print(f"Largest difference from the model, on random input of other lengths: {difference:.1e}")
    if not difference < (INT8_DIFFERENCE if arguments.int8 else DIFFERENCE):
        raise ValueError(f"The graph in {folder} does not answer as the model does ({difference:.1e}); do not use it.")
