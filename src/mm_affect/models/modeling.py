# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The one forward that every architecture shares: streams in, logits and losses per task out."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.output_capturing import capture_outputs

from ..tasks import Task
from ..traveling_code import TravelingCode
from ..vocabulary import MODALITIES
from .configuration import AffectConfig
from .layers.streams import Stream, exporting, front_order, take_steps
from .layers.task_heads import TaskHeads


PADDED_TOKENS = 16  # of a row, at most, on a CPU; with more a pass of its own costs less


@dataclass
class AffectOutput(ModelOutput):
    """What a model answers.

    Args:
        loss: `sum(weight * losses)`; None without labels.
        pooler_output: the fusion view, `(batch, hidden)`.
        logits: per task `(batch, n)`.
        losses: unweighted scalars: one per task that has labels, then the architecture's own.
        representations: per view `(batch, hidden)`; always holds `"fusion"`.
        hidden_states: on request, what the encoder layers gave.
        attentions: on request (eager attention), `(batch, heads, length, length)` per attention layer.
    """

    loss: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    logits: dict[str, torch.Tensor] | None = None
    losses: dict[str, torch.Tensor] | None = None
    representations: dict[str, torch.Tensor] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


Supervise = Callable[[dict[str, torch.Tensor], torch.Tensor], torch.Tensor]


class FusionOutput(NamedTuple):
    """What `fuse` returns.

    Args:
        views: what heads may read, each `(batch, size)`.
        losses: called only when there are labels, gives the architecture's own unweighted losses. It receives a function
            that supervises further predictions of the tasks, `(logits per task, rows (batch,))`, by the labels of those
            rows: the sum of the tasks' losses, each times its weight. So an architecture never sees a label.
    """

    views: dict[str, torch.Tensor]
    losses: Callable[[Supervise], dict[str, torch.Tensor]] = lambda supervise: {}


class AffectPreTrainedModel(TravelingCode, PreTrainedModel):
    """Base of every architecture.

    An architecture gives `build(config)`, which makes its layers and returns the size of each view, and
    `fuse(streams)`, which turns streams into views. Neither ever sees a label. A head that is not one linear layer is
    made by overriding `build_head(task, size)`.
    """

    config_class = AffectConfig
    base_model_prefix = "model"
    main_input_name = "audio"
    input_modalities = MODALITIES
    label_dependent_weights: tuple[str, ...] = (
        "heads.",
    )  # beginnings of the weights that depend on what the tasks ask for
    ignored_weights: tuple[str, ...] = ()  # beginnings of the weights of a larger class, which this one does without
    accepts_loss_kwargs = False  # the loss is a mean over known labels; Trainer must not divide it again
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: AffectConfig):
        super().__init__(config)
        if config.text_config is not None:
            self.text_encoder = AutoModel.from_config(config.text_config)
        sizes = self.build(config)
        for task in config.tasks:
            if task.view not in sizes:
                raise ValueError(
                    f"Task {task.name!r} reads the view {task.view!r}; {type(self).__name__} offers {', '.join(sizes)}."
                )
        self.heads = TaskHeads(config.tasks, lambda task: self.build_head(task, sizes[task.view]))
        self.post_init()

    def build(self, config: AffectConfig) -> dict[str, int]:
        raise TypeError(f"{type(self).__name__} is the base of the architectures; use one of them.")

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        raise TypeError(f"{type(self).__name__} is the base of the architectures; use one of them.")

    def build_head(self, task: Task, size: int) -> nn.Module:
        return nn.Linear(size, task.num_outputs)

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        """Yes: `layers.Attention` asks for it at every call, where transformers, which reads one file only, misses it."""
        return True

    @torch.no_grad()
    def _init_weights(self, module):
        """Every layer keeps the initialization PyTorch gives it, as in the authors' code."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *args,
        new_heads: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **kwargs,
    ):
        """As in transformers, but strict, and with every weight moved to memory of its own.

        Weights that are missing, surplus or of another size are an error, never a silent random head. Loaded tensors start
        wherever the file has them, and matrix products round by the alignment of their memory; moved, a loaded model gives
        the numbers of the saved one to the bit.

        Args:
            new_heads: heads that the checkpoint lacks, or has for other labels, are new, and its other heads are dropped:
                to train on other tasks than it was trained on. The rest must fit all the same.
            ignore_mismatched_sizes: weights of another size are new.
            output_loading_info: return a second value, the names of missing and surplus weights, instead of refusing them.

        Raises:
            ValueError: naming weights that do not fit.
        """
        model, found = super().from_pretrained(
            pretrained_model_name_or_path, *args, ignore_mismatched_sizes=True, output_loading_info=True, **kwargs
        )
        resized = set() if ignore_mismatched_sizes else {name for name, *_ in found["mismatched_keys"]}
        misfits = {"have in another size": resized}
        if not output_loading_info and kwargs.get("state_dict") is None:  # else they are the caller's own matter
            surplus = {name for name in found["unexpected_keys"] if not name.startswith(cls.ignored_weights)}
            misfits = {"lack": found["missing_keys"], "also have": surplus} | misfits
        if new_heads:
            misfits = {
                word: {n for n in names if not n.startswith(cls.label_dependent_weights)}
                for word, names in misfits.items()
            }
        if any(misfits.values()):
            complaints = ", ".join(f"{word} {summarize(sorted(names))}" for word, names in misfits.items() if names)
            raise ValueError(
                f"The weights in {pretrained_model_name_or_path} do not belong to its config.json: they {complaints}; copy the "
                "whole folder again, train or convert it again, or, to train other heads on it, give `new_heads=True`."
            )
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
        return (model, found) if output_loading_info else model

    @classmethod
    def from_encoders_pretrained(cls, config: AffectConfig, text: str) -> "AffectPreTrainedModel":
        """A new model of `config` whose text encoder is the pretrained one at `text` (a folder or a Hub name).

        The encoder is read in the precision of new weights, whatever it was saved in, and its config becomes
        `config.text_config`.

        Raises:
            OSError: there are no weights at `text`.
            ValueError: they are not all there (but for a pooler, which nothing reads), the encoder has not the width that
                `config.text_config` says, or the model reads no text.
        """
        if "text" not in config.modalities:
            raise ValueError(
                f"There is nothing to read for the text encoder at {text}: `modalities` of this config leaves text out."
            )
        encoder, found = AutoModel.from_pretrained(text, dtype=torch.get_default_dtype(), output_loading_info=True)
        missing = sorted(name for name in found["missing_keys"] if "pooler" not in name)
        if missing:
            raise ValueError(f"The text encoder at {text} lacks {len(missing)} of its weights, such as {missing[0]}.")
        size = encoder.config.hidden_size
        if config.text_config is not None and config.text_config.hidden_size != size:
            raise ValueError(
                f"The text encoder at {text} gives {size} features per token; `text_config` of this config says "
                f"{config.text_config.hidden_size}."
            )
        config.text_config = encoder.config
        config.feature_sizes["text"] = size
        model = cls(config)
        model.text_encoder = encoder
        return model

    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        text: torch.Tensor | None = None,
        audio: torch.Tensor | None = None,
        visual: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        visual_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: dict[str, torch.Tensor] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> AffectOutput:
        """Predict every task of a batch.

        Args:
            text, audio, visual: features `(batch, length, size)`; lengths may differ between modalities; a modality
                that is None is missing for the whole batch.
            text_mask, audio_mask, visual_mask: `(batch, length)`, True = real step; omitted = all real. A row of
                only False is a missing modality: the output does not depend on its content.
            input_ids, attention_mask: `(batch, tokens)`, instead of `text`, if the config names a text encoder; 1 = real
                token, omitted = all real.
            labels: per task `(batch,)` or, for several labels, `(batch, n)`; NaN or -100 = unknown.

        Raises:
            ValueError: wrong rank or size, a modality the model does not read, unknown tasks, no input at all, tokens
                that the text encoder does not know or cannot hold.
        """
        inputs = (text, audio, visual, text_mask, audio_mask, visual_mask, input_ids, attention_mask)
        return self._answer(self.fuse(self._streams(*inputs)), labels)

    def _answer(self, fused: FusionOutput, labels: dict[str, torch.Tensor] | None) -> AffectOutput:
        """Logits of every task and, with labels, every loss and their sum."""
        views, own_losses = fused
        logits = self.heads(views)
        loss, losses = None, None
        if labels is not None:
            supervise = lambda logits, rows: self.heads.supervise(logits, labels, rows)  # noqa: E731
            losses = self.heads.losses(logits, labels) | own_losses(supervise)
            weights = {task.name: task.weight for task in self.config.tasks} | (self.config.loss_weights or {})
            loss = sum((weights.get(name, 1.0) * value for name, value in losses.items()), views["fusion"].sum() * 0.0)
        return AffectOutput(
            loss=loss, pooler_output=views["fusion"], logits=logits, losses=losses, representations=views
        )

    def _encode_text(self, text, input_ids, attention_mask):
        """What the encoder makes of each token, `(batch, tokens, size)`, and which are real.

        Encoders count positions from the first token of a row, padding included: so the real tokens are moved to the front
        for them, and only as many columns as the longest row needs are read.
        """
        if text is not None:
            raise ValueError("Give either `text` features or `input_ids`, not both.")
        encoder = self.config.text_config
        if encoder is None:
            raise ValueError(
                "`input_ids` need a text encoder; this config has no `text_config`: give `text` features."
            )
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        if input_ids.ndim != 2 or input_ids.shape[1] < 1 or mask.shape != input_ids.shape:
            raise ValueError(
                f"`input_ids` has shape {tuple(input_ids.shape)} and `attention_mask` {tuple(mask.shape)}; expected "
                "(batch, tokens >= 1) of both."
            )
        longest = mask.shape[1] if exporting() else max(1, int(mask.sum(1).max()))
        order = front_order(mask)[:, :longest]
        real = mask.gather(1, order)
        tokens = input_ids.gather(1, order).masked_fill(~real, getattr(encoder, "pad_token_id", None) or 0)
        if not exporting():
            self._check_tokens(tokens, encoder)
        first = torch.arange(longest, device=real.device) == 0
        real = real | first  # a row without text passes one token, so that the attention has something to look at
        return take_steps(self._encode_in_buckets(tokens, real), (mask.cumsum(1) - 1).clamp_min(0)), mask

    def _check_tokens(self, tokens, encoder):
        longest = tokens.shape[1]
        if not 0 <= tokens.min() <= tokens.max() < encoder.vocab_size:
            raise ValueError(
                f"`input_ids` has tokens from {tokens.min()} to {tokens.max()}; the text encoder knows 0 to "
                f"{encoder.vocab_size - 1}: use its own tokenizer."
            )
        room = getattr(encoder, "max_position_embeddings", longest)
        if longest > room:
            raise ValueError(
                f"A row has {longest} tokens; the text encoder reads {room} at most: set the processor's `max_tokens`."
            )

    def _encode_in_buckets(self, tokens, real):
        """The encoder's answer to rows that begin at the front; on a CPU rows of like length are read together, which spares
        padding."""
        if exporting():
            return self.text_encoder(input_ids=tokens, attention_mask=real.long()).last_hidden_state
        lengths, order = real.sum(1).sort(descending=True, stable=True)
        lengths, parts = lengths.tolist(), []
        for rows in bucket_by_length(lengths, PADDED_TOKENS if tokens.device.type == "cpu" else lengths[0]):
            place, longest = order[rows], lengths[rows.start]
            read = {"input_ids": tokens[place, :longest], "attention_mask": real[place, :longest].long()}
            encoded = self.text_encoder(**read).last_hidden_state
            parts.append(nn.functional.pad(encoded, (0, 0, 0, tokens.shape[1] - longest)))
        return torch.cat(parts)[order.argsort()]

    def _streams(
        self,
        text=None,
        audio=None,
        visual=None,
        text_mask=None,
        audio_mask=None,
        visual_mask=None,
        input_ids=None,
        attention_mask=None,
    ) -> dict[str, Stream]:
        """The streams of `config.modalities`, checked; a modality that was not given is one masked step."""
        if input_ids is not None:
            text, text_mask = self._encode_text(text, input_ids, attention_mask)
        given = {"text": (text, text_mask), "audio": (audio, audio_mask), "visual": (visual, visual_mask)}
        for modality, (values, _) in given.items():
            if values is not None and modality not in self.config.modalities:
                raise ValueError(
                    f"This model reads {', '.join(self.config.modalities)}; `{modality}` was given as well."
                )
        present = [values for values, _ in given.values() if values is not None]
        if not present:
            raise ValueError(f"No input: give at least one of {', '.join(self.config.modalities)}.")
        streams = {}
        for modality in self.config.modalities:
            (values, mask), size = given[modality], self.config.feature_sizes[modality]
            if values is None:
                values = present[0].new_zeros(present[0].shape[0], 1, size)
                mask = torch.zeros(values.shape[:2], dtype=torch.bool, device=values.device)
            if values.ndim != 3 or values.shape[1] < 1:
                raise ValueError(
                    f"`{modality}` has shape {tuple(values.shape)}; expected (batch, length >= 1, {size})."
                )
            if values.shape[-1] != size:
                raise ValueError(f"`{modality}` has {values.shape[-1]} features per step; the config says {size}.")
            if values.shape[0] != present[0].shape[0]:
                raise ValueError(f"`{modality}` has {len(values)} rows; the other modalities have {len(present[0])}.")
            if mask is None:
                mask = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
            elif mask.shape != values.shape[:2]:
                raise ValueError(
                    f"`{modality}_mask` has shape {tuple(mask.shape)}; expected {tuple(values.shape[:2])}, as `{modality}`."
                )
            streams[modality] = Stream(values.to(self.dtype), mask.bool()).cleaned()
        return streams


def bucket_by_length(lengths: list[int], difference: int) -> list[slice]:
    """Ranges of `lengths`, which fall, whose members differ by at most `difference`."""
    first = [0]
    for place, length in enumerate(lengths):
        if lengths[first[-1]] - length > difference:
            first.append(place)
    return [slice(*ends) for ends in pairwise([*first, len(lengths)])]


def summarize(names: list[str]) -> str:
    """The first few names, and how many there are."""
    shown = ", ".join(names[:3])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 3 else shown
