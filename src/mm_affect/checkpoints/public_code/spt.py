# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SPT, github.com/chengjunyan1/SP-Transformer. The code of SUGRM contains a copy of the encoder."""

from collections.abc import Callable
from functools import partial

import torch

from ...models.spt import SPTForAffect
from .table import Conversion, Shapes


LETTERS = {"text": "t", "audio": "a", "visual": "v"}
PAIRS = {"audio_text": "at", "text_visual": "tv", "visual_audio": "va"}
ATTENTIONS = {
    "input_attention": ("hiddenlayer", LETTERS),
    "cross_attention": ("crosslayer", PAIRS),
    "self_attention": ("selflayer", LETTERS),
}
PACKED = ("query", "key", "value")  # a single matrix in the public code
PARTS = {
    "norm": "mha_{}.layer_norm.",
    "memory_norm": "mha_{}.layer_norm_kv.",
    **dict.fromkeys(PACKED, "mha_{}.attn.in_proj_"),
    "output": "mha_{}.attn.out_proj.",
    "feed_forward_norm": "ffn_{}.layer_norm.",
    "expand": "ffn_{}.fc1.",
    "shrink": "ffn_{}.fc2.",
}
UNDETERMINED = (
    "num_attention_heads",
    "num_hidden_layers",
    "stride",
    "radii",
    "input_shift",
    "cross_shift",
    "self_shift",
)


def unpack_projection(which: str, public: torch.Tensor) -> torch.Tensor:
    """Return query, key or value of a packed projection, `(size + 2 inputs, size)` or `(3 size,)`.

    The rows of the query are followed by those of key and value if inputs and hidden states have the same size. Otherwise the
    rest is read as `(inputs, 2 size)` and transposed.
    """
    size = public.shape[-1] if public.ndim == 2 else len(public) // 3
    query, rest = public[:size], public[size:]
    if public.ndim == 2 and len(rest) != 2 * size and size and rest.numel() % (2 * size) == 0:
        rest = rest.reshape(-1, 2 * size).T
    return {"query": query, "key": rest[:size], "value": rest[size:]}[which]


def read_encoder_sizes(shapes: Shapes) -> dict:
    """Read feature sizes and hidden size from the shapes of the encoder."""
    norms = {m: shapes[f"spe.hiddenlayer.mha_{letter}.layer_norm_kv.weight"] for m, letter in LETTERS.items()}
    return {"feature_sizes": {m: shape[0] for m, shape in norms.items()}, "hidden_size": shapes["spe.init_hiddens"][1]}


def read_spt_fields(shapes: Shapes, labels: list[str] | None) -> dict:
    """Read the config fields from the shapes of a public SPT checkpoint."""
    if labels is not None:
        raise ValueError(
            "The public code of SPT predicts one number, the sentiment, which has no labels; leave the labels out."
        )
    return read_encoder_sizes(shapes)


BLOCKS = [
    (f"encoder.layer.{ours}.{key}.", f"spe.{theirs}.", letters)
    for ours, (theirs, keys) in ATTENTIONS.items()
    for key, letters in keys.items()
]
ENCODER_NAMES = {
    **{
        f"{ours}{part}.{kind}": f"{theirs}{piece.format(letters)}{kind}"
        for ours, theirs, letters in BLOCKS
        for part, piece in PARTS.items()
        for kind in ("weight", "bias")
    },
    "encoder.initial": "spe.init_hiddens",
    "encoder.norm": "spe.layer_norm",
}
ENCODER_TRANSFORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    **{
        f"{ours}{which}.{kind}": partial(unpack_projection, which)
        for ours, _, _ in BLOCKS
        for which in PACKED
        for kind in ("weight", "bias")
    },
    "encoder.initial": lambda rows: rows[[1, 0, 2]],  # public order: audio, text, visual
}
ENCODER_UNUSED = r"spe\.selflayer\.mha_[tav]\.layer_norm_kv\.(weight|bias)|spe\.embed_positions\._float_tensor"

SPT = Conversion(
    SPTForAffect,
    read_spt_fields,
    names=ENCODER_NAMES | {"expand": "proj1", "shrink": "proj2", "heads.heads.sentiment": "out_layer"},
    unused=ENCODER_UNUSED,
    undetermined=UNDETERMINED,
    transforms=ENCODER_TRANSFORMS,
)
