# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Real recordings and features: does it learn, and do raw clips of the world pass through? Skipped where they are absent."""

import importlib
import os
import sys
from pathlib import Path

import pytest
import torch

from mm_affect import AffectProcessor, FusionConfig, FusionForAffect, Task
from mm_affect.data import write_rows
from mm_affect.evaluation.evaluator import list_modality_subsets
from mm_affect.features.faces import FaceDescriptor
from mm_affect.features.log_mel import LogMelExtractor
from mm_affect.features.word_vectors import HashedWordVectors
from mm_affect.inference.pipeline import AffectRecognitionPipeline
from mm_affect.training.config import RunConfig
from mm_affect.training.run import run


ROOT = Path(__file__).resolve().parent.parent
REALDATA = Path(os.environ.get("MM_AFFECT_REALDATA", ROOT.parent / "shared" / "realdata"))
CLIPS = ["grid/bbaf2n.mpg", "grid/id2_vcd_swwp2s.mpg", "grid/lrwp9a.mpg", "grid/sbia1a.mpg", "nasa_13013.mp4"]

pytestmark = pytest.mark.skipif(not REALDATA.is_dir(), reason=f"real data are not at {REALDATA} (MM_AFFECT_REALDATA)")


def test_mosi_features_are_learned(tmp_path, monkeypatch):
    """One seed of the benchmark's recipe, shortened: far above the majority class (0.621), near a linear model (0.757)."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("mosi_bclstm")
    changes = {"rows": str(tmp_path / "rows"), "output": str(tmp_path / "run"), "seeds": [0], "training.epochs": 8}
    config = RunConfig.load(benchmark.CONFIG, changes)
    write_rows(config.rows, *benchmark.prepare_splits())
    results = run(config)
    assert results.corpus.counts["test"] == 752
    assert results.summary["text+audio+visual"]["sentiment.accuracy"].mean > 0.73
    sys.modules.pop("mosi_bclstm")


@pytest.fixture(scope="module")
def recognizer():
    torch.manual_seed(0)
    extractors = {"text": HashedWordVectors(), "audio": LogMelExtractor(), "visual": FaceDescriptor()}
    processor = AffectProcessor.from_extractors(extractors)
    tasks = [Task("emotion", labels=("happy", "sad"), threshold=0.5), Task("sentiment", "regression")]
    sizes = {"text": 16, "audio": 16, "visual": 16}
    config = FusionConfig(feature_sizes=processor.feature_sizes, tasks=tasks, early_size=16, late_sizes=sizes)
    return AffectRecognitionPipeline(model=FusionForAffect(config).eval(), processor=processor)


@pytest.mark.parametrize("clip", CLIPS)
def test_raw_clips_with_and_without_each_modality(clip, recognizer):
    source = {"video": str(REALDATA / "av" / clip), "text": "set blue in a one again"}
    answers = {}
    for subset in list_modality_subsets(("text", "audio", "visual")):
        if subset == ("visual",) and clip == "nasa_13013.mp4":
            with pytest.raises(ValueError, match="no face"):
                recognizer(source, modalities=list(subset))
            continue
        found = recognizer(source, modalities=list(subset))
        assert all(found["steps"][m] == 0 for m in {"text", "audio", "visual"} - set(subset))
        answers[subset] = found["tasks"]["sentiment"]["value"]
    seen = len(set(answers.values()))
    assert seen == (7 if "grid" in clip else 3)  # every modality that is there matters, and no other does


def test_faces_are_found_in_talking_heads_and_not_in_a_picture_without_one(recognizer):
    steps = {clip: recognizer({"video": str(REALDATA / "av" / clip)})["steps"] for clip in CLIPS}
    assert all(steps[clip]["visual"] == 30 for clip in CLIPS[:4])
    assert steps["nasa_13013.mp4"]["visual"] == 0


def test_a_time_line_covers_the_clip(recognizer):
    timeline = recognizer(str(REALDATA / "av" / "nasa_13013.mp4"), window=4.0)["timeline"]
    assert [window["start"] for window in timeline] == [0.0, 4.0, 8.0, 12.0]
    assert timeline[-1]["end"] == pytest.approx(13.05, abs=0.3)
