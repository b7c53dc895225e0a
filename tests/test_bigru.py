# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The late-fusion BiGRU: the contract of every model, its size, and the GRUs of PyTorch."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from test_modeling_common import ModelTesterMixin, make_inputs
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mm_affect import BiGRUConfig, BiGRUForAffect


SMALL = {"hidden_size": 6, "head_size": 8}


class TestBiGRU(ModelTesterMixin):
    model_class = BiGRUForAffect
    config_fields = SMALL
    untrained = ("layers.1.backward_gru.weight_hh_l0",)  # at the last step its direction has read nothing before


def test_parameter_count_of_the_paper():
    with torch.device("meta"):
        model = BiGRUForAffect(BiGRUConfig())
    assert model.num_parameters() == 8_530_306


def pytorch_gru(branch) -> nn.GRU:
    """One `nn.GRU` with the weights of a branch."""
    first = branch.layers[0].forward_gru
    gru = nn.GRU(first.input_size, first.hidden_size, len(branch.layers), batch_first=True, bidirectional=True)
    for i, layer in enumerate(branch.layers):
        for ending, part in (("", layer.forward_gru), ("_reverse", layer.backward_gru)):
            for name, value in part.named_parameters():
                getattr(gru, name.replace("_l0", f"_l{i}{ending}")).data.copy_(value)
    return gru


@pytest.mark.parametrize("pooling", ["last_step", "final_states"])
@torch.no_grad()
def test_branches_equal_pytorch_on_packed_rows(pooling):
    torch.manual_seed(0)
    model = BiGRUForAffect(
        BiGRUConfig(feature_sizes={"text": 4, "audio": 3, "visual": 5}, pooling=pooling, **SMALL)
    ).eval()
    lengths = torch.tensor([5, 1, 3])
    mask = torch.arange(5) < lengths.unsqueeze(1)
    inputs = {m: torch.randn(3, 5, size) for m, size in model.config.feature_sizes.items()}
    output = model(**inputs, **{f"{m}_mask": mask for m in inputs})
    for m, values in inputs.items():
        packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
        states, last = pytorch_gru(model.branches[m])(packed)
        states, _ = pad_packed_sequence(states, batch_first=True)
        expected = (
            states[torch.arange(3), lengths - 1] if pooling == "last_step" else torch.cat([last[-2], last[-1]], 1)
        )
        torch.testing.assert_close(output.representations[m], expected)
    assert torch.equal(
        output.pooler_output, torch.cat([output.representations[m] for m in model.config.modalities], 1)
    )


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    model = BiGRUForAffect(BiGRUConfig(hidden_dropout_prob=0.5, **SMALL))
    inputs = make_inputs(model.config)
    views = [model.train()(**inputs).pooler_output for _ in range(2)]
    assert not torch.equal(*views)
    model = BiGRUForAffect(BiGRUConfig(hidden_dropout_prob=0.0, **SMALL)).train()
    assert torch.equal(model(**inputs).pooler_output, model.eval()(**inputs).pooler_output)


def test_unknown_pooling_is_refused():
    with pytest.raises(StrictDataclassError, match="`pooling` is 'mean'; expected one of last_step, final_states"):
        BiGRUConfig(pooling="mean")
