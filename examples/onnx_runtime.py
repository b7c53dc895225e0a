# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predict a clip with ONNX Runtime, without building the PyTorch model or reading its checkpoint.

    mm-affect export --model demo_output/run --output exported [--int8]
    python examples/onnx_runtime.py exported clip.mp4 --transcript "what a lovely day"

The processor beside the graph reads the clip, as in training. It returns PyTorch tensors, so this example needs the package;
to run the graph alone, pass it arrays: float32 `<modality>` `(batch, length, size)` and bool `<modality>_mask`.
"""

import argparse
import sys
from pathlib import Path

import onnxruntime
from transformers import AutoConfig, AutoProcessor

import mm_affect  # noqa: F401  registers configurations and the processor


def predict(folder: str | Path, row: dict) -> dict[str, dict[str, float]]:
    """Return the scores of every task for a raw row such as `{"video_file": "clip.mp4", "transcript": "..."}`."""
    config, processor = AutoConfig.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    session = onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"))
    batch = processor([row])
    inputs = {node.name: batch[node.name].numpy() for node in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs)))
    answers = {}
    for task in config.tasks:
        scores = task.scores(outputs[f"logits.{task.name}"])[0]
        regression = task.problem_type == "regression"
        answers[task.name] = {"value": float(scores)} if regression else dict(zip(task.labels, map(float, scores)))
    return answers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder that `mm-affect export` wrote")
    parser.add_argument("clip", help="an audio or video file")
    parser.add_argument("--transcript", help="the words spoken in the clip")
    options = parser.parse_args()
    try:
        answers = predict(options.folder, {"video_file": options.clip, "transcript": options.transcript})
    except (ValueError, OSError, ImportError) as error:
        print(f"onnx_runtime: {error}", file=sys.stderr)
        return 1
    for task, scores in answers.items():
        ranked = sorted(scores.items(), key=lambda item: -item[1])
        print(f"{task:12} " + "  ".join(f"{label} {score:.2f}" for label, score in ranked))
    return 0


if __name__ == "__main__":
    sys.exit(main())
