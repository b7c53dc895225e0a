# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""mm_affect: recognition of human affect from text, audio and video.

Importing the package makes every architecture, the processor and the pipeline known to transformers, so that `AutoModel`,
`AutoProcessor` and `pipeline("affect-recognition")` find them; see `registration`. Public names are imported when they are
first used, so that `import mm_affect.data` needs neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .registration import PUBLIC_NAMES, register_with_transformers
from .tasks import Task
from .version import __version__
from .vocabulary import MODALITIES


if TYPE_CHECKING:
    from .features.characters import TranscriptTokenizer
    from .features.collator import AffectCollator
    from .features.log_mel import LogMelExtractor
    from .features.processor import AffectProcessor
    from .inference.pipeline import AffectRecognitionPipeline
    from .models.bigru import BiGRUConfig, BiGRUForAffect
    from .models.configuration import AffectConfig
    from .models.emo_emb import EmoEmbConfig, EmoEmbForAffect
    from .models.fusion import FusionConfig, FusionForAffect
    from .models.joint_embeddings import (
        JointEmbeddingsConfig,
        JointEmbeddingsForAffect,
        JointEmbeddingsForPreTraining,
    )
    from .models.lmr_cbt import LMRCBTConfig, LMRCBTForAffect
    from .models.mfn import MFNConfig, MFNForAffect
    from .models.modeling import AffectOutput, AffectPreTrainedModel
    from .models.mult import MulTConfig, MulTForAffect
    from .models.spt import SPTConfig, SPTForAffect
    from .models.sugrm import SUGRMConfig, SUGRMForAffect
    from .models.tailor import TailorConfig, TailorForAffect


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
    "__version__",
]


def __getattr__(name: str):
    """Import a public name from the module that defines it."""
    if name not in PUBLIC_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{PUBLIC_NAMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_transformers()
