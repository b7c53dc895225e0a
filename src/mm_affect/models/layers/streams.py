# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streams and the blocks that architectures share. A tensor never travels in time without its mask.

Sizes are named in words: `(batch, length, size)`. Masks are bool, True = a real step; padding may stand on either side and
steps inside may be masked too (a frame without a face).

While a model is exported (`exporting()`), no shape and no branch may depend on what a batch holds: padding is then computed
along, and masked. Sizes are asked for by `shape[0]`, which stays a symbol there; `len` would make it the number of the moment.
"""

from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import torch
from torch.nn import functional as F
from transformers.utils import is_torchdynamo_exporting as exporting


LEAST_VARIANCE = 1.0000001e-8  # under a root; what is not above 1e-8, the optimizer of ONNX graphs takes for nothing
RESAMPLED_AT_ONCE = 256  # steps: `resample` of a long clip would otherwise hold (length, length) tables


class Stream(NamedTuple):
    """One modality in time: values `(batch, length, size)` and mask `(batch, length)`."""

    values: torch.Tensor
    mask: torch.Tensor

    def cleaned(self) -> "Stream":
        """The stream with zeros where nothing is real, so that no content of the padding, not even NaN, can pass."""
        return Stream(self.values.masked_fill(~self.mask.unsqueeze(-1), 0.0), self.mask)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the real steps: `(batch, size)`; zeros where a row has none."""
    return Stream(values, mask).cleaned().values.sum(1) / mask.sum(1, keepdim=True).clamp_min(1)


def masked_statistics(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation over the real steps: `(batch, 2 * size)`; zeros where a row has none."""
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean.unsqueeze(1)) ** 2, mask)
    return torch.cat([mean, (variance + LEAST_VARIANCE).sqrt() * mask.any(1, keepdim=True)], dim=-1)


def masked_segments(values: torch.Tensor, mask: torch.Tensor, segments: int = 3) -> torch.Tensor:
    """What happened when: mean and standard deviation of every feature and of its slope (central difference) in each of
    `segments` equal parts of the row, `(batch, segments * 4 * size)`; zeros where a row has no real step."""
    inner = (mask[:, 2:] & mask[:, 1:-1] & mask[:, :-2]).unsqueeze(-1)
    slopes = F.pad(((values[:, 2:] - values[:, :-2]) / 2).masked_fill(~inner, 0.0), (0, 0, 1, 1))[:, : mask.shape[1]]
    both = Stream(torch.cat([values, slopes], dim=-1).float(), mask).cleaned().values
    lengths = mask.any(1) * segments
    mean, real = resample(Stream(both, mask), lengths, segments)
    square, _ = resample(Stream(both**2, mask), lengths, segments)
    deviation = ((square - mean**2).clamp_min(0) + 1e-5).sqrt() * real.unsqueeze(-1)
    return torch.cat([mean, deviation], dim=-1).flatten(1).to(values.dtype)


def masked_max(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Greatest value over the real steps: `(batch, size)`; zeros where a row has none."""
    lowest = values.masked_fill(~mask.unsqueeze(-1), torch.finfo(values.dtype).min).amax(1)
    return lowest.masked_fill(~mask.any(1, keepdim=True), 0.0)


def last_real(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The last real step of each row: `(batch, size)`; zeros where a row has none."""
    position = torch.arange(mask.shape[1], device=mask.device)
    last = (position * mask).argmax(1)
    picked = values.gather(1, last[:, None, None].expand(-1, 1, values.shape[-1])).squeeze(1)
    return picked.masked_fill(~mask.any(1, keepdim=True), 0.0)


def take_steps(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Steps `index` `(batch, steps)` of `values` `(batch, length, size)`."""
    first = torch.arange(values.shape[0], device=values.device).unsqueeze(1) * values.shape[1]
    return values.flatten(0, 1).index_select(0, (first + index).flatten()).unflatten(0, index.shape)


def weighted_sum(weights: torch.Tensor, parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the sum of the parts, each multiplied by its weight."""
    return reduce(torch.add, (weight * part for weight, part in zip(weights, parts, strict=True)))


def longest(streams: Iterable[Stream]) -> int:
    """The steps of the longest stream."""
    return reduce(torch.sym_max, (stream.mask.shape[1] for stream in streams))


def front_order(mask: torch.Tensor) -> torch.Tensor:
    """The steps of each row, `(batch, length)`: first the real ones, then the others, both in their order."""
    place = torch.where(mask, mask.cumsum(1), mask.sum(1, keepdim=True) + (~mask).cumsum(1)) - 1
    return torch.empty_like(place).scatter(1, place, torch.arange(mask.shape[1], device=mask.device).expand_as(place))


def front_places(mask: torch.Tensor) -> torch.Tensor:
    """Where the steps of `front_order` stand among those of all rows, one row after the other, `(batch, length)`."""
    batch, length = mask.shape
    return front_order(mask) + torch.arange(batch, device=mask.device).unsqueeze(1) * length


def to_front(stream: Stream) -> Stream:
    """The same real steps in the same order, standing at the front; zeros behind them."""
    order = front_order(stream.mask)
    return Stream(take_steps(stream.values, order), stream.mask.gather(1, order)).cleaned()


def extent(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First real step and number of steps from the first to the last real one, each `(batch,)`; length 0 if none."""
    position = torch.arange(mask.shape[1], device=mask.device)
    last = (position * mask).amax(1)
    first = torch.where(mask, position, mask.shape[1]).amin(1)
    return first, torch.where(mask.any(1), last - first + 1, 0)


def starting_at(first: torch.Tensor, stream: Stream) -> Stream:
    """The stream with step `first` `(batch,)` of each row at the front, and what stood before it at the end."""
    length = stream.mask.shape[1]
    index = torch.arange(length, device=stream.mask.device) + first.unsqueeze(1)
    index = torch.where(index < length, index, index - length)
    return Stream(take_steps(stream.values, index), stream.mask.gather(1, index))


def lengthened(stream: Stream, steps: int) -> Stream:
    """The stream with masked steps at the end, so that there are `steps` of them."""
    missing = steps - stream.mask.shape[1]
    return Stream(F.pad(stream.values, (0, 0, 0, missing)), F.pad(stream.mask, (0, missing)))


def of_one_length(streams: dict[str, Stream]) -> dict[str, Stream]:
    """Word-aligned streams, with one step per word, all as long as the longest.

    A stream is shorter than another where the longest rows lack its modality, or all of them do; it is lengthened.

    Raises:
        ValueError: a row has steps of one modality beyond the end of another that it has, too.
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
                f"The streams have {', '.join(f'{n} ({m})' for m, n in lengths.items())} steps, but this model reads "
                "word-aligned streams: align them to the words, or set `aligner` if the model has one."
            )
    return streams


def word_aligned(streams: dict[str, Stream]) -> dict[str, Stream]:
    """Word-aligned streams of one length (see `of_one_length`), moved together to the front."""
    streams = of_one_length(streams)
    first = extent(torch.stack([stream.mask for stream in streams.values()]).any(0))[0]
    return {m: starting_at(first, stream) for m, stream in streams.items()}


def resample(stream: Stream, lengths: torch.Tensor, steps: int) -> Stream:
    """Each row stretched or shrunk in time to `lengths` steps (`(batch,)`, at most `steps`) by averaging areas.

    New step j is the mean of the old steps that its share of the time covers, weighted by how much of each it covers. A
    row that already has the wanted length is returned as it is, a missing modality as zeros.
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
