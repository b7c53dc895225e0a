# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base model: one forward pass for every architecture, from streams to logits and losses per task."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

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


PADDED_TOKENS = 16  # most padding per row in one bucket on a CPU; above it, another forward pass is cheaper


@dataclass
class AffectOutput(ModelOutput):
    """Output of every model.

    Args:
        loss: `sum(weight * losses)`; None without labels.
        pooler_output: the fusion view, `(batch, hidden)`.
        logits: logits of each task, `(batch, outputs)`.
        losses: unweighted scalar losses: one per task that has labels, then the auxiliary losses of the architecture.
        representations: every view, `(batch, hidden)` each; always contains `"fusion"`.
        hidden_states: outputs of the encoder layers, on request.
        attentions: attention weights per layer, `(batch, heads, length, length)`, on request (eager attention).
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
    """Output of `fuse`.

    Args:
        views: vectors that heads can read, `(batch, size)` each.
        losses: function that returns the unweighted auxiliary losses of the architecture; called only with labels. Its
            argument supervises additional predictions of the tasks: given logits per task and a mask of rows
            `(batch,)`, it returns the weighted sum of the task losses on those rows. An architecture thus never sees a
            label.
    """

    views: dict[str, torch.Tensor]
    losses: Callable[[Supervise], dict[str, torch.Tensor]] = lambda supervise: {}


class AffectPreTrainedModel(TravelingCode, PreTrainedModel):
    """Base class of every architecture.

    A subclass implements `build`, which creates its layers, and `fuse`, which turns streams into views. Neither sees a
    label. A head other than one linear layer is created by overriding `build_head`.

    Attributes:
        label_dependent_weights: prefixes of the weights whose shapes depend on the tasks and their labels.
        ignored_weights: prefixes of the weights in a checkpoint that this class does not have, such as a decoder that
            is used in pretraining only.
    """

    config_class = AffectConfig
    base_model_prefix = "model"
    main_input_name = "audio"
    input_modalities = MODALITIES  # type: ignore[assignment]  # transformers knows modalities by one name or a list
    label_dependent_weights: tuple[str, ...] = ("heads.",)
    ignored_weights: tuple[str, ...] = ()
    accepts_loss_kwargs = False  # the loss is already a mean over known labels; Trainer must not divide it again
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

    def build(self, config: Any) -> dict[str, int]:
        """Create the layers of the architecture.

        Args:
            config: configuration of the architecture.

        Returns:
            the number of features of each view, with `"fusion"` among them.
        """
        raise TypeError(f"{type(self).__name__} is the base class of the architectures; use one of them.")

    def fuse(self, streams: dict[str, Stream]) -> FusionOutput:
        """Turn the streams of a batch into views.

        Args:
            streams: one stream per modality of the config, with zeros at masked steps.
        """
        raise TypeError(f"{type(self).__name__} is the base class of the architectures; use one of them.")

    def build_head(self, task: Task, size: int) -> nn.Module:
        """Return the head of a task: a module from its view `(batch, size)` to logits `(batch, outputs)`."""
        return nn.Linear(size, task.num_outputs)

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        """Return True: `layers.attention.Attention` looks the implementation up on every call.

        transformers searches the file of the model only and would not find it.
        """
        return True

    @torch.no_grad()
    def _init_weights(self, module):
        """Keep the initialization that PyTorch gives each layer, as the public code does."""
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
        """Load a model as in transformers, but refuse weights that do not fit the config.

        Missing, unexpected or resized weights are an error, never a silently random layer. Every weight is copied to
        newly allocated memory, because the rounding of matrix products depends on its alignment: a loaded model then
        gives the same numbers as the saved one, bit by bit.

        Args:
            pretrained_model_name_or_path: a folder or the name of a Hub repository.
            *args: passed to transformers.
            new_heads: initialize the heads that the checkpoint lacks or has for other labels, and ignore its other
                heads, in order to train on other tasks. All remaining weights must fit.
            ignore_mismatched_sizes: initialize weights of another size instead of refusing them.
            output_loading_info: also return the names of missing and unexpected weights instead of refusing them.
            **kwargs: passed to transformers.

        Raises:
            ValueError: weights do not fit; the message names them.
        """
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, *args, ignore_mismatched_sizes=True, output_loading_info=True, **kwargs
        )
        model, info = loaded
        resized = set() if ignore_mismatched_sizes else {name for name, *_ in info["mismatched_keys"]}
        misfits = {"have in another size": resized}
        if not output_loading_info and kwargs.get("state_dict") is None:  # otherwise the caller deals with them
            unexpected = {name for name in info["unexpected_keys"] if not name.startswith(cls.ignored_weights)}
            misfits = {"lack": info["missing_keys"], "also have": unexpected} | misfits
        if new_heads:
            misfits = {
                word: {n for n in names if not n.startswith(cls.label_dependent_weights)}
                for word, names in misfits.items()
            }
        if any(misfits.values()):
            complaints = ", ".join(f"{word} {summarize(sorted(names))}" for word, names in misfits.items() if names)
            raise ValueError(
                f"The weights in {pretrained_model_name_or_path} do not belong to its config.json: they {complaints}. Copy the "
                "whole folder again, train or convert it again, or pass `new_heads=True` to train other heads on it."
            )
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
        return (model, info) if output_loading_info else model

    @classmethod
    def from_encoders_pretrained(cls, config: AffectConfig, text: str) -> "AffectPreTrainedModel":
        """Create a new model whose text encoder is pretrained.

        The encoder is loaded in the default precision, whatever it was saved in, and its configuration becomes
        `config.text_config`.

        Args:
            config: configuration of the new model.
            text: folder or Hub name of the pretrained text encoder.

        Raises:
            OSError: there are no weights at `text`.
            ValueError: weights are missing (except those of an unused pooler), the hidden size differs from
                `config.text_config`, or the model does not read text.
        """
        if "text" not in config.modalities:
            raise ValueError(
                f"The text encoder at {text} cannot be used: `modalities` of this config does not contain text."
            )
        encoder, info = AutoModel.from_pretrained(text, dtype=torch.get_default_dtype(), output_loading_info=True)
        missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
        if missing:
            raise ValueError(f"The text encoder at {text} lacks {len(missing)} of its weights, such as {missing[0]}.")
        size = encoder.config.hidden_size
        if config.text_config is not None and config.text_config.hidden_size != size:
            raise ValueError(
                f"The text encoder at {text} has {size} features per token; `text_config` of this config says "
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
        """Predict every task for a batch.

        Args:
            text: features, `(batch, length, size)`. Lengths may differ between modalities; None means that the
                modality is missing for the whole batch.
            audio: as `text`.
            visual: as `text`.
            text_mask: `(batch, length)`, True = real step; None means all real. A row that is False throughout has no
                such modality, and the output does not depend on its values.
            audio_mask: as `text_mask`.
            visual_mask: as `text_mask`.
            input_ids: token ids, `(batch, tokens)`, instead of `text`, for a model with a text encoder.
            attention_mask: `(batch, tokens)`, 1 = real token; None means all real.
            labels: targets of each task, `(batch,)` or, with several labels, `(batch, labels)`; NaN or -100 = unknown.
            output_attentions: return attention weights.
            output_hidden_states: return the outputs of the encoder layers.

        Raises:
            ValueError: there is no input, an input has the wrong rank or size or belongs to a modality that the model
                does not read, a task is unknown, or tokens are outside the vocabulary or the positions of the text
                encoder.
        """
        inputs = (text, audio, visual, text_mask, audio_mask, visual_mask, input_ids, attention_mask)
        return self._answer(self.fuse(self._streams(*inputs)), labels)

    def _answer(self, fused: FusionOutput, labels: dict[str, torch.Tensor] | None) -> AffectOutput:
        """Return the logits of every task and, with labels, every loss and their weighted sum."""
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
        """Return the encoded tokens `(batch, tokens, size)` and the mask of real ones.

        Encoders count positions from the first token of a row, padding included, so real tokens are moved to the
        front and only as many columns as the longest row needs are encoded.
        """
        if text is not None:
            raise ValueError("Give either `text` features or `input_ids`, not both.")
        encoder = self.config.text_config
        if encoder is None:
            raise ValueError(
                "`input_ids` need a text encoder, but this config has no `text_config`; give `text` features."
            )
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        if input_ids.ndim != 2 or input_ids.shape[1] < 1 or mask.shape != input_ids.shape:
            raise ValueError(
                f"`input_ids` has shape {tuple(input_ids.shape)} and `attention_mask` {tuple(mask.shape)}; expected "
                "(batch, tokens >= 1) for both."
            )
        longest = mask.shape[1] if exporting() else max(1, int(mask.sum(1).max()))
        order = front_order(mask)[:, :longest]
        real = mask.gather(1, order)
        tokens = input_ids.gather(1, order).masked_fill(~real, getattr(encoder, "pad_token_id", None) or 0)
        if not exporting():
            self._check_tokens(tokens, encoder)
        first = torch.arange(longest, device=real.device) == 0
        real = real | first  # a row without text keeps one token, so that attention has a key
        return take_steps(self._encode_in_buckets(tokens, real), (mask.cumsum(1) - 1).clamp_min(0)), mask

    def _check_tokens(self, tokens, encoder):
        longest = tokens.shape[1]
        if not 0 <= tokens.min() <= tokens.max() < encoder.vocab_size:
            raise ValueError(
                f"`input_ids` has token ids from {tokens.min()} to {tokens.max()}; the vocabulary of the text encoder has 0 to "
                f"{encoder.vocab_size - 1}. Use the tokenizer of the text encoder."
            )
        room = getattr(encoder, "max_position_embeddings", longest)
        if longest > room:
            raise ValueError(
                f"A row has {longest} tokens; the text encoder reads at most {room}. Set `max_tokens` of the processor."
            )

    def _encode_in_buckets(self, tokens, real):
        """Encode rows whose tokens stand at the front.

        On a CPU, rows of similar length are encoded together, which saves padding.
        """
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
        """Check the inputs and return one stream per modality; a modality that is not given is one masked step."""
        if input_ids is not None:
            text, text_mask = self._encode_text(text, input_ids, attention_mask)
        given = {"text": (text, text_mask), "audio": (audio, audio_mask), "visual": (visual, visual_mask)}
        for modality, (values, _) in given.items():
            if values is not None and modality not in self.config.modalities:
                raise ValueError(
                    f"`{modality}` was given, but this model reads only {', '.join(self.config.modalities)}."
                )
        present = [values for values, _ in given.values() if values is not None]
        if not present:
            raise ValueError(f"There is no input; give at least one of {', '.join(self.config.modalities)}.")
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
                    f"`{modality}_mask` has shape {tuple(mask.shape)}; expected {tuple(values.shape[:2])} to match `{modality}`."
                )
            streams[modality] = Stream(values.to(self.dtype), mask.bool()).cleaned()
        return streams


def bucket_by_length(lengths: list[int], difference: int) -> list[slice]:
    """Return slices of the descending `lengths` within which lengths differ by at most `difference`."""
    first = [0]
    for place, length in enumerate(lengths):
        if lengths[first[-1]] - length > difference:
            first.append(place)
    return [slice(*ends) for ends in pairwise([*first, len(lengths)])]


def summarize(names: list[str]) -> str:
    """Return the first three names, and the total if there are more."""
    first = ", ".join(names[:3])
    return f"{first}, ... ({len(names)} in total)" if len(names) > 3 else first
