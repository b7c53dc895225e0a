# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Count the floating point operations of a call: matrix products, convolutions, attention and recurrent layers.

Uses PyTorch's counter, with formulas for CPU operators that it does not know. A multiply-add counts as two operations;
element-wise operations are not counted.
"""

from collections.abc import Callable
from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def _count_inplace_product(to, first, second, out_shape=None, **named) -> int:
    """Count a matrix product of `first` `(..., rows, inner)` and `second` `(..., inner, columns)` that is added in place."""
    return 2 * prod(first) * second[-1]


def _count_recurrent_layer(steps, of_input, recurrent, *others, out_shape=None, **named) -> int:
    """Count an LSTM layer of oneDNN in one direction on `steps` `(length, batch, size)`, from the shapes of its weights."""
    return 2 * steps[0] * steps[1] * (prod(of_input) + prod(recurrent))


def _count_attention(query, key, value, *others, out_shape=None, **named) -> int:
    """Count an attention that does not materialize its weights."""
    return sdpa_flop_count(query, key, value)


CPU_FORMULAS = {
    torch.ops.aten.addmm_: _count_inplace_product,
    torch.ops.aten.baddbmm_: _count_inplace_product,
    torch.ops.aten.mkldnn_rnn_layer: _count_recurrent_layer,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _count_attention,
}


def count_flops(call: Callable[[], object]) -> int:
    """Return the number of floating point operations of a call, including those of a backward pass in it."""
    with FlopCounterMode(display=False, custom_mapping=CPU_FORMULAS) as counter:
        call()
    return counter.get_total_flops()
