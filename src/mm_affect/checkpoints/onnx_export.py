# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Export of a trained model as an ONNX graph that runs without PyTorch.

`transformers.exporters` traces, names and saves the graph. This module defines the inputs, with a dynamic batch size and dynamic
lengths, and the outputs, and replaces LSTMs and GRUs, which tracing would unroll to the length of the sample, by one node each.
Code of a model that differs during the export is in the file of the model, guarded by `exporting()`.
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
SAMPLE_LENGTHS = {"text": 5, "audio": 7, "visual": 6}  # all different; none is fixed in the graph
GRAPH = {"model.onnx", "model.onnx.data", "config.json", "export.json"}  # files of an export without processor
QUANTIZED = ["MatMul", "Gemm", "LSTM"]  # operators with nearly all weights
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # positions of the gates of ONNX in PyTorch


class OnnxRecurrence(nn.Module):
    """Replacement of an `nn.LSTM` or `nn.GRU` by one ONNX node per layer, with zero initial states; returns no final states."""

    def __init__(self, module: nn.LSTM | nn.GRU):
        super().__init__()
        self.kind, self.batch_first, self.layers = module.mode, module.batch_first, range(module.num_layers)
        self.directions, self.hidden_size = 1 + module.bidirectional, module.hidden_size
        for layer in self.layers:
            weight, recurrent, *biases = (
                torch.stack(
                    [reorder_gates(getattr(module, name + ending), module.mode) for ending in self.endings(layer)]
                )
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            for name, value in {"weight": weight, "recurrent": recurrent, "bias": torch.cat(biases, dim=1)}.items():
                self.register_buffer(f"{name}{layer}", value.detach())

    def endings(self, layer: int) -> list[str]:
        """Return the endings of the weight names of a layer, one per direction."""
        return [f"_l{layer}{direction}" for direction in ("", "_reverse")[: self.directions]]

    def forward(self, values):
        """Return the outputs of every step as one operator of ONNX per layer, and None for the states."""
        direction = ("forward", "bidirectional")[self.directions - 1]
        attributes: dict[str, Any] = {"hidden_size": self.hidden_size, "direction": direction}
        if self.kind == "GRU":
            attributes["linear_before_reset"] = 1  # as in PyTorch
        values = values.transpose(0, 1) if self.batch_first else values
        for layer in self.layers:
            inputs = (values, *(getattr(self, f"{name}{layer}") for name in ("weight", "recurrent", "bias")))
            shape = (values.shape[0], self.directions, values.shape[1], self.hidden_size)
            values = torch.onnx.ops.symbolic(self.kind, inputs, attributes, dtype=values.dtype, shape=shape)
            values = values.transpose(1, 2).flatten(2)
        return values.transpose(0, 1) if self.batch_first else values, None


def reorder_gates(weight: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the gates in the order of ONNX."""
    parts = weight.chunk(len(GATES[kind]))
    return torch.cat([parts[gate] for gate in GATES[kind]])


class OnnxOutputs(nn.Module):
    """Wrapper with the outputs of the graph: the logits of every task and the fusion view."""

    def __init__(self, model: AffectPreTrainedModel):
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, **inputs):
        """Return the logits by task and the fusion view."""
        output = self.model(**inputs)
        return {"logits": output.logits, "pooler_output": output.pooler_output}


def export_onnx(
    model: AffectPreTrainedModel, folder: str | Path, processor=None, int8: bool = False, overwrite: bool = False
) -> Path:
    """Export a model to a new folder: `model.onnx`, its weights `model.onnx.data`, `config.json` and the processor, if given.

    Inputs of the graph are `<modality>` `(batch, length, size)` and `<modality>_mask` `(batch, length)` for every modality of
    the model, or `input_ids` and `attention_mask` for a text encoder. All are required; a missing modality is one masked step.
    Batch size and lengths are dynamic, and every modality has its own length. Outputs are `logits.<task>` of every task and
    `pooler_output`.

    Args:
        model: a trained model.
        folder: output folder; written atomically.
        processor: `AffectProcessor` of the model.
        int8: quantize the weights of matrix products to 8 bits; activations are quantized at run time.
        overwrite: replace an existing export.

    Returns:
        The folder.

    Raises:
        FileExistsError: `folder` exists and `overwrite` is False, or it holds other files than an export.
        ImportError: the extra `[onnx]` is not installed.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise FileExistsError(
            f"{folder} already exists; replace it (`--overwrite`, in Python `overwrite=True`), or choose another folder."
        )
    if folder.exists() and not (folder / "model.onnx").is_file():
        raise FileExistsError(
            f"{folder} exists and is not an export, so it is not overwritten; choose another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        written = Path(place) / "written"
        written.mkdir()
        if processor is not None:
            processor.save_pretrained(written)
        others = {path.name for path in folder.glob("*")} - {path.name for path in written.iterdir()} - GRAPH
        if others:
            raise FileExistsError(
                f"{folder} also holds other files ({min(others)}), so it is not overwritten; choose another folder."
            )
        trace(model, int8).save_pretrained(written)
        put_in_place(written, folder)
    return folder


def trace(model: AffectPreTrainedModel, int8: bool):
    """Trace a model and return its graph, a `transformers.exporters.base.ExportedModel`.

    Raises:
        ImportError: the extra `[onnx]` is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise ImportError(f"The export needs {package}, which is not installed: pip install 'mm_affect[onnx]'.")
    from transformers.exporters import OnnxConfig, OnnxExporter, OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    inputs, shapes = make_sample_inputs(model.config)
    quantizer = OnnxRuntimeQuantizer(OnnxRuntimeDynamicConfig(op_types_to_quantize=QUANTIZED)) if int8 else None
    config = OnnxConfig(dynamic_shapes=shapes, quantizer=quantizer)
    traceable = OnnxOutputs(copy.deepcopy(model).cpu().float()).eval()  # the exporter accepts any module with a config
    for name, module in list(traceable.named_modules()):
        if type(module) in (nn.LSTM, nn.GRU):
            traceable.set_submodule(name, OnnxRecurrence(module))
    with redirect_stdout(io.StringIO()):  # torch.onnx prints its progress
        return OnnxExporter().export(traceable, dict(inputs), config)  # type: ignore[arg-type]


def make_sample_inputs(config) -> tuple[dict[str, torch.Tensor], dict[str, dict]]:
    """Return inputs to trace a model with, and their dynamic dimensions (batch and length)."""
    inputs: dict[str, torch.Tensor] = {}
    for m in config.modalities:
        inputs |= make_modality_inputs(config, m, torch.ones(SAMPLE_ROWS, SAMPLE_LENGTHS[m], dtype=torch.bool))
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    return inputs, dict.fromkeys(inputs, dynamic)


def make_modality_inputs(config, modality: str, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return random features of a modality, or tokens, under their argument names, with the mask `(batch, length)`."""
    if modality == "text" and config.text_config is not None:
        tokens = torch.randint(config.text_config.vocab_size, mask.shape)
        return {"input_ids": tokens, "attention_mask": mask.long()}
    return {modality: torch.randn(*mask.shape, config.feature_sizes[modality]), f"{modality}_mask": mask}


def measure_difference(model: AffectPreTrainedModel, folder: str | Path) -> float:
    """Return the maximum absolute difference between the outputs of a model and of its graph in `folder`.

    Inputs are random, with another batch size and length than the graph was traced with: rows padded on either side, rows with
    masked steps inside, and one row with only the first modality.
    """
    from onnxruntime import InferenceSession

    mask = torch.rand(5, 17) > 0.2
    mask[:, [4, 12]], mask[1, :4], mask[2, 13:] = True, False, False
    inputs: dict[str, torch.Tensor] = {}
    for m in model.config.modalities:
        inputs |= make_modality_inputs(model.config, m, mask)
        mask = mask.index_fill(0, torch.tensor(4), False)
    session = InferenceSession(str(Path(folder) / "model.onnx"))
    computed = session.run(None, {entry.name: inputs[entry.name].numpy() for entry in session.get_inputs()})
    with torch.inference_mode():
        expected = copy.deepcopy(model).cpu().float().eval()(**inputs)
    outputs = {f"logits.{task}": logits for task, logits in expected.logits.items()}
    outputs["pooler_output"] = expected.pooler_output
    pairs = zip(session.get_outputs(), computed, strict=True)
    return float(np.max([np.abs(value - outputs[output.name].numpy()).max() for output, value in pairs]))
