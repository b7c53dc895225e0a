# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""TAILOR, github.com/kniter1/TAILOR."""

import re

import torch

from ...models.tailor import TailorForAffect
from ...vocabulary import MODALITIES
from .table import Conversion, Shapes, make_emotion_task


def read_tailor_fields(shapes: Shapes, labels: list[str] | None) -> dict:
    """Read the config fields from the shapes of a public TAILOR checkpoint."""

    def count_layers(part: str) -> int:
        return len({match[1] for name in shapes if (match := re.match(rf"{part}\.encoder\.layer\.(\d+)\.", name))})

    parts = dict(zip(MODALITIES, ("bert", "audio", "visual")))
    fields = {
        "feature_sizes": {m: shapes[f"{part}.embeddings.word_embeddings.weight"][1] for m, part in parts.items()},
        "hidden_size": shapes["bert.embeddings.word_embeddings.weight"][0],
        "intermediate_size": shapes["bert.encoder.layer.0.intermediate.dense.weight"][0],
        "encoder_layers": {m: count_layers(part) for m, part in parts.items()},
        "cross_layers": count_layers("pc_cross"),
        "max_position_embeddings": shapes["bert.embeddings.position_embeddings.weight"][0],
        "tasks": [make_emotion_task(labels, shapes["decoder.embeddings.word_embeddings.weight"][0], threshold=0.35)],
        "aligner": "given",
    }
    aligner = "a2t_ctc.pred_output_position_inclu_blank.weight_hh_l0"
    if aligner in shapes:
        fields |= {"aligner": "ctc", "aligned_length": shapes[aligner][1] - 1}  # one class is the blank
    return fields


TAILOR = Conversion(
    TailorForAffect,
    read_tailor_fields,
    names={
        "input_norms.text": "text_norm.text_norm2d",
        "input_norms.audio": "audio_norm.audio_norm2d",
        "input_norms.visual": "visual_norm.visual_norm2d",
        "aligners.audio.lstm": "a2t_ctc.pred_output_position_inclu_blank",
        "aligners.visual.lstm": "v2t_ctc.pred_output_position_inclu_blank",
        "encoders.text": "bert",
        "encoders.audio": "audio",
        "encoders.visual": "visual",
        "private.text": "private_feature_extractor.0",
        "private.visual": "private_feature_extractor.1",
        "private.audio": "private_feature_extractor.2",
        "common": "common_feature_extractor",
        "common_classifiers.emotion": "common_classfier",
        "discriminator": "modal_discriminator",
        "cross_encoders.0": "va_cross",
        "cross_encoders.1": "vat_cross",
        "cross_encoders.2": "pc_cross",
        "decoder": "decoder.decoder.layer.0",
        "decoder.labels.emotion": "decoder.embeddings.word_embeddings",
        "decoder.norm": "decoder.embeddings.LayerNorm",
        "heads.heads.emotion": "cross_classifier.dense",
        # inside an encoder
        "projection": "embeddings.word_embeddings",
        "modality_token": "embeddings.token_type_embeddings",
        "encoder.positions": "embeddings.position_embeddings",
        "encoder.norm": "embeddings.LayerNorm",
        "encoder.layers": "encoder.layer",
        # inside a layer
        "attention.attention": "attention.self",
        "attention.attention.output": "attention.output.dense",
        "attention.norm": "attention.output.LayerNorm",
        "correlation.attention": "slf_attn.att",
        "correlation.attention.output": "slf_attn.output.dense",
        "correlation.norm": "slf_attn.output.LayerNorm",
        "guidance.attention": "enc_attn.att",
        "guidance.attention.output": "enc_attn.output.dense",
        "guidance.norm": "enc_attn.output.LayerNorm",
        "feed_forward.expand": "intermediate.dense",
        "feed_forward.shrink": "output.dense",
        "feed_forward.norm": "output.LayerNorm",
    },
    unused=r"(bert|audio|visual|va_cross|vat_cross|pc_cross)\.pooler\.dense\.(weight|bias)",
    undetermined=("num_attention_heads",),
    transforms=dict.fromkeys(  # classes of the public discriminator: text, visual, audio
        ("discriminator.3.weight", "discriminator.3.bias"), lambda rows: torch.cat([rows[:1], rows[2:], rows[1:2]])
    ),
)
