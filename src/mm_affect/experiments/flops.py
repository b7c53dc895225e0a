# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Floating point operations of a call: those of matrix products, convolutions, attention and recurrent layers.

PyTorch's counter, with formulas for what it passes over on a CPU. A multiplication with its addition counts as two; what is
done element by element is not counted.
"""

from collections.abc import Callable
from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def added_product(to, first, second, out_shape=None, **named) -> int:
    """Of a matrix product, `first` `(..., rows, inner)` by `second` `(..., inner, columns)`, added to something in place."""
    return 2 * prod(first) * second[-1]


def recurrent_layer(steps, of_input, recurrent, *others, out_shape=None, **named) -> int:
    """Of oneDNN's LSTM layer in one direction: `steps` `(length, batch, size)`, and the shapes of its two weights."""
    return 2 * steps[0] * steps[1] * (prod(of_input) + prod(recurrent))


def attention(query, key, value, *others, out_shape=None, **named) -> int:
    """Of attention that never builds its table."""
    return sdpa_flop_count(query, key, value)


PASSED_OVER = {
    torch.ops.aten.addmm_: added_product,
    torch.ops.aten.baddbmm_: added_product,
    torch.ops.aten.mkldnn_rnn_layer: recurrent_layer,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
}


def count_flops(call: Callable[[], object]) -> int:
    """The floating point operations of a call, a backward pass in it included."""
    with FlopCounterMode(display=False, custom_mapping=PASSED_OVER) as counter:
        call()
    return counter.get_total_flops()
