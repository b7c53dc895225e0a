# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The joint embeddings: sizes of the paper, a slow second implementation, missing modalities, pretraining, transcripts."""

import itertools

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from test_modeling_common import (
    SIZES,
    TASKS,
    ModelTesterMixin,
    make_inputs,
    make_labels,
    one_row,
    with_padding,
    without,
)
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForPreTraining

from mm_affect import (
    JointEmbeddingsConfig,
    JointEmbeddingsForAffect,
    JointEmbeddingsForPreTraining,
    Task,
    TranscriptTokenizer,
)
from mm_affect.models.layers.positions import sinusoids


SMALL = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "encoder_layers": 2,
    "num_queries": 4,
}
BOS, EOS = 1, 2


class TestJointEmbeddings(ModelTesterMixin):
    model_class = JointEmbeddingsForAffect
    config_fields = SMALL | {"missing_audio": "learned_query"}
    untrained = ("queries.steps",)  # where no row lacks its audio


def pretraining(**fields) -> JointEmbeddingsForPreTraining:
    torch.manual_seed(0)
    config = JointEmbeddingsConfig.pretraining(
        ["ann", "ben"], **({"feature_sizes": SIZES, "vocab_size": 6} | SMALL | fields)
    )
    model = JointEmbeddingsForPreTraining(config).eval()
    with torch.no_grad():  # so that it makes a difference what is said and heard
        model.decoder.output.weight.mul_(4)
        for layer in model.decoder.layers:
            layer.memory_attention.output.weight.mul_(8)
            layer.attention.output.weight.mul_(8)
    return model


def make_characters() -> torch.Tensor:
    """Six transcripts, closed by the end: -100 behind, before, on both sides and inside."""
    n = -100
    return torch.tensor([
        [3, 4, 5, 3, 3, EOS], [4, 5, EOS, n, n, n], [n, n, 3, 3, 4, EOS], [n, 5, 4, 5, EOS, n], [n, n, EOS, n, n, n],
        [5, n, 4, 4, n, EOS],
    ])  # fmt: skip


# sizes ------------------------------------------------------------------------------------------------------------


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_the_paper():
    with torch.device("meta"):
        model = JointEmbeddingsForAffect(JointEmbeddingsConfig())
        trained = JointEmbeddingsForPreTraining(JointEmbeddingsConfig.pretraining([str(i) for i in range(5994)]))
    for each in (model, trained):
        assert count(each.encoders["audio"].layers[0]) == 1_258_184
        assert [count(encoder) for encoder in each.encoders.values()] == [5_032_736] * 3
        assert count(each.encoders) == 15_098_208 and count(each.projections) == 2_354_688
    assert model.num_parameters() == 17_455_974
    assert count(trained.decoder.layers) == 4_619_664
    assert count(trained.decoder.embedding) + count(trained.decoder.output) == 32_800
    assert count(trained.heads) == 3_074_922
    assert trained.num_parameters() == 25_180_282


def test_settings_of_the_paper():
    config = JointEmbeddingsConfig.pretraining(["ann", "ben"])
    assert config.modality_weights == {"text": 0.2, "audio": 0.4, "visual": 0.4}
    assert config.loss_weights == {"speech": 0.8} and config.tasks[0].weight == 0.2
    assert config.feature_sizes == {"text": 300, "audio": 200, "visual": 4096}
    assert set(JointEmbeddingsConfig().modality_weights.values()) == {1 / 3}
    assert config.vocab_size == len(TranscriptTokenizer())
    tokenizer = TranscriptTokenizer()
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        assert getattr(config, name) == getattr(tokenizer, name)


# a second implementation, of one row without padding, written from the paper ---------------------------------------


class ByHand:
    """The model's equations on plain matrices `(steps, size)`, with its weights."""

    def __init__(self, model):
        self.config, self.weights = model.config, model.state_dict()

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name, x, y, causal=False):
        q, k, v = self.linear(f"{name}.query", x), self.linear(f"{name}.key", y), self.linear(f"{name}.value", y)
        heads, found = self.config.num_attention_heads, []
        for one in zip(*(part.chunk(heads, dim=1) for part in (q, k, v))):
            scores = one[0] @ one[1].T / (q.shape[1] / heads) ** 0.5
            if causal:
                scores = scores.masked_fill(torch.ones(scores.shape).triu(1).bool(), -torch.inf)
            found.append(scores.softmax(1) @ one[2])
        return self.linear(f"{name}.output", torch.cat(found, 1))

    def residual(self, norm, x, step):
        if self.config.norm_first:
            return x + step(self.norm(norm, x))
        return self.norm(norm, x + step(x))

    def fed(self, name, x):
        step = lambda z: self.linear(f"{name}.shrink", self.linear(f"{name}.expand", z).relu())  # noqa: E731
        return self.residual(f"{name}.feed_forward_norm", x, step)

    def closed(self, name, x):
        return self.norm(f"{name}.final_norm", x) if self.config.final_norm else x

    def encoder(self, modality, x, y=None):
        for layer in range(self.config.encoder_layers):
            name = f"encoders.{modality}.layers.{layer}"
            memory = y
            if y is not None and self.config.norm_first:
                memory = self.norm(f"{name}.attention_norm", y)
            step = lambda z, n=name, m=memory: self.attention(f"{n}.attention", z, z if m is None else m)  # noqa: E731
            x = self.fed(name, self.residual(f"{name}.attention_norm", x, step))
        return self.closed(f"encoders.{modality}", x)

    def projected(self, modality, x):
        return self.linear(f"projections.{modality}", x) + sinusoids(0, len(x), self.config.hidden_size)

    def parts(self, inputs, query=None) -> dict[str, torch.Tensor]:
        """What each encoder gives; they start from `query`, which is the audio if not given."""
        streams = {m: self.projected(m, x) for m, x in inputs.items()}
        found = {}
        if query is None:
            query = streams["audio"]
            found["audio"] = self.encoder("audio", query)
            if self.config.cross_query == "encoded":
                query = found["audio"]
        return found | {m: self.encoder(m, query, streams[m]) for m in streams if m != "audio"}

    def spoken(self, characters, memory) -> torch.Tensor:
        """Cross-entropy of each character."""
        given = torch.tensor([BOS, *characters[:-1]])
        x = self.weights["decoder.embedding.weight"][given] + sinusoids(0, len(given), self.config.hidden_size)
        for layer in range(self.config.decoder_layers):
            name = f"decoder.layers.{layer}"
            before = lambda z, n=name: self.attention(f"{n}.attention", z, z, causal=True)  # noqa: E731
            read = lambda z, n=name: self.attention(f"{n}.memory_attention", z, memory)  # noqa: E731
            x = self.residual(f"{name}.attention_norm", x, before)
            x = self.fed(name, self.residual(f"{name}.memory_norm", x, read))
        logits = self.linear("decoder.output", self.closed("decoder", x))
        return -logits.log_softmax(1)[range(len(characters)), characters]


def real_steps(inputs, row) -> dict[str, torch.Tensor]:
    return {m: inputs[m][row][inputs[f"{m}_mask"][row]] for m in ("text", "audio", "visual")}


@pytest.mark.parametrize(("norm_first", "cross_query", "final_norm"), [
    (True, "projected", False), (False, "projected", True), (True, "encoded", True),
])  # fmt: skip
@torch.no_grad()
def test_embedding_and_speech_equal_the_second_implementation(norm_first, cross_query, final_norm):
    model = pretraining(norm_first=norm_first, cross_query=cross_query, final_norm=final_norm)
    by_hand, inputs, characters = ByHand(model), make_inputs(model.config), make_characters()
    joint, output = model.embed(**inputs), model(**inputs, characters=characters)
    assert torch.equal(joint.mask, inputs["audio_mask"])
    speech = []
    for row in range(6):
        parts = by_hand.parts(real_steps(inputs, row))
        expected = 0.4 * parts["audio"] + 0.4 * parts["visual"] + 0.2 * parts["text"]
        torch.testing.assert_close(joint.values[row][joint.mask[row]], expected, rtol=1e-4, atol=1e-5)
        assert (joint.values[row][~joint.mask[row]] == 0).all()
        torch.testing.assert_close(output.pooler_output[row], expected.mean(0), rtol=1e-4, atol=1e-5)
        logits = by_hand.linear("heads.heads.person", expected.mean(0))
        torch.testing.assert_close(output.logits["person"][row], logits, rtol=1e-4, atol=1e-5)
        speech.append(by_hand.spoken([c for c in characters[row].tolist() if c != -100], expected))
    torch.testing.assert_close(output.losses["speech"], torch.cat(speech).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.loss, 0.8 * output.losses["speech"])


# missing modalities -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("renormalize", [False, True])
@torch.no_grad()
def test_a_missing_modality_gets_no_weight(renormalize):
    """By hand: rows 0 and 1 lack the video, row 1 the words too; the others keep their weights, or grow."""
    model = pretraining(renormalize_weights=renormalize)
    inputs = without(without(make_inputs(model.config), "visual", [0, 1]), "text", [1])
    joint = model.embed(**inputs)
    weights = [{"audio": 0.4, "text": 0.2}, {"audio": 0.4}, {"audio": 0.4, "text": 0.2, "visual": 0.4}]
    if renormalize:
        weights = [{"audio": 2 / 3, "text": 1 / 3}, {"audio": 1.0}, {"audio": 0.4, "text": 0.2, "visual": 0.4}]
    for row, given in enumerate(weights):
        steps = {m: x for m, x in real_steps(inputs, row).items() if m in given}
        parts = ByHand(model).parts(steps)
        expected = sum(weight * parts[m] for m, weight in given.items())
        torch.testing.assert_close(joint.values[row][joint.mask[row]], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("missing_audio", "cross_query"), [
    (None, "projected"), ("text_query", "projected"), ("text_query", "encoded"), ("learned_query", "encoded"),
])  # fmt: skip
@torch.no_grad()
def test_a_row_without_audio(missing_audio, cross_query):
    model = pretraining(missing_audio=missing_audio, cross_query=cross_query)
    inputs = without(make_inputs(model.config), "audio", [0, 2])
    joint, output = model.embed(**inputs), model(**inputs, characters=make_characters())
    assert torch.isfinite(output.loss) and torch.isfinite(joint.values).all()
    for row in (0, 2):
        found = joint.values[row][joint.mask[row]]
        if missing_audio is None:
            assert not joint.mask[row].any() and (output.pooler_output[row] == 0).all()
            continue
        by_hand, steps = ByHand(model), real_steps(inputs, row)
        del steps["audio"]
        query = model.queries.steps if model.queries is not None else by_hand.projected("text", steps["text"])
        parts = by_hand.parts(steps, query)
        torch.testing.assert_close(found, 0.2 * parts["text"] + 0.4 * parts["visual"], rtol=1e-4, atol=1e-5)
    whole = pretraining(cross_query=cross_query)
    whole.load_state_dict(model.state_dict(), strict=False)
    expected = whole.embed(**inputs)
    for row in (1, 3, 4, 5):  # where there is audio, nothing is different
        real = joint.mask[row]
        assert torch.equal(real[:9], expected.mask[row]) and not real[9:].any()
        torch.testing.assert_close(joint.values[row][:9], expected.values[row])


@torch.no_grad()
def test_words_that_stand_in_may_be_missing_too():
    model = pretraining(missing_audio="text_query")
    inputs = without(without(make_inputs(model.config), "audio"), "text", [3])
    joint = model.embed(**inputs)
    assert joint.mask.any(1).tolist() == [True, True, True, False, True, True]
    assert (joint.values[3] == 0).all()
    padded = model.embed(**with_padding(inputs, torch.nan))
    assert torch.equal(padded.mask, joint.mask)
    torch.testing.assert_close(padded.values, joint.values)


def test_the_learned_query_learns_from_rows_without_audio():
    model = pretraining(missing_audio="learned_query")
    inputs = without(make_inputs(model.config), "audio", [1])
    model(**inputs, characters=make_characters()).loss.backward()
    assert model.queries.steps.grad.abs().min() > 0


def test_a_model_needs_something_to_bring_the_others_to():
    fields = SMALL | {"feature_sizes": SIZES}
    with pytest.raises(StrictDataclassError, match="none can be the query. Add audio to `modalities`, or set"):
        JointEmbeddingsConfig(modalities=["text", "visual"], **fields)
    with pytest.raises(StrictDataclassError, match="Add audio or text to `modalities`"):
        JointEmbeddingsConfig(modalities=["visual"], missing_audio="text_query", **fields)
    model = JointEmbeddingsForAffect(
        JointEmbeddingsConfig(modalities=["text", "visual"], missing_audio="text_query", **fields)
    )
    output = model(**make_inputs(model.config), labels={"emotion": torch.ones(6, 6)})
    output.loss.backward()
    assert all(p.grad.abs().max() > 0 for name, p in model.named_parameters() if not name.endswith("key.bias"))


@pytest.mark.parametrize(("fields", "words"), [
    ({"cross_query": "text"}, "`cross_query` is 'text'"),
    ({"missing_audio": "video_query"}, "`missing_audio` is 'video_query'; expected one of None, text_query"),
    ({"num_attention_heads": 3}, "`hidden_size` is 16, which is not divisible by 3 attention heads"),
    ({"modality_weights": {"text": 0, "audio": 0, "visual": 0}}, "expected numbers of at least 0 that are not all 0"),
    ({"modality_weights": {"audio": -1}}, "`modality_weights` is .*-1"),
    ({"decoder_layers": 0}, "`decoder_layers` is 0"),
])  # fmt: skip
def test_impossible_settings_are_refused(fields, words):
    with pytest.raises(StrictDataclassError, match=words):
        JointEmbeddingsConfig(**(SMALL | fields))


# pretraining ------------------------------------------------------------------------------------------------------


def test_losses_are_weighted_and_each_may_be_left_out():
    model = pretraining()
    inputs, labels = make_inputs(model.config), {"person": torch.tensor([0, 1, 1, -100, 0, 1])}
    both = model(**inputs, characters=make_characters(), labels=labels)
    torch.testing.assert_close(both.loss, 0.8 * both.losses["speech"] + 0.2 * both.losses["person"])
    assert set(model(**inputs, labels=labels).losses) == {"person"}
    assert set(model(**inputs, characters=make_characters()).losses) == {"speech"}
    assert model(**inputs).loss is None
    silent = model(**inputs, characters=torch.full((6, 3), -100))
    silent.loss.backward()
    assert silent.losses["speech"] == 0


def test_every_parameter_is_trained_in_pretraining():
    model = pretraining().train()
    labels = {"person": torch.tensor([0, 1, 1, 0, 0, 1])}
    model(**make_inputs(model.config), characters=make_characters(), labels=labels).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and (name.endswith("key.bias") or parameter.grad.abs().max() > 0), name


@torch.no_grad()
def test_speech_does_not_depend_on_padding_or_company():
    model, characters = pretraining(), make_characters()
    inputs = make_inputs(model.config)
    found = model(**inputs, characters=characters).losses["speech"]
    padded = F.pad(characters, (2, 3), value=-100)
    torch.testing.assert_close(model(**with_padding(inputs, torch.nan), characters=padded).losses["speech"], found)
    rows = [model(**one_row(inputs, row), characters=characters[row : row + 1]) for row in range(6)]
    lengths = (characters != -100).sum(1)
    alone = sum(row.losses["speech"] * length for row, length in zip(rows, lengths)) / lengths.sum()
    torch.testing.assert_close(alone, found)
    eager = pretraining(attn_implementation="eager")
    torch.testing.assert_close(eager(**inputs, characters=characters).losses["speech"], found)


def test_gradient_checkpointing_of_the_decoder():
    gradients = []
    for checkpointing in (False, True):
        model = pretraining().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        torch.manual_seed(1)
        model(**make_inputs(model.config), characters=make_characters()).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_bfloat16_of_the_decoder():
    exact, model = pretraining(), pretraining().to(torch.bfloat16)
    inputs = make_inputs(exact.config)
    found = model(**inputs, characters=make_characters()).losses["speech"]
    torch.testing.assert_close(
        found, exact(**inputs, characters=make_characters()).losses["speech"], rtol=0.05, atol=0.05
    )
    assert found.dtype == torch.float32 and len(model.generate_transcript(**inputs, max_length=3)) == 6


@pytest.mark.parametrize(("characters", "words"), [
    (torch.ones(5, 3, dtype=torch.long), r"`characters` has shape \(5, 3\); expected \(6, length >= 1\)"),
    (torch.ones(6, dtype=torch.long), r"`characters` has shape \(6,\)"),
    (torch.full((6, 2), 6), "`characters` has the id 6; expected 0 to 5, or -100 for none"),
    (torch.full((6, 2), -1), "`characters` has the id -1"),
])  # fmt: skip
def test_wrong_characters_are_refused(characters, words):
    model = pretraining()
    with pytest.raises(ValueError, match=words):
        model(**make_inputs(model.config), characters=characters)


def test_fine_tuning_drops_decoder_and_persons_and_says_so(tmp_path):
    model = pretraining()
    model.save_pretrained(tmp_path)
    config = JointEmbeddingsConfig(tasks=TASKS, feature_sizes=SIZES, **SMALL)
    with pytest.raises(ValueError, match=r"they lack heads.heads.emotion.bias, .*, also have heads.heads.person.bias"):
        AutoModel.from_pretrained(tmp_path, config=config)
    tuned = AutoModel.from_pretrained(tmp_path, config=config, new_heads=True)
    _, found = AutoModel.from_pretrained(tmp_path, config=config, output_loading_info=True)
    assert type(tuned) is JointEmbeddingsForAffect
    assert {name.split(".")[2] for name in found["missing_keys"]} == {task.name for task in TASKS}
    assert {name.split(".")[0] for name in found["unexpected_keys"]} == {"decoder", "heads"}
    for name, value in tuned.state_dict().items():
        if not name.startswith("heads."):
            assert torch.equal(value, model.state_dict()[name]), name
    assert set(tuned.config.modality_weights.values()) == {1 / 3}
    assert torch.isfinite(tuned(**make_inputs(config), labels=make_labels()).loss)


@torch.no_grad()
def test_saved_equals_loaded_in_pretraining(tmp_path):
    model = pretraining()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForPreTraining.from_pretrained(tmp_path)
    inputs = make_inputs(model.config)
    assert type(loaded) is JointEmbeddingsForPreTraining
    expected = model(**inputs, characters=make_characters()).loss
    assert torch.equal(loaded(**inputs, characters=make_characters()).loss, expected)
    persons = AutoModel.from_pretrained(tmp_path)  # its own tasks, without the decoder
    assert torch.equal(persons(**inputs).logits["person"], model(**inputs).logits["person"])


# transcripts ------------------------------------------------------------------------------------------------------


def log_probability(model, inputs, row, characters) -> float:
    """Of the characters of one row, from the loss of teacher forcing."""
    loss = model(**one_row(inputs, row), characters=torch.tensor([characters])).losses["speech"]
    return -loss.item() * len(characters)


def up_to_end(ids) -> list[int]:
    ids = ids.tolist()
    return ids[: ids.index(EOS) + 1] if EOS in ids else ids


@pytest.mark.full
@torch.no_grad()
def test_greedy_takes_the_most_probable_character_each_time():
    model = pretraining()
    inputs = make_inputs(model.config)
    found = model.generate_transcript(**inputs, max_length=4)
    assert len({tuple(ids) for ids in found.tolist()}) > 1
    for row in range(6):
        written = []
        while len(written) < 4 and EOS not in written:
            scores = {c: log_probability(model, inputs, row, [*written, c]) for c in range(2, 6)}
            written.append(max(scores, key=scores.get))
        assert up_to_end(found[row]) == written
        assert (found[row][len(written) :] == 0).all()


@pytest.mark.full
@torch.no_grad()
def test_a_wide_beam_finds_the_best_of_all_transcripts():
    model = pretraining(vocab_size=5)
    model.decoder.output.weight.mul_(0.1)  # so that transcripts of all lengths compete
    inputs, most = make_inputs(model.config), 3
    every = [[*c, EOS] for n in range(most) for c in itertools.product((3, 4), repeat=n)]
    every += [list(c) for c in itertools.product((3, 4), repeat=most)]
    found = {}
    for row in (0, 2, 5):
        scores = {tuple(c): log_probability(model, inputs, row, c) for c in every}
        for penalty in (0.0, 1.0, 2.0):
            ids = model.generate_transcript(
                **one_row(inputs, row), num_beams=len(every), max_length=most, length_penalty=penalty
            )
            found[row, penalty] = tuple(up_to_end(ids[0]))
            assert found[row, penalty] == max(scores, key=lambda c, p=penalty: scores[c] / len(c) ** p), (row, penalty)
    assert any(found[row, 0.0] != found[row, 2.0] for row in (0, 2, 5)), "the penalty should matter here"


@pytest.mark.full
@torch.no_grad()
def test_a_narrow_beam_equals_a_slow_one():
    """Beams change places here: each goes on from its own past."""
    model, width, most = pretraining(), 3, 5
    inputs, changed = make_inputs(model.config), False
    found = model.generate_transcript(**inputs, num_beams=width, max_length=most, length_penalty=0.0)
    for row in (0, 1, 4):
        beams = {(): 0.0}
        for _ in range(most):
            ended = {c: score for c, score in beams.items() if EOS in c}
            further = [(*c, new) for c in beams if c not in ended for new in range(2, 6)]
            both = ended | {c: log_probability(model, inputs, row, c) for c in further}
            kept = sorted(both, key=both.get, reverse=True)[:width]
            changed |= [c[:-1] for c in kept] != list(beams) and len(beams) == width
            beams = {c: both[c] for c in kept}
        assert tuple(up_to_end(found[row])) == max(beams, key=beams.get)
    assert changed


@torch.no_grad()
def test_transcripts_do_not_depend_on_padding_or_company():
    model = pretraining()
    inputs = without(make_inputs(model.config), "audio", [3])
    found = model.generate_transcript(**inputs, num_beams=3, max_length=6)
    assert (found[3] == 0).all(), "what was not heard has no transcript"
    padded = model.generate_transcript(**with_padding(inputs, torch.nan), num_beams=3, max_length=6)
    assert torch.equal(padded, found)
    for row in (0, 1, 2, 4, 5):
        alone = model.generate_transcript(**one_row(inputs, row), num_beams=3, max_length=6)[0]
        assert up_to_end(alone) == up_to_end(found[row])
    assert model.generate_transcript(**without(inputs, "audio"), num_beams=2).shape == (6, 0)
    with pytest.raises(ValueError, match="`num_beams` is 0"):
        model.generate_transcript(**inputs, num_beams=0)
    with pytest.raises(ValueError, match="`max_length` is 0"):
        model.generate_transcript(**inputs, max_length=0)


@pytest.mark.full
def test_what_was_learned_is_recognized():
    """A batch learned by heart: transcripts come back letter by letter, and so do the persons."""
    tokenizer, inputs = TranscriptTokenizer(), make_inputs(JointEmbeddingsConfig(feature_sizes=SIZES))
    spoken = ["it's on", "no", "a b", "go on", "so", "ok"]
    characters = tokenizer(spoken, padding=True, return_tensors="pt")
    characters = characters["input_ids"].masked_fill(characters["attention_mask"] == 0, -100)
    labels = {"person": torch.tensor([0, 1, 1, 0, 1, 0])}
    torch.manual_seed(0)
    fields = SMALL | {"hidden_size": 32, "intermediate_size": 32, "feature_sizes": SIZES}
    model = JointEmbeddingsForPreTraining(JointEmbeddingsConfig.pretraining(["ann", "ben"], **fields)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(60):
        optimizer.zero_grad()
        model(**inputs, characters=characters, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    for num_beams in (1, 4):
        found = model.generate_transcript(**inputs, num_beams=num_beams, max_length=12)
        assert tokenizer.batch_decode(found, skip_special_tokens=True) == spoken
    assert torch.equal(model(**inputs).logits["person"].argmax(1), labels["person"])


def test_the_embedding_is_a_feature_for_other_models():
    """What `embed` gives is a stream of the package: values, mask, and its mean is the fusion view."""
    model = pretraining()
    inputs = make_inputs(model.config)
    values, mask = model.embed(**inputs)
    assert values.shape == (6, 9, 16) and torch.equal(mask, inputs["audio_mask"])
    mean = torch.stack([row[real].mean(0) for row, real in zip(values, mask)])
    torch.testing.assert_close(model(**inputs).pooler_output, mean)
    other = JointEmbeddingsForAffect(
        JointEmbeddingsConfig(
            modalities=["audio"], feature_sizes={"audio": 16}, tasks=[Task("joy", "regression")], **SMALL
        )
    )
    assert torch.isfinite(other(audio=values, audio_mask=mask).logits["joy"]).all()
