# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""mm_affect: recognising human affect from text, audio and video.

Importing it registers every architecture, the processor and the pipeline with transformers, so that `AutoModel`,
`AutoProcessor` and `pipeline("affect-recognition")` know them.
"""

from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer

from .models.bigru import BiGRUConfig, BiGRUForAffect
from .models.characters import TranscriptTokenizer
from .models.configuration import MODALITIES, AffectConfig, Task
from .models.emo_emb import EmoEmbConfig, EmoEmbForAffect
from .models.fusion import FusionConfig, FusionForAffect
from .models.joint_embeddings import (
    JointEmbeddingsConfig,
    JointEmbeddingsForAffect,
    JointEmbeddingsForPreTraining,
)
from .models.lmr_cbt import LMRCBTConfig, LMRCBTForAffect
from .models.log_mel import LogMelExtractor
from .models.mfn import MFNConfig, MFNForAffect
from .models.modeling import AffectOutput, AffectPreTrainedModel
from .models.mult import MulTConfig, MulTForAffect
from .models.processing import AffectCollator, AffectProcessor
from .models.spt import SPTConfig, SPTForAffect
from .models.sugrm import SUGRMConfig, SUGRMForAffect
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
    "BiGRUConfig",
    "BiGRUForAffect",
    "EmoEmbConfig",
    "EmoEmbForAffect",
    "FusionConfig",
    "FusionForAffect",
    "JointEmbeddingsConfig",
    "JointEmbeddingsForAffect",
    "JointEmbeddingsForPreTraining",
    "LMRCBTConfig",
    "LMRCBTForAffect",
    "LogMelExtractor",
    "MFNConfig",
    "MFNForAffect",
    "MulTConfig",
    "MulTForAffect",
    "SPTConfig",
    "SPTForAffect",
    "SUGRMConfig",
    "SUGRMForAffect",
    "TailorConfig",
    "TailorForAffect",
    "Task",
    "TranscriptTokenizer",
]

for config in (
    BiGRUConfig,
    EmoEmbConfig,
    FusionConfig,
    JointEmbeddingsConfig,
    LMRCBTConfig,
    MFNConfig,
    MulTConfig,
    SPTConfig,
    SUGRMConfig,
    TailorConfig,
):
    AutoProcessor.register(config, AffectProcessor)
    AutoFeatureExtractor.register(config, LogMelExtractor)
AutoTokenizer.register(JointEmbeddingsConfig, TranscriptTokenizer)
