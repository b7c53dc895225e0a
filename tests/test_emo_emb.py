# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""EMO-EMB: the common checks, parameter counts, the golden of the public code, label words, and labels never trained on.

The golden `fixtures/golden_emo_emb.safetensors` was made by running the authors' public code (wenliangdai/Modality-Transferable-MER)
once, in eval mode, float32, on a CPU, at a small size with random weights (seed 0; one layer, bidirectional). Weights and inputs
were rounded to half precision first, so the stored values are exact. `weights/<name>` are the public state dict,
`inputs/<modality>` have no masks, every step is real. It changes only if the public code is found to compute something else.
"""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from corpora import tiny_rows
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file
from test_modeling_common import SIZES, TASKS, ModelTesterMixin, make_inputs
from torch import nn
from transformers import AutoModel

from mm_affect import MODALITIES, EmoEmbConfig, EmoEmbForAffect, Task
from mm_affect.cli.main import main
from mm_affect.features.word_vectors import HashedWordVectors, WordVectors


SMALL = {"hidden_sizes": {"text": 12, "audio": 7, "visual": 6}}
GOLDEN = load_file(Path(__file__).parent / "fixtures" / "golden_emo_emb.safetensors")
DAI = ("anger", "disgust", "fear", "happy", "sad", "surprise")


class TestEmoEmb(ModelTesterMixin):
    model_class = EmoEmbForAffect
    config_fields = SMALL
    # Read at the last step, the backward direction has seen one step: its recurrent weights multiply zeros.
    untrained = ("weight_hh_l1_reverse",)


def model(**fields) -> EmoEmbForAffect:
    torch.manual_seed(0)
    return EmoEmbForAffect(EmoEmbConfig(**{"feature_sizes": SIZES, "tasks": TASKS} | SMALL | fields)).eval()


def glove(folder: Path, **vectors) -> str:
    """A file of word vectors in GloVe's format."""
    path = folder / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, numbers))}\n" for word, numbers in vectors.items()))
    return str(path)


# the numbers ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_golden_through_the_command(tmp_path, capsys):
    public = {name.removeprefix("weights/"): value for name, value in GOLDEN.items() if name.startswith("weights/")}
    save_file(public, tmp_path / "public.safetensors")
    assert main(["convert", "emo_emb", str(tmp_path / "public.safetensors"), "--output", str(tmp_path / "out")]) == 0
    assert "dropped" not in capsys.readouterr().out
    converted = AutoModel.from_pretrained(tmp_path / "out").eval()
    assert converted.config.num_hidden_layers == 1 and converted.config.tasks[0].labels == DAI
    output = converted(**{m: GOLDEN[f"inputs/{m}"].float() for m in MODALITIES})
    torch.testing.assert_close(output.logits["emotion"], GOLDEN["outputs/logits"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_equals_the_formula_of_the_paper_row_by_row():
    """The label words are mapped to the modalities, as it is written there, and the LSTMs are PyTorch's."""
    emo_emb = model(tasks=TASKS[:1]).double()
    inputs = make_inputs(emo_emb.config)
    inputs |= {m: inputs[m].double() for m in MODALITIES}
    logits = emo_emb(**inputs).logits["emotion"]
    words = emo_emb.heads.heads["emotion"].vectors
    for row in range(6):
        expected = 0.0
        for m, weight in zip(MODALITIES, (0.5, -1.0, 2.0)):
            encoder = emo_emb.encoders[m]
            steps = inputs[m][row][inputs[f"{m}_mask"][row]].unsqueeze(1)
            hidden = nn.LSTM.forward(encoder.lstm, steps)[0][-1, 0].unflatten(0, (2, -1)).sum(0)
            expected = expected + weight * (words if m == "text" else encoder.affine(words)) @ hidden
        emo_emb.modality_weights.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
        torch.testing.assert_close(emo_emb(**inputs).logits["emotion"][row], expected)
    assert not torch.equal(logits, emo_emb(**inputs).logits["emotion"])


def test_parameters_do_not_depend_on_the_number_of_labels():
    assert EmoEmbForAffect(EmoEmbConfig()).num_parameters() == 5_455_903
    four = EmoEmbForAffect(EmoEmbConfig.paper("iemocap"))
    assert four.num_parameters() == 5_455_903 and four.config.tasks[0].num_outputs == 4
    assert not list(four.heads.parameters())


def test_the_modalities_weigh_the_same_at_first():
    torch.testing.assert_close(model().modality_weights.weight.data, torch.full((3,), 1 / 3))
    assert model(modalities=["audio"]).modality_weights.weight.tolist() == [1.0]


def test_a_regression_has_a_linear_head():
    assert isinstance(model().heads.heads["sentiment"], nn.Linear)


# label words ------------------------------------------------------------------------------------------------------


def test_label_vectors_are_frozen_and_hashed_by_default():
    vectors = model().heads.heads["emotion"].vectors
    assert not vectors.requires_grad
    np.testing.assert_array_equal(vectors, HashedWordVectors(12)(["happy", "sad", "anger"]))


def test_label_vectors_from_a_file_travel_with_the_weights(tmp_path):
    """The file is read once: a saved model, which no longer needs it, has the same vectors."""
    words = {"happy": [1, 2, 3], "sad": [4, 5, 6], "very": [0, 1, 0]}
    tasks = [Task("emotion", labels=("happy", "sad"))]
    fields = {"tasks": tasks, "hidden_sizes": {"text": 3}, "label_words": {"emotion": ["very happy", "Sad"]}}
    emo_emb = model(**fields, label_vectors=glove(tmp_path, **words))
    expected = [[0.5, 1.5, 1.5], [4, 5, 6]]  # of several words the mean counts
    assert emo_emb.heads.heads["emotion"].vectors.tolist() == expected
    emo_emb.save_pretrained(tmp_path / "saved")
    (tmp_path / "vectors.txt").unlink()
    loaded = AutoModel.from_pretrained(tmp_path / "saved")
    assert loaded.heads.heads["emotion"].vectors.tolist() == expected and loaded.config.label_vectors is None


def test_label_words_without_vectors_are_refused_by_name(tmp_path):
    path = glove(tmp_path, happy=[1, 2, 3], anger=[1, 0, 0])
    fields = {"tasks": TASKS[:1], "hidden_sizes": {"text": 3}}
    with pytest.raises(ValueError, match="label words sad have no vector in .*vectors.txt; choose other words"):
        model(**fields, label_vectors=path)
    with pytest.raises(ValueError, match="have 3 values, but `hidden_sizes\\['text'\\]` is 12"):
        model(tasks=TASKS[:1], label_words={"emotion": ["happy", "anger", "happy"]}, label_vectors=path)
    with pytest.raises(FileNotFoundError, match="no file of word vectors at nowhere.txt"):
        model(label_vectors="nowhere.txt")
    with pytest.raises(ValueError, match="The labels happy, sad, anger have no word vectors"):
        model(label_vectors=None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"label_words": {"joy": ["glad"]}}, "has the unknown task 'joy'"),
        ({"label_words": {"emotion": ["glad", "low"]}}, "expected one entry for each of happy, sad, anger"),
        ({"label_words": {"emotion": ["glad", "low", " "]}}, "expected one entry for each"),
        ({"hidden_sizes": {"audio": 0}}, "hidden_sizes\\['audio'\\]"),
        ({"num_hidden_layers": 0}, "`num_hidden_layers` is 0"),
        ({"hidden_dropout_prob": 1}, "`hidden_dropout_prob` is 1"),
    ],
)
def test_bad_configurations_are_refused(fields, words):
    with pytest.raises((ValueError, StrictDataclassError), match=words):
        model(**fields)


def test_unknown_corpus_is_refused():
    with pytest.raises(ValueError, match="cmu_mosei and iemocap, not for 'mosi'"):
        EmoEmbConfig.paper("mosi")


# labels that were never trained on --------------------------------------------------------------------------------

SEEN = ("happy", "sad", "anger", "surprise")
SPACE = dict(zip(SEEN, np.eye(4)))  # word vectors in which two further emotions lie between others
SPACE |= {"fear": (SPACE["anger"] + SPACE["sad"]) / 2, "disgust": (SPACE["happy"] + SPACE["surprise"]) / 2}


def felt(rows: int, seed: int):
    """Streams that show a point of the space of words in their noise, and which labels are on its side."""
    random = np.random.default_rng(seed)
    show = {m: np.random.default_rng(i).normal(size=(4, SIZES[m])) for i, m in enumerate(MODALITIES)}
    points = random.normal(size=(rows, 4))
    streams = {m: (points @ show[m])[:, None] + 0.3 * random.normal(size=(rows, 3, SIZES[m])) for m in MODALITIES}
    labels = {name: torch.tensor(points @ vector > 0) for name, vector in SPACE.items()}
    return {m: torch.tensor(values, dtype=torch.float) for m, values in streams.items()}, labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that has learned four emotions of such streams."""
    path = glove(tmp_path_factory.mktemp("glove"), **{name: SPACE[name] for name in SEEN})
    fields = {"hidden_sizes": {"text": 4, "audio": 6, "visual": 6}, "hidden_dropout_prob": 0.0}
    emo_emb = model(**fields, tasks=[Task("emotion", labels=SEEN)], label_vectors=path)
    inputs, labels = felt(600, seed=0)
    target = torch.stack([labels[name] for name in SEEN], dim=1).float()
    optimizer = torch.optim.Adam(emo_emb.train().parameters(), lr=0.02)
    for _ in range(50):
        optimizer.zero_grad()
        emo_emb(**inputs, labels={"emotion": target}).loss.backward()
        optimizer.step()
    return emo_emb.eval()


@pytest.mark.full
@torch.no_grad()
def test_emotions_never_seen_are_answered_by_their_words(trained):
    inputs, labels = felt(400, seed=1)
    unseen = ["fear", "disgust"]
    assert set(unseen).isdisjoint(trained.config.tasks[0].labels)
    asked = trained.with_labels("emotion", unseen, np.stack([SPACE[name] for name in unseen]))
    logits = asked(**inputs).logits["emotion"]
    for place, name in enumerate(unseen):
        assert ((logits[:, place] > 0) == labels[name]).float().mean() > 0.85, name
    wrong = trained.with_labels("emotion", unseen, np.stack([SPACE[name] for name in unseen[::-1]]))
    assert ((wrong(**inputs).logits["emotion"][:, 0] > 0) == labels["fear"]).float().mean() < 0.6


@torch.no_grad()
def test_with_labels_changes_a_copy_that_saves_and_loads(trained, tmp_path):
    inputs, _ = felt(5, seed=2)
    before = trained(**inputs).logits["emotion"]
    turned = trained.with_labels("emotion", SEEN[::-1], np.stack([SPACE[name] for name in SEEN[::-1]]))
    assert torch.equal(turned(**inputs).logits["emotion"].flip(1), before)
    assert trained.config.tasks[0].labels == SEEN and torch.equal(trained(**inputs).logits["emotion"], before)
    turned.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert loaded.config.tasks[0].labels == SEEN[::-1]
    assert torch.equal(loaded(**inputs).logits["emotion"], turned(**inputs).logits["emotion"])


def test_per_label_fields_of_the_task_do_not_outlive_its_labels():
    task = Task("emotion", labels=("happy", "sad"), class_weights=(1.0, 2.0), threshold=(0.2, 0.3), weight=0.5)
    words = WordVectors(["fear"], np.ones((1, 12), np.float32), "test")
    asked = model(tasks=[task], label_words={"emotion": ["glad", "low"]}).with_labels(
        "emotion", ["fear"], words(["fear"])
    )
    assert asked.config.tasks == [Task("emotion", labels=("fear",), weight=0.5)] and asked.config.label_words == {}


def test_bad_label_sets_are_refused():
    emo_emb = model()
    with pytest.raises(ValueError, match="no classification task 'joy'; .*emotion, sarcasm"):
        emo_emb.with_labels("joy", ["glad"], np.ones((1, 12)))
    with pytest.raises(ValueError, match="no classification task 'sentiment'"):
        emo_emb.with_labels("sentiment", ["glad"], np.ones((1, 12)))
    with pytest.raises(ValueError, match=r"shape \(1, 11\); expected \(1, 12\)"):
        emo_emb.with_labels("emotion", ["glad"], np.ones((1, 11)))
    with pytest.raises(ValueError, match="label words low have no vector in `vectors`"):
        emo_emb.with_labels("emotion", ["glad", "low"], np.stack([np.ones(12), np.zeros(12)]))
    with pytest.raises(ValueError, match="names a label twice"):
        emo_emb.with_labels("emotion", ["glad", "glad"], np.ones((2, 12)))


@pytest.mark.full
def test_the_example_answers_seen_and_unseen_emotions(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "examples"))
    example = importlib.import_module("zero_shot")
    monkeypatch.setattr(example, "SEEN", ("happy",))
    monkeypatch.setattr(example, "UNSEEN", ("sad",))
    monkeypatch.setattr("sys.argv", ["zero_shot.py", "--rows", str(tiny_rows()), "--epochs", "1"])
    assert example.main() == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "AUC" in line]
    assert [line[:2] for line in lines] == [["happy", "seen"], ["sad", "unseen"]]
    assert all(0 <= float(line[-1]) <= 1 for line in lines)
    monkeypatch.setattr("sys.argv", ["zero_shot.py", "--rows", "nowhere"])
    assert example.main() == 1 and "nowhere" in capsys.readouterr().err
