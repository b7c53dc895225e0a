# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect env`."""

import argparse
from importlib.util import find_spec


EXTRAS = {
    "audio": ("soundfile", "soxr", "av"),
    "video": ("av", "cv2"),
    "metrics": ("evaluate", "sklearn"),
    "plots": ("matplotlib",),
    "data": ("h5py",),
    "demo": ("gradio", "av", "cv2"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "ray": ("ray",),
}


def add_env_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Set what `mm-affect env` calls; it has no arguments."""
    parser.set_defaults(run=print_environment)


def print_environment(arguments: argparse.Namespace) -> None:
    """Print versions, the device, and which extras can be imported."""
    from ..evaluation.results import Environment

    environment = Environment.current()
    for name, version in environment.versions.items():
        print(f"{name:18} {version}")
    print(f"{'device':18} {environment.device}")
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        state = "works" if not missing else f"lacks {', '.join(missing)}: pip install 'mm_affect[{extra}]'"
        print(f"[{extra}]".ljust(18), state)
