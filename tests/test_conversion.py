# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect convert`: the golden of the public TAILOR through the command, every format, every bad input; strict loading.

The golden `fixtures/golden_tailor.safetensors` was made by running the authors' public code (kniter1/TAILOR, aligned) once,
in eval mode, float32, on a CPU, at a small size with random weights (seed 0, normalization layers randomized so that nothing
is hidden). Weights and inputs were rounded to half precision first, so the stored values are exact. `weights/<name>` are the
public state dict, `inputs/<modality>` have no masks, every step is real; `outputs/<name>` are the probabilities and the total
loss. It changes only if the public code is found to compute something else.
"""

import json
import os
import pickle
import shutil
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from corpora import SIZES, tiny_rows, tiny_run
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel

from mm_affect import Task, __version__
from mm_affect.checkpoints.conversion import convert
from mm_affect.checkpoints.loading import load_checkpoint
from mm_affect.checkpoints.public_code.tailor import TAILOR
from mm_affect.cli.main import main
from mm_affect.models.layers.streams import Stream
from mm_affect.models.tailor import TailorConfig, TailorForAffect
from mm_affect.vocabulary import EMOTIONS


GOLDEN = load_file(Path(__file__).parent / "fixtures" / "golden_tailor.safetensors")
PUBLIC = {name.removeprefix("weights/"): value for name, value in GOLDEN.items() if name.startswith("weights/")}
INPUTS = {name.removeprefix("inputs/"): value.float() for name, value in GOLDEN.items() if name.startswith("inputs/")}
LABELS = {"emotion": INPUTS.pop("labels")}
SMALL = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "encoder_layers": {"text": 2, "audio": 1, "visual": 1},
    "cross_layers": 2,
    "max_position_embeddings": 8,
    "aligned_length": 6,
}
HEADS = ("--set", "num_attention_heads=4")
POOLERS = [f"{part}.pooler.dense" for part in ("bert", "audio", "visual", "va_cross", "vat_cross", "pc_cross")]


def public_state(config: TailorConfig) -> dict:
    """What the public code would have saved of a random model of ours, poolers included."""
    torch.manual_seed(0)
    model, size = TailorForAffect(config), config.hidden_size
    state = {
        TAILOR.get_public_name(name): TAILOR.convert_weight(name, value) for name, value in model.state_dict().items()
    }
    return state | {f"{part}.weight": torch.ones(size, size) for part in POOLERS} | {
        f"{part}.bias": torch.ones(size) for part in POOLERS
    }  # fmt: skip


def saved(path: Path, state=PUBLIC, **options) -> Path:
    """The file that `torch.save` makes of it."""
    torch.save(state, path, **options)
    return path


@pytest.fixture
def command(capsys):
    """Run `mm-affect convert tailor ...`; what it prints, or, with `code` 1, the one sentence that it fails with."""

    def run(source, folder, *words, code=0):
        capsys.readouterr()
        assert main(["convert", "tailor", str(source), "--output", str(folder), *map(str, words)]) == code
        printed = capsys.readouterr()
        if not code:
            return printed.out
        (sentence,) = (line for line in printed.err.splitlines() if line.startswith("mm-affect: "))
        assert not printed.out and len(sentence) < 500, sentence
        return sentence.removeprefix("mm-affect: ")

    return run


@torch.no_grad()
def check_golden(folder):
    """The converted folder answers as the public code did."""
    output = AutoModel.from_pretrained(folder).eval()(**INPUTS, labels=LABELS)
    probabilities = output.logits["emotion"].sigmoid()
    torch.testing.assert_close(probabilities, GOLDEN["outputs/probabilities"], rtol=0, atol=1e-5)
    torch.testing.assert_close(output.loss.reshape(1), GOLDEN["outputs/total_loss"], rtol=0, atol=1e-4)


# what is converted ------------------------------------------------------------------------------------------------


def test_golden_through_the_command(command, tmp_path):
    source, folder = tmp_path / "public.safetensors", tmp_path / "new" / "tailor"
    save_file(PUBLIC, source)
    printed = command(source, folder, *HEADS)
    check_golden(folder)
    model, processor = load_checkpoint(str(folder))
    assert model.dtype == torch.float32 and processor.feature_sizes == {"text": 24, "audio": 11, "visual": 9}
    assert set(processor.normalization.values()) == {"none"} and not processor.extractors
    assert model.config.tasks == [Task("emotion", labels=EMOTIONS, threshold=0.35)]
    record = json.loads((folder / "conversion.json").read_text())
    assert record["source"] == {"file": "public.safetensors", "sha256": sha256(source.read_bytes()).hexdigest()}
    assert (record["config_class"], record["mm_affect"]) == ("TailorConfig", __version__)
    assert sorted(record["dropped"]) == sorted(f"{part}.{kind}" for part in POOLERS for kind in ("weight", "bias"))
    assert all(name in printed for name in record["dropped"]) and record["assumed"] == {} and "assumed" not in printed
    assert (
        f"{model.num_parameters():,} parameters" in printed and f"next: mm-affect evaluate --model {folder}" in printed
    )
    assert [path.name for path in folder.parent.iterdir()] == ["tailor"]


@pytest.mark.parametrize("form", ["zip", "legacy", "module", "parameters", "double"])
def test_every_format(command, tmp_path, form):
    state = {
        "module": {f"module.{name}": value for name, value in PUBLIC.items()},
        "parameters": OrderedDict((name, nn.Parameter(value)) for name, value in PUBLIC.items()),
        "double": {name: value.double() for name, value in PUBLIC.items()},
    }.get(form, PUBLIC)
    source = saved(tmp_path / "pytorch_model_3.bin.", state, _use_new_zipfile_serialization=form != "legacy")
    command(source, tmp_path / "out", *HEADS)
    check_golden(tmp_path / "out")


def test_names_of_the_public_code_are_all_told_apart():
    """Two weights of ours never read the same public one, aligners included."""
    model = TailorForAffect(TailorConfig.reference(**SMALL, aligner="ctc"))
    names = [TAILOR.get_public_name(name) for name in model.state_dict()]
    assert len(set(names)) == len(names)


def test_parameter_counts_at_the_size_of_the_authors(command, tmp_path):
    state = public_state(TailorConfig.reference())
    assert sum(value.numel() for value in state.values()) == 10_798_652
    printed = command(saved(tmp_path / "public.bin", state), tmp_path / "out")
    assert "10,403,900 parameters" in printed and "assumed num_attention_heads 8" in printed
    found, expected = TailorConfig.from_pretrained(tmp_path / "out").to_dict(), TailorConfig.reference().to_dict()
    assert {name for name in found if found[name] != expected.get(name)} <= {"architectures", "dtype"}


@torch.no_grad()
def test_unaligned(command, tmp_path):
    """The aligners' weights stand under their public names and do what they are for; what is said to do next works."""
    tasks = [Task("emotion", labels=("sad", "happy"))]
    state = public_state(TailorConfig.reference(**SMALL, aligner="ctc", tasks=tasks, feature_sizes=SIZES))
    source, folder = saved(tmp_path / "public.bin", state), tmp_path / "out"
    command(source, folder, "--labels", "sad, happy", "--set", "num_attention_heads=2", "hidden_dropout_prob=0")
    model, _ = load_checkpoint(str(folder))
    assert (model.config.aligner, model.config.aligned_length) == ("ctc", SMALL["aligned_length"])
    assert (model.config.tasks[0].labels, model.config.hidden_dropout_prob) == (("sad", "happy"), 0)
    for m, public in (("audio", "a2t_ctc"), ("visual", "v2t_ctc")):
        size, steps = model.config.feature_sizes[m], torch.randn(2, 20, model.config.feature_sizes[m])
        lstm = nn.LSTM(size, SMALL["aligned_length"] + 1, num_layers=2, batch_first=True)
        prefix = f"{public}.pred_output_position_inclu_blank."
        lstm.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        expected = lstm(steps)[0].softmax(-1)[..., 1:].transpose(1, 2) @ steps
        mask = torch.ones(2, 20, dtype=torch.bool)
        (aligned, _), _ = model.aligners[m](Stream(steps, mask), torch.tensor([SMALL["aligned_length"]] * 2))
        torch.testing.assert_close(aligned, expected)
    assert main(["evaluate", "--model", str(folder), "--rows", str(tiny_rows())]) == 0


# what is refused --------------------------------------------------------------------------------------------------


class Hostile:
    """Unpickled, it makes the file of this name."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "value"])
def test_a_hostile_pickle_runs_nothing(command, tmp_path, form):
    source, trace = tmp_path / "public.bin", tmp_path / "trace"
    if form == "plain":
        source.write_bytes(pickle.dumps(Hostile(trace), protocol=2))
    else:
        state = PUBLIC | {"hostile": Hostile(trace)} if form == "value" else Hostile(trace)
        saved(source, state, _use_new_zipfile_serialization=form != "legacy")
    assert "expected only tensors: save only the weights" in command(source, tmp_path / "out", code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["public.bin"]
    torch.load(source, weights_only=False) if form != "plain" else pickle.loads(source.read_bytes())
    assert trace.is_dir(), "the file was hostile"


def without(*names) -> dict:
    return {name: value for name, value in PUBLIC.items() if name not in names}


LAYER = [name for name in PUBLIC if name.startswith("bert.encoder.layer.0.")]
BAD_STATES = {
    "nothing": ({}, "holds nothing instead of named tensors; save only the weights"),
    "list": (list(PUBLIC.values()), "holds a list instead of named tensors"),
    "tensor": (torch.ones(2), "holds a tensor of torch.float32 instead of named tensors"),
    "nested": ({"state_dict": PUBLIC}, "holds a dict under 'state_dict', where a plain tensor was expected; save"),
    "complex": (PUBLIC | {"a": torch.ones(2) * 1j}, "holds a tensor of torch.complex64 under 'a'"),
    "integers": (PUBLIC | {"step": torch.tensor(3)}, "also has step, which Tailor does not use"),
    "numbered": ({0: torch.ones(2)}, "holds a tensor of torch.float32 under 0"),
    "sparse": ({"a": torch.eye(2).to_sparse()}, "under 'a', where a plain tensor was expected"),
    "nan": (PUBLIC | {"text_norm.text_norm2d.bias": torch.full((24,), torch.nan)}, "non-finite values in text_norm.text_norm2d.bias; choose"),
    "other code": ({"fc.weight": torch.ones(2, 2)}, "not a checkpoint of the public code of Tailor; check the file"),
    "ranks": (PUBLIC | {"bert.embeddings.word_embeddings.weight": torch.ones(3)}, "tensors of other ranks, so it is not a checkpoint"),
    "missing": (without("vat_cross.embeddings.LayerNorm.bias"), "lacks vat_cross.embeddings.LayerNorm.bias; convert the unchanged file"),
    "many missing": ({k: v for k, v in PUBLIC.items() if "va_cross" not in k}, r"lacks va_cross\S+, .*\.\.\. \(20 in total\)"),
    "no layers": ({k: v for k, v in PUBLIC.items() if not k.startswith("audio.encoder")}, "encoder_layers.*positive"),
    "surplus": (PUBLIC | {"at_cross.a": torch.ones(2)}, "also has at_cross.a, which Tailor does not use; convert the unchanged file"),
    "another pooler": (PUBLIC | {"x.pooler.dense.bias": torch.ones(2)}, "also has x.pooler.dense.bias"),
    "two decoders": (
        PUBLIC | {k.replace("layer.0", "layer.1"): v for k, v in PUBLIC.items() if k.startswith("decoder.decoder")},
        r"also has decoder.decoder.layer.1\S+, .*\.\.\. \(26 in total\)",
    ),
    "numbered layers": (
        without(*LAYER) | {name.replace("layer.0", "layer.7"): PUBLIC[name] for name in LAYER},
        "has no `bert.encoder.layer.0.intermediate.dense.weight`",
    ),
    "shape": (
        PUBLIC | {"modal_discriminator.3.bias": torch.ones(2), "cross_classifier.dense.bias": torch.tensor(1.0)},
        r"inconsistent shapes: .*modal_discriminator.3.bias \(2,\) instead of \(3,\).*convert the unchanged file",
    ),
    "number": (PUBLIC | {"modal_discriminator.3.bias": torch.tensor(1.0)}, r"modal_discriminator.3.bias \(\) instead"),
    "half module": (PUBLIC | {"module.a": torch.ones(2)}, "also has module.a"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_STATES)
def test_other_states(command, tmp_path, case):
    state, expected = BAD_STATES[case]
    source = saved(tmp_path / "public.bin", state)
    assert_matches(expected, command(source, tmp_path / "out", *HEADS, code=1))
    assert [path.name for path in tmp_path.iterdir()] == ["public.bin"], "nothing was written"


def assert_matches(pattern, sentence):
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(sentence)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty, damaged or not a weights file"),
        (b"not weights at all", "is empty, damaged or not a weights file"),
        (b"\x80\x02}", "is empty, damaged or not a weights file"),
        (b"PK\x03\x04 and no more", "is empty, damaged or not a weights file"),
        (b"\x10" + bytes(7) + b"{ and no more", "is damaged"),
        (pickle.dumps(Task("emotion", labels=("a",))), "is empty, damaged or not a weights file"),
        (pickle.dumps(Task("emotion", labels=("a",)), protocol=2), "asks for `mm_affect.tasks.Task`"),
    ],
)
def test_other_files(command, tmp_path, content, expected):
    source = tmp_path / "public.bin"
    source.write_bytes(content)
    assert expected in command(source, tmp_path / "out", code=1)
    assert "There is no file" in command(tmp_path / "none.bin", tmp_path / "out", code=1)
    assert "There is no file" in command(tmp_path, tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()


def test_cut_off_files(command, tmp_path):
    whole = {"zip": saved(tmp_path / "zip").read_bytes(), "safetensors": None}
    whole["legacy"] = saved(tmp_path / "legacy", _use_new_zipfile_serialization=False).read_bytes()
    save_file(PUBLIC, tmp_path / "safetensors")
    whole["safetensors"] = (tmp_path / "safetensors").read_bytes()
    for form, content in whole.items():
        for length in (20, len(content) // 2, len(content) - 30):
            (tmp_path / form).write_bytes(content[:length])
            assert "damaged" in command(tmp_path / form, tmp_path / "out", code=1), (form, length)


def test_a_program_is_refused(command, tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "program.pt")
    assert "is a TorchScript program; expected only tensors" in command(
        tmp_path / "program.pt", tmp_path / "out", code=1
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--labels", "happy,sad"], r"has 6 labels, but `labels` has 2 \(happy, sad\); name every label in order"),
        (["--labels", "a,b,c,d,e,"], r"`labels` has 6 \(a, b, c, d, e, \); name every label in order"),
        (["--labels", "a,b,c,d,e,a"], "names a label twice"),
        (["--set", "num_attention_heads"], "has no field and value; write FIELD=VALUE"),
        (["--set", "num_attention_head=4"], "Did you mean 'num_attention_heads'"),
        (["--set", "num_attention_heads=5"], "which is not divisible by 5 attention heads"),
        (["--set", "num_attention_heads=four"], "num_attention_heads.*four"),
        (["--set", "hidden_size=64"], r"already determine `hidden_size` \(32\); leave it out"),
        (["--set", "discriminator=linear"], "also has modal_discriminator.3.bias"),
    ],
)
def test_other_labels_and_fields(command, tmp_path, words, expected):
    source = saved(tmp_path / "public.bin")
    assert_matches(expected, command(source, tmp_path / "out", *words, code=1))
    assert not (tmp_path / "out").exists()


def test_an_unknown_architecture(tmp_path):
    with pytest.raises(ValueError, match="Unknown architecture 'tailer'. Did you mean 'tailor'"):
        convert("tailer", saved(tmp_path / "public.bin"), tmp_path / "out")


def test_the_folder_must_be_new(command, tmp_path):
    source, folder = saved(tmp_path / "public.bin"), tmp_path / "out"
    folder.mkdir()
    command(source, folder, *HEADS)  # into an empty one
    before = sorted(path.name for path in folder.iterdir())
    for taken in (folder, source):
        assert "exists and is not an empty folder; choose a new folder" in command(source, taken, *HEADS, code=1)
    assert sorted(path.name for path in folder.iterdir()) == before and sorted(os.listdir(tmp_path)) == [
        "out",
        source.name,
    ]


def test_trouble_while_writing_leaves_nothing(command, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    source = saved(tmp_path / "public.bin")
    monkeypatch.setattr(Path, "rename", fail)
    assert "No space left on device" in command(source, tmp_path / "out", *HEADS, code=1)
    assert os.listdir(tmp_path) == [source.name]


# a checkpoint of ours, loaded strictly ----------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda weights, name: weights.pop(name), "they lack {name}. Copy the whole folder again"),
        (
            lambda weights, name: weights.update(other=torch.ones(2)),
            "they also have other. Copy the whole folder again",
        ),
        (lambda weights, name: weights.update({name: torch.ones(2)}), "they have in another size {name}. Copy"),
        (
            lambda weights, name: [weights.pop(n) for n in sorted(weights)],
            r"they lack .*, \.\.\. \({count} in total\). Copy",
        ),
    ],
)
def test_evaluate_and_predict_refuse_weights_of_another_config(tmp_path, capsys, change, expected):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run(), folder)
    weights = load_file(folder / "model.safetensors")
    name, count = sorted(weights)[0], len(weights)
    change(weights, name)
    save_file(weights or {}, folder / "model.safetensors", {"format": "pt"})
    for words in (
        ["evaluate", "--model", folder, "--rows", tiny_rows()],
        ["predict", "--transcript", "well", "--model", folder],
    ):
        assert main([str(word) for word in words]) == 1
        sentences = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mm-affect: ")]
        assert len(sentences) == 1
        assert_matches(f"do not belong to its config.json: {expected.format(name=name, count=count)}", sentences[0])
