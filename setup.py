# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Installation: `pip install .`, with extras for media, metrics, plots and legacy data files."""

import re
from pathlib import Path

from setuptools import find_packages, setup


HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "src/mm_affect/version.py").read_text()).group(1)

EXTRAS = {
    "audio": ["soundfile>=0.13", "soxr>=1.0", "av>=18"],
    "video": ["av>=18", "opencv-python-headless>=4.14,<5"],  # OpenCV 5 no longer brings the face cascades
    "metrics": ["evaluate==0.4.6", "scikit-learn>=1.7"],
    "plots": ["matplotlib>=3.10"],
    "data": ["h5py>=3.14"],
    "onnx": ["torch>=2.11", "onnx>=1.23", "onnxscript>=0.7.2", "onnxruntime>=1.31"],
    "ray": ["ray>=2.60"],
    "test": [
        "pytest>=9",
        "pytest-xdist>=3.8",
        "kaldi-native-fbank>=1.22",
        "ruff>=0.14",
        "mypy>=2.4",
        "parameterized>=0.9",
        "playwright>=1.65",
        "setuptools>=77",
    ],
}
EXTRAS["demo"] = sorted({"gradio>=6.31,<7"} | {name for extra in ("audio", "video") for name in EXTRAS[extra]})
EXTRAS["all"] = sorted({name for extra in ("audio", "video", "metrics", "plots", "data") for name in EXTRAS[extra]})

setup(
    name="mm_affect",
    version=VERSION,
    description="Emotion, sentiment and sarcasm from text, audio and video: models, corpora and honest measurement",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={"mm_affect": ["templates/*.md", "data/corpora/folds/*.json", "inference/demo/*.css", "py.typed"]},
    install_requires=[
        "torch>=2.6",
        "transformers>=5.23,<5.24",
        "datasets>=5.2,<6",
        "accelerate>=1.12,<2",
        "safetensors>=0.8",
        "huggingface-hub>=2.0,<3",
        "numpy>=2.0,<3",
        "pyarrow>=26",
        "scipy>=1.13",
        "jinja2>=3.1",
        "filelock>=3.12",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mm-affect = mm_affect.cli.main:main"]},
)
