# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streams and basic operations on them. A sequence never travels without its mask.

Shapes are written in words: `(batch, length, size)`. Masks are bool, True = real step; padding may be on either side,
and steps inside a row may be masked too (a frame without a face).

While a model is exported (`exporting()`), no shape and no branch may depend on the contents of a batch: padding is
computed and masked. Sizes are read as `shape[0]`, which stays symbolic; `len` would freeze the current number.
"""

from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import torch
from torch.nn import functional as F
from transformers.utils import is_torchdynamo_exporting as exporting


LEAST_VARIANCE = 1.0000001e-8  # added under a root; the optimizer of ONNX graphs drops values of 1e-8 or less
RESAMPLED_AT_ONCE = 256  # target steps; bounds the (steps, length) tables of `resample` for long clips


class Stream(NamedTuple):
    """One modality in time: values `(batch, length, size)` and mask `(batch, length)`."""

    values: torch.Tensor
    mask: torch.Tensor

    def cleaned(self) -> "Stream":
        """Return the stream with zeros at masked steps, so that padding, even NaN, has no influence."""
        return Stream(self.values.masked_fill(~self.mask.unsqueeze(-1), 0.0), self.mask)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over real steps, `(batch, size)`; zeros for a row without any."""
    return Stream(values, mask).cleaned().values.sum(1) / mask.sum(1, keepdim=True).clamp_min(1)


def masked_statistics(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return mean and standard deviation over real steps, `(batch, 2 * size)`; zeros for a row without any."""
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean.unsqueeze(1)) ** 2, mask)
    return torch.cat([mean, (variance + LEAST_VARIANCE).sqrt() * mask.any(1, keepdim=True)], dim=-1)


def masked_segments(values: torch.Tensor, mask: torch.Tensor, segments: int = 3) -> torch.Tensor:
    """Return statistics of equal parts of each row, `(batch, segments * 4 * size)`.

    They are mean and standard deviation of every feature and of its slope (central difference) in each of the
    `segments` parts; zeros for a row without real steps.
    """
    inner = (mask[:, 2:] & mask[:, 1:-1] & mask[:, :-2]).unsqueeze(-1)
    slopes = F.pad(((values[:, 2:] - values[:, :-2]) / 2).masked_fill(~inner, 0.0), (0, 0, 1, 1))[:, : mask.shape[1]]
    both = Stream(torch.cat([values, slopes], dim=-1).float(), mask).cleaned().values
    lengths = mask.any(1) * segments
    mean, real = resample(Stream(both, mask), lengths, segments)
    square, _ = resample(Stream(both**2, mask), lengths, segments)
    deviation = ((square - mean**2).clamp_min(0) + 1e-5).sqrt() * real.unsqueeze(-1)
    return torch.cat([mean, deviation], dim=-1).flatten(1).to(values.dtype)


def masked_max(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the maximum over real steps, `(batch, size)`; zeros for a row without any."""
    lowest = values.masked_fill(~mask.unsqueeze(-1), torch.finfo(values.dtype).min).amax(1)
    return lowest.masked_fill(~mask.any(1, keepdim=True), 0.0)


def last_real(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the last real step of each row, `(batch, size)`; zeros for a row without any."""
    position = torch.arange(mask.shape[1], device=mask.device)
    last = (position * mask).argmax(1)
    picked = values.gather(1, last[:, None, None].expand(-1, 1, values.shape[-1])).squeeze(1)
    return picked.masked_fill(~mask.any(1, keepdim=True), 0.0)


def take_steps(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return the steps `index` `(batch, steps)` of `values` `(batch, length, size)`."""
    first = torch.arange(values.shape[0], device=values.device).unsqueeze(1) * values.shape[1]
    return values.flatten(0, 1).index_select(0, (first + index).flatten()).unflatten(0, index.shape)


def weighted_sum(weights: torch.Tensor, parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the sum of the parts, each multiplied by its weight."""
    return reduce(torch.add, (weight * part for weight, part in zip(weights, parts, strict=True)))


def longest(streams: Iterable[Stream]) -> int:
    """Return the number of steps of the longest stream."""
    return reduce(torch.sym_max, (stream.mask.shape[1] for stream in streams))


def front_order(mask: torch.Tensor) -> torch.Tensor:
    """Return the indices of the real steps of each row, then those of the masked ones, `(batch, length)`."""
    place = torch.where(mask, mask.cumsum(1), mask.sum(1, keepdim=True) + (~mask).cumsum(1)) - 1
    return torch.empty_like(place).scatter(1, place, torch.arange(mask.shape[1], device=mask.device).expand_as(place))


def front_places(mask: torch.Tensor) -> torch.Tensor:
    """Return `front_order` as indices into the steps of all rows in sequence, `(batch, length)`."""
    batch, length = mask.shape
    return front_order(mask) + torch.arange(batch, device=mask.device).unsqueeze(1) * length


def to_front(stream: Stream) -> Stream:
    """Return the stream with its real steps moved to the front and zeros after them."""
    order = front_order(stream.mask)
    return Stream(take_steps(stream.values, order), stream.mask.gather(1, order)).cleaned()


def extent(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first real step of each row and the number of steps from it to the last real one, each `(batch,)`.

    The number is 0 for a row without real steps.
    """
    position = torch.arange(mask.shape[1], device=mask.device)
    last = (position * mask).amax(1)
    first = torch.where(mask, position, mask.shape[1]).amin(1)
    return first, torch.where(mask.any(1), last - first + 1, 0)


def starting_at(first: torch.Tensor, stream: Stream) -> Stream:
    """Return the stream rotated so that step `first` `(batch,)` of each row is at the front."""
    length = stream.mask.shape[1]
    index = torch.arange(length, device=stream.mask.device) + first.unsqueeze(1)
    index = torch.where(index < length, index, index - length)
    return Stream(take_steps(stream.values, index), stream.mask.gather(1, index))


def lengthened(stream: Stream, steps: int) -> Stream:
    """Return the stream padded at the end to `steps` steps."""
    missing = steps - stream.mask.shape[1]
    return Stream(F.pad(stream.values, (0, 0, 0, missing)), F.pad(stream.mask, (0, missing)))


def of_one_length(streams: dict[str, Stream]) -> dict[str, Stream]:
    """Return word-aligned streams, one step per word, padded to the length of the longest.

    A stream is shorter than another if the longest rows, or all rows, lack its modality.

    Raises:
        ValueError: a row has steps of one modality beyond the end of another modality that it also has.
    """
    lengths, steps = {m: stream.mask.shape[1] for m, stream in streams.items()}, longest(streams.values())
    if not exporting() and min(lengths.values()) == steps:
        return streams
    streams = {m: lengthened(stream, steps) for m, stream in streams.items()}
    if exporting():
        return streams
    some = torch.stack([stream.mask for stream in streams.values()]).any(0)
    for m, length in lengths.items():
        if (some[:, length:].any(1) & streams[m].mask.any(1)).any():
            raise ValueError(
                f"The streams have {', '.join(f'{n} ({m})' for m, n in lengths.items())} steps, but this model needs "
                "word-aligned streams. Align them to the words, or set `aligner` if the model has one."
            )
    return streams


def word_aligned(streams: dict[str, Stream]) -> dict[str, Stream]:
    """Return word-aligned streams of equal length (see `of_one_length`), jointly moved to the front."""
    streams = of_one_length(streams)
    first = extent(torch.stack([stream.mask for stream in streams.values()]).any(0))[0]
    return {m: starting_at(first, stream) for m, stream in streams.items()}


def resample(stream: Stream, lengths: torch.Tensor, steps: int) -> Stream:
    """Stretch or shrink each row in time by area averaging.

    A row that already has the target length is unchanged, and a missing modality becomes zeros.

    Args:
        stream: the stream to resample.
        lengths: target length of each row, `(batch,)`.
        steps: length of the result, at least that of every row.
    """
    values, mask = stream.cleaned()
    first, length = extent(mask)
    old = (torch.arange(mask.shape[1], device=mask.device).view(1, -1) - first.view(-1, 1)).float().unsqueeze(1)
    share = (length / lengths.clamp_min(1)).view(-1, 1, 1).float()  # old steps per new step
    target, parts = torch.arange(steps, device=mask.device), []
    at_once = steps if exporting() else RESAMPLED_AT_ONCE
    for new in target.float().view(1, -1, 1).split(at_once, dim=1):
        cover = (torch.minimum((new + 1) * share, old + 1) - torch.maximum(new * share, old)).clamp_min(0)
        cover = cover * mask.unsqueeze(1)
        cover = cover / cover.sum(-1, keepdim=True).clamp_min(1e-6)
        parts.append(cover.to(values.dtype) @ values)
    return Stream(torch.cat(parts, dim=1), target < lengths.view(-1, 1)).cleaned()
