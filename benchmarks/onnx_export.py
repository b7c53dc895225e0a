# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Accuracy, size and speed of every architecture as an ONNX graph.

    python benchmarks/onnx_export.py [--architectures mfn tailor] [--int8] [--rounds 5]

Models have the settings of their paper and random weights. For each, the program prints: seconds of the export; the largest difference from the
model, for batch sizes and lengths that differ from the traced ones; the size of graph and weights, and of the model's weights; and the speedup of
ONNX Runtime over the model on one thread, for one row and for 32 rows of 50 steps of each modality without padding.

Expected: differences below 1e-5 without --int8.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime
import torch
from transformers import AutoModel

import mm_affect
from mm_affect.checkpoints.onnx_export import export_onnx, measure_difference


STEPS = 50
MODELS = {
    "avg": lambda: mm_affect.FusionConfig(encoder="avg"),
    "lstm": lambda: mm_affect.FusionConfig(encoder="lstm"),
    "trans": lambda: mm_affect.FusionConfig(encoder="trans"),
    "tailor": mm_affect.TailorConfig,
    "tailor-ctc": lambda: mm_affect.TailorConfig(aligner="ctc"),
    "sugrm": lambda: mm_affect.SUGRMConfig(unimodal=[]),
    "spt": mm_affect.SPTConfig,
    "lmr_cbt": mm_affect.LMRCBTConfig,
    "mult": mm_affect.MulTConfig,
    "mfn": mm_affect.MFNConfig,
    "emo_emb": lambda: mm_affect.EmoEmbConfig(label_vectors="hashed"),
    "joint_embeddings": lambda: mm_affect.JointEmbeddingsConfig(feature_sizes={"visual": 35}),
    "bigru": lambda: mm_affect.BiGRUConfig(feature_sizes={"visual": 35}),
}


def measure_speedup(model, session, batch: int, rounds: int) -> float:
    """Return the speedup of the graph over the model: the ratio of median CPU times, measured alternately."""
    inputs = {}
    for m in model.config.modalities:
        inputs[m] = torch.randn(batch, STEPS, model.config.feature_sizes[m])
        inputs[f"{m}_mask"] = torch.ones(batch, STEPS, dtype=torch.bool)
    feeds = {part.name: inputs[part.name].numpy() for part in session.get_inputs()}
    taken = [], []
    for turn in range(rounds + 1):
        begin = time.process_time()
        with torch.inference_mode():
            model(**inputs)
        between = time.process_time()
        session.run(None, feeds)
        if turn:  # the first round is a warm-up
            taken[0].append(between - begin)
            taken[1].append(time.process_time() - between)
    return statistics.median(taken[0]) / statistics.median(taken[1])


def main() -> int:
    """Export and measure every architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = 1
    print("architecture      export s  difference  graph MB  model MB  1 row  32 rows")
    for name in options.architectures:
        torch.manual_seed(0)
        model = AutoModel.from_config(MODELS[name]()).eval()
        with tempfile.TemporaryDirectory() as place:
            begin = time.process_time()
            folder = export_onnx(model, Path(place) / name, int8=options.int8)
            taken = time.process_time() - begin
            difference = measure_difference(model, folder)
            size = sum(path.stat().st_size for path in folder.glob("model.onnx*")) / 1e6
            own = sum(weight.numel() * weight.element_size() for weight in model.state_dict().values()) / 1e6
            session = onnxruntime.InferenceSession(folder / "model.onnx", threads)
            one, many = (measure_speedup(model, session, batch, options.rounds) for batch in (1, 32))
        print(
            f"{name:17} {taken:8.1f}  {difference:10.1e}  {size:8.1f}  {own:8.1f}  {one:4.1f}x  {many:6.1f}x",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
