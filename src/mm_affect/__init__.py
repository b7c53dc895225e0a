# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""mm_affect: recognising human affect from text, audio and video.

Importing it registers every architecture, the processor and the pipeline with transformers, so that `AutoModel`,
`AutoProcessor` and `pipeline("affect-recognition")` know them.
"""

from transformers import AutoProcessor

from .models.configuration import MODALITIES, AffectConfig, Task
from .models.fusion import FusionConfig, FusionForAffect
from .models.modeling import AffectOutput, AffectPreTrainedModel
from .models.processing import AffectCollator, AffectProcessor
from .models.tailor import TailorConfig, TailorForAffect
from .pipelines import AffectRecognitionPipeline


__version__ = "0.1.0"

__all__ = [
    "MODALITIES",
    "AffectCollator",
    "AffectConfig",
    "AffectOutput",
    "AffectPreTrainedModel",
    "AffectProcessor",
    "AffectRecognitionPipeline",
    "FusionConfig",
    "FusionForAffect",
    "TailorConfig",
    "TailorForAffect",
    "Task",
]

for config in (FusionConfig, TailorConfig):
    AutoProcessor.register(config, AffectProcessor)
