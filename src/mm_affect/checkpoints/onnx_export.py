# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A trained model as an ONNX graph, which runs without PyTorch: `export_onnx("runs/x", "exported")`.

Tracing, naming and saving are those of `transformers.exporters`. Ours are the inputs, whose number of rows and lengths stay
free, what is answered, and LSTMs and GRUs, which it would unroll to the length of the sample: here they are one node each.
What a model does differently while it is exported is in its own file, behind `exporting()`.
"""

import copy
import io
import tempfile
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.rows import put_in_place
from ..models.modeling import AffectPreTrainedModel


SAMPLE_ROWS = 3
SAMPLE_LENGTHS = {"text": 5, "audio": 7, "visual": 6}  # no two alike, and none stays in the graph
GRAPH = {"model.onnx", "model.onnx.data", "config.json", "export.json"}  # an export without its processor
QUANTIZED = ["MatMul", "Gemm", "LSTM"]  # what has nearly all weights
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # where ONNX's gates are among PyTorch's


class OnnxRecurrence(nn.Module):
    """What stands in for an `nn.LSTM` or `nn.GRU`: one node of ONNX per layer, from zeros. It gives no last states."""

    def __init__(self, given: nn.LSTM | nn.GRU):
        super().__init__()
        self.kind, self.batch_first, self.layers = given.mode, given.batch_first, range(given.num_layers)
        self.directions, self.hidden_size = 1 + given.bidirectional, given.hidden_size
        for layer in self.layers:
            weight, recurrent, *biases = (
                torch.stack(
                    [reorder_gates(getattr(given, name + ending), given.mode) for ending in self.endings(layer)]
                )
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            for name, value in {"weight": weight, "recurrent": recurrent, "bias": torch.cat(biases, dim=1)}.items():
                self.register_buffer(f"{name}{layer}", value.detach())

    def endings(self, layer: int) -> list[str]:
        """Of the names of a layer's weights, for each direction."""
        return [f"_l{layer}{direction}" for direction in ("", "_reverse")[: self.directions]]

    def forward(self, values):
        direction = ("forward", "bidirectional")[self.directions - 1]
        attributes: dict[str, Any] = {"hidden_size": self.hidden_size, "direction": direction}
        if self.kind == "GRU":
            attributes["linear_before_reset"] = 1  # as in PyTorch
        values = values.transpose(0, 1) if self.batch_first else values
        for layer in self.layers:
            given = (values, *(getattr(self, f"{name}{layer}") for name in ("weight", "recurrent", "bias")))
            shape = (values.shape[0], self.directions, values.shape[1], self.hidden_size)
            values = torch.onnx.ops.symbolic(self.kind, given, attributes, dtype=values.dtype, shape=shape)
            values = values.transpose(1, 2).flatten(2)
        return values.transpose(0, 1) if self.batch_first else values, None


def reorder_gates(weight: torch.Tensor, kind: str) -> torch.Tensor:
    """The gates in the order of ONNX."""
    parts = weight.chunk(len(GATES[kind]))
    return torch.cat([parts[gate] for gate in GATES[kind]])


class OnnxOutputs(nn.Module):
    """What the graph answers: the logits of every task and the fusion view."""

    def __init__(self, model: AffectPreTrainedModel):
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, **inputs):
        output = self.model(**inputs)
        return {"logits": output.logits, "pooler_output": output.pooler_output}


def export_onnx(
    model: AffectPreTrainedModel, folder: str | Path, processor=None, int8: bool = False, overwrite: bool = False
) -> Path:
    """Write `model.onnx`, its weights `model.onnx.data`, `config.json` and, if given, the processor to a new folder.

    The graph takes `<modality>` `(batch, length, size)` and `<modality>_mask` `(batch, length)` of every modality of the
    model, or `input_ids` and `attention_mask` of a text encoder, all of them each time: a modality that is missing is one
    masked step. Rows and lengths are free, and each modality has its own. It gives `logits.<task>` of every task, and
    `pooler_output`.

    Args:
        model: a trained model.
        folder: where to; it is written as a whole or not at all.
        processor: the model's `AffectProcessor`.
        int8: whether weights of matrix products become whole numbers of 8 bits; activations do when the graph runs.
        overwrite: whether a folder that is there is replaced.

    Raises:
        FileExistsError: `folder` is there, or holds more than an export, and would not be replaced either.
        ImportError: the extra `[onnx]` is not installed.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise FileExistsError(
            f"{folder} already exists; replace it (`--overwrite`, in Python `overwrite=True`), or choose another folder."
        )
    if folder.exists() and not (folder / "model.onnx").is_file():
        raise FileExistsError(f"{folder} holds something else than a graph and is left alone; give another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        written = Path(place) / "written"
        written.mkdir()
        if processor is not None:
            processor.save_pretrained(written)
        others = {path.name for path in folder.glob("*")} - {path.name for path in written.iterdir()} - GRAPH
        if others:
            raise FileExistsError(f"{folder} holds something else ({min(others)}), too; give another folder.")
        trace(model, int8).save_pretrained(written)
        put_in_place(written, folder)
    return folder


def trace(model: AffectPreTrainedModel, int8: bool):
    """The graph of a model, a `transformers.exporters.base.ExportedModel`."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise ImportError(f"An export needs {package}, which is not installed: pip install 'mm_affect[onnx]'.")
    from transformers.exporters import OnnxConfig, OnnxExporter, OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    inputs, shapes = make_sample_inputs(model.config)
    quantizer = OnnxRuntimeQuantizer(OnnxRuntimeDynamicConfig(op_types_to_quantize=QUANTIZED)) if int8 else None
    config = OnnxConfig(dynamic_shapes=shapes, quantizer=quantizer)
    traceable = OnnxOutputs(copy.deepcopy(model).cpu().float()).eval()  # any module with a config will do
    for name, module in list(traceable.named_modules()):
        if type(module) in (nn.LSTM, nn.GRU):
            traceable.set_submodule(name, OnnxRecurrence(module))
    with redirect_stdout(io.StringIO()):  # torch.onnx tells there how far it is
        return OnnxExporter().export(traceable, dict(inputs), config)  # type: ignore[arg-type]


def make_sample_inputs(config) -> tuple[dict[str, torch.Tensor], dict[str, dict]]:
    """Inputs to trace a model with, and which of their sides are free: rows and lengths, as far as the model allows."""
    inputs: dict[str, torch.Tensor] = {}
    for m in config.modalities:
        inputs |= make_modality_inputs(config, m, torch.ones(SAMPLE_ROWS, SAMPLE_LENGTHS[m], dtype=torch.bool))
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    return inputs, dict.fromkeys(inputs, free)


def make_modality_inputs(config, modality: str, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Random values of a modality, or tokens, as the model takes them, with their mask `(batch, length)`."""
    if modality == "text" and config.text_config is not None:
        tokens = torch.randint(config.text_config.vocab_size, mask.shape)
        return {"input_ids": tokens, "attention_mask": mask.long()}
    return {modality: torch.randn(*mask.shape, config.feature_sizes[modality]), f"{modality}_mask": mask}


def measure_difference(model: AffectPreTrainedModel, folder: str | Path) -> float:
    """Between the answers of a model and of its graph in `folder`, to random rows of a number and a length that it was not
    traced with: padded on either side, with masked steps inside, and one with the first modality alone."""
    from onnxruntime import InferenceSession

    mask = torch.rand(5, 17) > 0.2
    mask[:, [4, 12]], mask[1, :4], mask[2, 13:] = True, False, False
    inputs: dict[str, torch.Tensor] = {}
    for m in model.config.modalities:
        inputs |= make_modality_inputs(model.config, m, mask)
        mask = mask.index_fill(0, torch.tensor(4), False)
    session = InferenceSession(str(Path(folder) / "model.onnx"))
    found = session.run(None, {given.name: inputs[given.name].numpy() for given in session.get_inputs()})
    with torch.inference_mode():
        expected = copy.deepcopy(model).cpu().float().eval()(**inputs)
    answers = {f"logits.{task}": logits for task, logits in expected.logits.items()}
    answers["pooler_output"] = expected.pooler_output
    pairs = zip(session.get_outputs(), found, strict=True)
    return float(np.max([np.abs(value - answers[output.name].numpy()).max() for output, value in pairs]))
