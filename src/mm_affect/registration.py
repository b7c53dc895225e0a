# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Registration with the Auto classes and pipelines of transformers, at once or as soon as transformers is imported.

Registration needs the classes, and so torch. A process that only reads corpora should not pay for that: if transformers is not
loaded yet, a finder on `sys.meta_path` waits for its import and registers right after it.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder


ARCHITECTURES = {  # module of models/ -> prefix of the names of its config and model class
    "bigru": "BiGRU",
    "emo_emb": "EmoEmb",
    "fusion": "Fusion",
    "joint_embeddings": "JointEmbeddings",
    "lmr_cbt": "LMRCBT",
    "mfn": "MFN",
    "mult": "MulT",
    "spt": "SPT",
    "sugrm": "SUGRM",
    "tailor": "Tailor",
}
PUBLIC_NAMES = {  # name -> module
    "AffectCollator": "features.collator",
    "AffectConfig": "models.configuration",
    "AffectOutput": "models.modeling",
    "AffectPreTrainedModel": "models.modeling",
    "AffectProcessor": "features.processor",
    "AffectRecognitionPipeline": "inference.pipeline",
    "JointEmbeddingsForPreTraining": "models.joint_embeddings",
    "LogMelExtractor": "features.log_mel",
    "TranscriptTokenizer": "features.characters",
    **{f"{name}Config": f"models.{module}" for module, name in ARCHITECTURES.items()},
    **{f"{name}ForAffect": f"models.{module}" for module, name in ARCHITECTURES.items()},
}


def register_with_transformers() -> None:
    """Register every architecture, the processor and the pipeline, now or right after transformers is imported."""
    if "transformers" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _TransformersFinder())


class _TransformersFinder(MetaPathFinder):
    """Find transformers with the other finders, and register once it is loaded."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "transformers":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module):
                load(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                    _register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def _register() -> None:
    """Import the classes, which register themselves, and register the processor, the audio extractor and the tokenizer."""
    from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer

    public = {name: getattr(import_module(f".{module}", __package__), name) for name, module in PUBLIC_NAMES.items()}
    for name in ARCHITECTURES.values():
        AutoProcessor.register(public[f"{name}Config"], public["AffectProcessor"], exist_ok=True)
        AutoFeatureExtractor.register(public[f"{name}Config"], public["LogMelExtractor"], exist_ok=True)
    AutoTokenizer.register(public["JointEmbeddingsConfig"], public["TranscriptTokenizer"], exist_ok=True)
