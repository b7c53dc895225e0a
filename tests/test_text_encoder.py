# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text through a pretrained encoder: transcripts to tokens, tokens to the model, runs, raw clips.

The encoders are tiny, of random weights, and lie in folders, from which the real Auto classes load them.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from corpora import FIELDS, MODEL, SIZES, make_rows, run_config, write_corpus, write_wav
from safetensors.torch import load_file
from test_experiments import InterruptAfter, measured, no_plots, spy  # noqa: F401
from transformers import (
    AutoModel,
    AutoProcessor,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizer,
    RobertaConfig,
    T5Config,
    pipeline,
)

from mm_affect import (
    AffectCollator,
    AffectProcessor,
    FusionConfig,
    FusionForAffect,
    TailorConfig,
    TailorForAffect,
    Task,
)
from mm_affect.checkpoints.loading import load_checkpoint
from mm_affect.cli import main as cli
from mm_affect.data import RowReader, load, write_rows
from mm_affect.data.ragged import RowDataset
from mm_affect.evaluation.evaluator import compute_metrics, predict
from mm_affect.features.log_mel import LogMelExtractor
from mm_affect.preparation.extraction.corpus import extract_corpus
from mm_affect.training import run as experiments
from mm_affect.training.augmentation import FeatureAugmentation
from mm_affect.training.config import RunConfig
from mm_affect.training.options import Augmentation


WORDS = "[UNK] [CLS] [SEP] [MASK] [PAD] what a good bad day is it the well so ##ly ##s . no yes never again".split()
PAD = WORDS.index("[PAD]")
SMALL = {"vocab_size": len(WORDS), "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 16, "max_position_embeddings": 24, "pad_token_id": PAD}  # fmt: skip
SOUND = {m: size for m, size in SIZES.items() if m != "text"}
TASKS = [Task("sentiment", "regression"), Task("emotion", labels=("happy", "sad"))]
TAILOR = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "cross_layers": 1, "aligner": "none",
          "encoder_layers": {"text": 1, "audio": 1, "visual": 1}}  # fmt: skip


def save_encoder(folder, words=WORDS, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    (folder / "vocab.txt").unlink()
    torch.manual_seed(0)
    BertModel(BertConfig(**SMALL | fields)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A BERT whose [PAD] is not token 0, as RoBERTa's is not."""
    return save_encoder(tmp_path_factory.mktemp("encoders") / "bert")


@pytest.fixture(scope="module")
def tokenizer(encoder):
    return AutoTokenizer.from_pretrained(encoder)


@pytest.fixture
def processor(tokenizer):
    return AffectProcessor(SOUND, tokenizer=tokenizer, max_tokens=9)


def spoken_rows(split):
    """Rows whose transcripts tell their sentiment; some have none, and their features of text nobody should read."""
    rows = make_rows(split)
    for i, row in enumerate(rows):
        word = "good" if (row["labels"]["sentiment"] or 0) > 0 else "bad"
        words = ["what", "a", word, "day"][: 3 + i % 2] + ["so"] * (i % 4)
        row["transcript"] = None if i % 7 == 3 else " ".join(words)
        row["text"] = np.full((2, SIZES["text"]), 1e6, np.float32)
    return rows


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A folder of such rows."""
    folder = tmp_path_factory.mktemp("spoken") / "rows"
    splits = {split: spoken_rows(split) for split in ("train", "validation", "test")}
    write_rows(folder, splits, {"name": "spoken", "synthetic": True, "label_fields": FIELDS, "sizes": SIZES})
    return folder


def model_with(encoder, kind=FusionConfig, **fields):
    torch.manual_seed(0)
    fields = {FusionConfig: MODEL, TailorConfig: TAILOR}[kind] | fields
    model = {FusionConfig: FusionForAffect, TailorConfig: TailorForAffect}[kind]
    sizes = fields.pop("feature_sizes", SOUND)
    return model.from_encoders_pretrained(kind(feature_sizes=sizes, tasks=TASKS, **fields), str(encoder)).eval()


def lively(model):
    """With weights so large that every input shows in the answer."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.5)
    return model


# the processor ----------------------------------------------------------------------------------------------------


def test_transcripts_become_the_tokens_of_the_tokenizer(processor, tokenizer):
    texts = ["what a goodly day.", None, "well", "  ", "never"]
    batch = processor([{"transcript": text, "text": np.ones((3, 4)), "audio": np.ones((2, 3))} for text in texts])
    assert set(batch) == set(processor.model_input_names) == {
        "input_ids", "attention_mask", "audio", "audio_mask", "visual", "visual_mask",
    }  # fmt: skip
    assert processor.modalities == ["text", "audio", "visual"]
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert ids.dtype == mask.dtype == torch.int64 and ids.shape == mask.shape == (5, 8)
    for row, text in enumerate(texts):
        expected = tokenizer(text)["input_ids"] if (text or "").strip() else []
        assert ids[row][mask[row].bool()].tolist() == expected
    assert mask[1].sum() == mask[3].sum() == 0 and (ids[mask == 0] == PAD).all()
    assert [WORDS[i] for i in ids[0]] == "[CLS] what a good ##ly day . [SEP]".split()


def test_no_transcript_at_all_is_one_masked_token(processor):
    batch = processor({"audio": np.ones((2, 3))})
    assert batch["input_ids"].shape == (1, 1) and not batch["attention_mask"].any()


def test_long_transcripts_are_cut_with_a_warning(processor, caplog):
    rows = [{"transcript": "so " * 20}, {"transcript": "well"}, {"transcript": "so " * 7}, {"transcript": "so " * 8}]
    batch = processor(rows)
    assert batch["attention_mask"].sum(1).tolist() == [9, 3, 9, 9]
    for row in (0, 2, 3):
        assert [WORDS[i] for i in batch["input_ids"][row]] == ["[CLS]", *["so"] * 7, "[SEP]"]
    assert "2 of 4 transcripts of a batch had more than 9 tokens and were cut." in caplog.text


def test_padding_may_stand_on_either_side(tokenizer, processor):
    left = AffectProcessor(SOUND, tokenizer=tokenizer, max_tokens=9, padding_side="left")
    rows = [{"transcript": "what a day"}, {"transcript": "well"}]
    one, other = processor(rows), left(rows)
    assert one["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert other["attention_mask"].tolist() == [[1] * 5, [0, 0, 1, 1, 1]]
    assert other["input_ids"][1].tolist() == [PAD, PAD, *one["input_ids"][1, :3].tolist()]


def test_how_many_tokens_at_most(tokenizer, encoder):
    assert AffectProcessor(tokenizer=tokenizer).max_tokens == 512
    known = AutoTokenizer.from_pretrained(encoder, model_max_length=20)
    assert AffectProcessor(tokenizer=known).max_tokens == 20
    for wrong in (2, 21):
        with pytest.raises(ValueError, match=f"`max_tokens` is {wrong}; .* adds 2 .* reads 20 at most"):
            AffectProcessor(tokenizer=known, max_tokens=wrong)
    with pytest.raises(ValueError, match="`max_tokens` counts the tokens of a tokenizer; give one"):
        AffectProcessor(SIZES, max_tokens=9)
    with pytest.raises(
        ValueError, match=r"either features or tokens: leave out `feature_sizes\['text'\]`, or the tok"
    ):
        AffectProcessor(SIZES, tokenizer=tokenizer)


def test_the_tokenizer_is_saved_and_loaded(processor, tmp_path):
    rows = spoken_rows("validation")
    processor.fit(rows).save_pretrained(tmp_path)
    FusionConfig(feature_sizes=SOUND).save_pretrained(tmp_path)  # beside a config of ours
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is AffectProcessor and type(loaded.tokenizer) is BertTokenizer
    assert loaded.to_dict() == processor.to_dict() and loaded.max_tokens == 9
    found = loaded(rows)
    for name, values in processor(rows).items():
        assert torch.equal(found[name], values), name
    assert loaded.tokenizer.decode(found["input_ids"][0], skip_special_tokens=True) == rows[0]["transcript"]


@pytest.mark.parametrize("lost", [["tokenizer.json"], ["tokenizer.json", "tokenizer_config.json"]])
def test_a_processor_without_its_tokenizer_is_refused(processor, tmp_path, lost):
    """Without its words transformers would take every word for [UNK], and say nothing."""
    processor.save_pretrained(tmp_path)
    for name in lost:
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="has no tokenizer that can be read; it needs all files of one") as caught:
        AutoProcessor.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_modality_dropout_hides_all_tokens_and_noise_none(tokenizer):
    processor = AffectProcessor(tokenizer=tokenizer)
    rows = [{"transcript": "what a day"}] * 200
    torch.manual_seed(0)
    options = Augmentation(noise=1.0, gain=1.0, time_mask=1.0, feature_mask=1.0, modality_dropout=0.3)
    augment = FeatureAugmentation(options)
    batch, plain = processor(rows, augment=augment), processor(rows)
    assert torch.equal(batch["input_ids"], plain["input_ids"])
    kept = batch["attention_mask"].sum(1)
    assert set(kept.tolist()) == {0, 5} and 30 < (kept == 0).sum() < 90


def test_rows_withheld_their_text_have_no_tokens(processor):
    rows = spoken_rows("validation")
    masks = {m: processor(list(RowDataset(rows, m)))["attention_mask"] for m in (("text",), ("audio", "visual"))}
    assert masks["text",].any() and not masks["audio", "visual"].any()
    words = [len((row["transcript"] or "").split()) for row in rows]
    silent = [row | dict.fromkeys(SIZES, ()) for row in rows]
    assert RowDataset(silent).lengths() == words, "rows of like length are batched together by their words"
    assert RowDataset(rows).lengths() == [max(len(row[m]) for m in SIZES) for row in rows]


# the model --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["bert", "roberta"])
def any_encoder(request, encoder, tmp_path):
    """RoBERTa counts positions from its padding token, which must not be taken for one."""
    if request.param == "bert":
        return encoder
    torch.manual_seed(0)
    AutoModel.from_config(RobertaConfig(**SMALL | {"max_position_embeddings": 32})).save_pretrained(tmp_path)
    return tmp_path


def token_batch(lengths=(5, 3, 0, 24)):
    draw = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
    ids = torch.randint(5, len(WORDS), mask.shape, generator=draw)
    audio = torch.randn(len(lengths), 4, SIZES["audio"], generator=draw)
    return {"input_ids": ids, "attention_mask": mask, "audio": audio}


def logits(model, batch):
    return torch.cat(list(model(**batch).logits.values()), dim=-1)


@pytest.mark.parametrize("kind", [FusionConfig, TailorConfig])
def test_padding_changes_nothing_on_any_side(any_encoder, kind):
    """Not its content (tokens that no vocabulary has), not its length, not its place."""
    model, batch = lively(model_with(any_encoder, kind)), token_batch()
    expected = logits(model, batch)
    assert torch.isfinite(expected).all() and expected.std(0).min() > 0.05
    ids, mask = batch["input_ids"], batch["attention_mask"]
    strange = torch.where(mask == 0, torch.tensor(10**9), ids)
    longer = torch.full((4, 30), -7), torch.zeros(4, 30, dtype=torch.long)  # more columns than BERT has positions
    order = torch.argsort(mask, dim=1, stable=True)
    for changed in (
        {"input_ids": strange},
        {"input_ids": torch.cat([ids, longer[0]], 1), "attention_mask": torch.cat([mask, longer[1]], 1)},
        {"input_ids": torch.cat([longer[0], ids], 1), "attention_mask": torch.cat([longer[1], mask], 1)},
        {"input_ids": strange.gather(1, order), "attention_mask": mask.gather(1, order)},
        {"attention_mask": mask.bool()},
    ):
        torch.testing.assert_close(logits(model, batch | changed), expected, rtol=1e-4, atol=1e-5)


def test_masked_tokens_inside_are_as_if_they_were_not_there(any_encoder):
    model, batch = lively(model_with(any_encoder, fusion="lf")), token_batch()
    hole = lambda x: torch.cat([x[:, :2], torch.zeros_like(x[:, :3]), x[:, 2:]], 1)  # noqa: E731
    holed = {name: hole(batch[name]) for name in ("input_ids", "attention_mask")}
    torch.testing.assert_close(logits(model, batch | holed), logits(model, batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [FusionConfig, TailorConfig])
def test_one_row_answers_as_in_a_batch(any_encoder, kind):
    model, batch = lively(model_with(any_encoder, kind)), token_batch()
    alone = [logits(model, {name: values[i : i + 1] for name, values in batch.items()}) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), logits(model, batch), rtol=1e-4, atol=1e-5)


def test_text_is_what_the_encoder_alone_makes_of_each_row(any_encoder):
    """The stream equals given features that the encoder made of each row, without any mask or padding."""
    model, batch = model_with(any_encoder), token_batch()
    encoder = AutoModel.from_pretrained(any_encoder).eval()
    features = torch.zeros(*batch["input_ids"].shape, 12)
    for i, (ids, mask) in enumerate(zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True)):
        if mask.any():
            features[i, mask] = encoder(input_ids=ids[mask].unsqueeze(0)).last_hidden_state[0]
    given = {"text": features, "text_mask": batch["attention_mask"].bool(), "audio": batch["audio"]}
    torch.testing.assert_close(logits(model, batch), logits(model, given), rtol=1e-4, atol=1e-5)


def test_padding_is_not_computed(encoder):
    """The encoder reads rows of like length together, and no column that no row needs."""
    model, read = model_with(encoder), []
    model.text_encoder.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    batch = token_batch((5, 24, 3, 7, 20, 0, 8))
    logits(model, batch)
    assert read == [(3, 24), (4, 7)], "24 and 8 are 16 tokens apart, 24 and 7 are more"
    read.clear()
    logits(model, {"input_ids": torch.full((2, 20), 5), "attention_mask": torch.arange(20).expand(2, -1) < 6})
    assert read == [(2, 6)]


def test_a_missing_text_says_nothing_and_padding_has_no_gradient(encoder):
    model, batch = model_with(encoder), token_batch((4, 0))
    without = {name: values for name, values in batch.items() if name == "audio"}
    torch.testing.assert_close(logits(model, batch)[1], logits(model, without)[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        logits(model, batch | {"attention_mask": torch.zeros(2, 4)}), logits(model, without), rtol=1e-4, atol=1e-5
    )
    model(**batch).logits["sentiment"][1].sum().backward()
    assert not any(p.grad.any() for p in model.text_encoder.parameters() if p.grad is not None)
    words = model.text_encoder.embeddings.word_embeddings.weight
    words.grad = None
    ids = torch.tensor([[5, 6, 7, 20], [8, 21, 21, 21]])
    model(input_ids=ids, attention_mask=torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])).pooler_output.sum().backward()
    assert words.grad.any(1).nonzero().flatten().tolist() == [5, 6, 7, 8]


def test_wrong_tokens_are_one_sentence(encoder):
    model = model_with(encoder)
    for inputs, sentence in (
        (
            {"input_ids": torch.full((1, 2), 22)},
            "token ids from 22 to 22; the vocabulary of the text encoder has 0 to 21. Use the",
        ),
        ({"input_ids": torch.full((1, 2), -1)}, "token ids from -1 to -1; the vocabulary"),
        (
            {"input_ids": torch.full((1, 25), 5)},
            "has 25 tokens; the text encoder reads at most 24. Set `max_tokens`",
        ),
        ({"input_ids": torch.zeros(3).long()}, r"`input_ids` has shape \(3,\)"),
        ({"input_ids": torch.zeros(2, 0).long()}, r"`input_ids` has shape \(2, 0\)"),
        ({"input_ids": torch.zeros(2, 3).long(), "attention_mask": torch.ones(2, 4)}, r"`attention_mask` \(2, 4\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model(**inputs)


def test_saved_and_loaded_with_the_encoder_inside(encoder, tmp_path):
    model, batch = model_with(encoder), token_batch()
    model.save_pretrained(tmp_path / "saved")
    loaded = AutoModel.from_pretrained(tmp_path / "saved").eval()
    assert torch.equal(logits(loaded, batch), logits(model, batch))
    theirs = load_file(encoder / "model.safetensors")
    for name, values in loaded.text_encoder.state_dict().items():
        assert torch.equal(values, theirs[name]), name


def test_an_encoder_in_half_precision_is_trained_in_full(encoder, tmp_path):
    AutoModel.from_pretrained(encoder, dtype=torch.bfloat16).save_pretrained(tmp_path)
    model = model_with(tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.isfinite(logits(model, token_batch())).all()


def test_wrong_encoders_are_refused(encoder, tmp_path):
    bert = {"model_type": "bert"} | SMALL
    assert model_with(encoder, text_config=bert).config.text_config.hidden_size == 12
    with pytest.raises(ValueError, match="has 12 features per token; `text_config` of this config says 8"):
        model_with(encoder, text_config=bert | {"hidden_size": 8})
    shutil.copytree(encoder, tmp_path / "half")
    torch.manual_seed(0)
    deeper = BertModel(BertConfig(**SMALL | {"num_hidden_layers": 2}))
    deeper.config.save_pretrained(tmp_path / "half")
    with pytest.raises(ValueError, match="lacks 16 of its weights, such as encoder.layer.1.attention"):
        model_with(tmp_path / "half")
    with pytest.raises(ValueError, match="`modalities` of this config does not contain text"):
        model_with(encoder, modalities=["audio"])


# runs -------------------------------------------------------------------------------------------------------------


def start(spoken, encoder, output, resume=False, **fields):
    training = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "learning_rates": {"text_encoder": 0.005}}
    base = run_config(output, rows=str(spoken), text_encoder=str(encoder), max_tokens=8, training=training)
    return experiments.run(RunConfig.from_dict(base | fields), resume=resume)


@pytest.fixture(scope="module")
def finished(spoken, encoder, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "run"
    return output, start(spoken, encoder, output)


def test_a_run_trains_the_encoder_and_leaves_a_checkpoint_that_reads_words(finished, spoken, encoder):
    output, results = finished
    model, processor = AutoModel.from_pretrained(output).eval(), AutoProcessor.from_pretrained(output)
    assert processor.max_tokens == 8 and processor.modalities == ["text", "audio", "visual"] == model.config.modalities
    before = load_file(encoder / "model.safetensors")
    moved = {name for name, values in model.text_encoder.state_dict().items() if not torch.equal(values, before[name])}
    assert {name for name in before if "pooler" not in name} - moved <= {"embeddings.token_type_embeddings.weight"}
    ours = model.text_encoder.pooler.dense.weight  # which nothing reads, and so nothing moves
    assert torch.equal(ours, before["pooler.dense.weight"]), "it began as the pretrained one"
    rows = RowReader(load(spoken)["test"])
    found = compute_metrics(
        model.config.tasks, predict(model, AffectCollator(processor, model.config.tasks, FIELDS), rows)
    )
    for name, value in results.seeds["0"].test["text+audio+visual"].items():
        assert found[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name
    assert results.model.parameters == model.num_parameters()


def test_subsets_withhold_the_words(finished):
    scores = finished[1].seeds["0"].test
    assert len(scores) == 7
    names = [("text+audio", "audio"), ("text+audio+visual", "audio+visual"), ("text+visual", "visual")]
    assert all(scores[a]["sentiment.mae"] != scores[b]["sentiment.mae"] for a, b in names)
    text, audio = (scores[m]["sentiment.pearson"] for m in ("text", "audio"))
    assert text > audio + 0.3, "the transcripts tell the sentiment"


def test_the_card_names_the_encoder(finished, encoder):
    card = (finished[0] / "README.md").read_text()
    assert f"| text | {encoder} | – | 12 | one per token |" in card


def test_an_interrupted_run_with_an_encoder_resumes(finished, spoken, encoder, tmp_path, no_plots, monkeypatch):  # noqa: F811
    with monkeypatch.context() as patch:
        spy(patch, InterruptAfter(2))
        with pytest.raises(KeyboardInterrupt):
            start(spoken, encoder, tmp_path / "run")
    assert measured(start(spoken, encoder, tmp_path / "run", resume=True)) == measured(finished[1])


def test_tailor_and_text_alone(spoken, encoder, tmp_path, no_plots):  # noqa: F811
    both = start(spoken, encoder, tmp_path / "a", architecture="mm_affect_tailor", model=TAILOR,
                 modalities=["text", "audio"], training={"epochs": 1, "batch_size": 16},
                 tasks=[{"name": "emotion", "labels": ["happy", "sad"]}])  # fmt: skip
    assert list(both.summary) == ["text+audio", "text", "audio"]
    alone = start(spoken, encoder, tmp_path / "b", modalities=["text"], training={"epochs": 1, "batch_size": 16})
    assert list(alone.summary) == ["text"]
    assert AutoProcessor.from_pretrained(tmp_path / "b").model_input_names == ["input_ids", "attention_mask"]
    assert load_checkpoint(str(tmp_path / "b"))[1].modalities == ["text"]


def test_sugrm_whose_tasks_of_each_modality_have_generated_labels(spoken, encoder, tmp_path, no_plots):  # noqa: F811
    task = {"name": "sentiment", "problem_type": "regression", "value_range": [-3.0, 3.0]}
    results = start(spoken, encoder, tmp_path / "run", architecture="mm_affect_sugrm", tasks=[task], modalities=["text", "visual"],
                    model={"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}, training={"epochs": 2})  # fmt: skip
    assert np.isfinite(results.seeds["0"].test["text+visual"]["sentiment.mae"])
    model, processor = load_checkpoint(str(tmp_path / "run"))
    row = {"transcript": "what a bad day", "visual": np.ones((20, SIZES["visual"]))}
    with torch.no_grad():
        found = model(**processor(row)).logits
    assert list(found) == ["sentiment", "sentiment_text", "sentiment_visual"]


@pytest.mark.parametrize("case", [
    "nowhere", "no encoder", "another architecture", "two sequences", "no tokenizer", "no weights", "other words",
    "no transcripts", "too many tokens", "filled in", "no encoder to cut for", "text left out",
])  # fmt: skip
def test_a_run_that_cannot_start_says_why_and_leaves_nothing(spoken, encoder, tmp_path, case):
    folder, fields = tmp_path / "encoder", {}
    if case == "no encoder":
        folder.mkdir()
    elif case == "another architecture":
        FusionConfig().save_pretrained(folder)
    elif case == "two sequences":
        T5Config().save_pretrained(folder)
    elif case in ("no tokenizer", "no weights"):
        shutil.copytree(encoder, folder)
        (folder / {"no tokenizer": "tokenizer.json", "no weights": "model.safetensors"}[case]).unlink()
    elif case == "other words":
        save_encoder(folder, [*WORDS, "more"])
    elif case == "no transcripts":
        fields, folder = {"rows": run_config(tmp_path)["rows"]}, encoder
    elif case != "nowhere":
        folder = None if case == "no encoder to cut for" else encoder
        fields = {"too many tokens": {"max_tokens": 25}, "filled in": {"model": {"text_config": SMALL}},
                  "text left out": {"modalities": ["audio"]}}.get(case, {})  # fmt: skip
    sentence = {
        "nowhere": "Config text_encoder: cannot load an encoder from .*Give a folder with an encoder and its tokenizer, or a",
        "no encoder": "Config text_encoder: cannot load an encoder from",
        "another architecture": "a model of type 'mm_affect_fusion', which does not encode tokens into one sequence",
        "two sequences": "a model of type 't5', which does not",
        "no tokenizer": r"has no tokenizer that can be read; .*\(it knows no words\)",
        "no weights": "no file named .*model.safetensors",
        "other words": "tokenizer at .* has 23 tokens, but the vocabulary of the encoder has 22; they do not belong together",
        "no transcripts": "no training row of .* has a transcript. Add transcripts to the corpus",
        "too many tokens": "`max_tokens` is 25; .* reads 24 at most",
        "filled in": "Config model.text_config is filled in .*see .*`text_encoder`",
        "no encoder to cut for": "Config max_tokens is 8; it belongs to a text_encoder",
        "text left out": "but modalities leaves text out",
    }[case]
    fields = {"text_encoder": None if folder is None else str(folder)} | fields
    with pytest.raises((ValueError, OSError), match=sentence) as caught:
        start(spoken, encoder, tmp_path / "run", **fields)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


# raw clips --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(encoder, tokenizer, tmp_path_factory):
    """A model of words and sound, which nobody trained, with its processor."""
    folder, sound = tmp_path_factory.mktemp("checkpoint"), {"audio": LogMelExtractor()}
    processor = AffectProcessor.from_extractors(sound, tokenizer=tokenizer, max_tokens=12)
    sizes = processor.feature_sizes
    model_with(encoder, feature_sizes=sizes, modalities=["text", "audio"]).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_the_pipeline_reads_words_and_answers_along_the_clip(checkpoint, tmp_path):
    recognizer = pipeline("affect-recognition", model=str(checkpoint))
    sound = str(write_wav(tmp_path / "a.wav", 2.0))
    clip = {"audio": sound, "text": "what a bad day", "spans": [[0.0, 0.4], [0.5, 0.9], [1.0, 1.3], [1.4, 1.8]]}
    found = recognizer(clip, window=1.0)
    assert found["steps"] == {"text": 4, "audio": found["steps"]["audio"]} and found["steps"]["audio"] > 0
    row = {"transcript": clip["text"], "audio_file": sound}
    with torch.no_grad():
        value = recognizer.model(**recognizer.processor(row)).logits["sentiment"].item()
    assert found["tasks"]["sentiment"]["value"] == pytest.approx(value, abs=1e-4)
    assert len(found["timeline"]) == 2
    untimed = recognizer({name: clip[name] for name in ("audio", "text")}, window=1.0)["timeline"]
    silent = recognizer(sound, window=1.0)["timeline"]
    assert untimed == silent != found["timeline"], "words without times are in no window"
    words = recognizer({"text": clip["text"], "spans": clip["spans"]}, window=1.0)["timeline"]
    assert [part["tasks"] for part in words] == [recognizer({"text": t})["tasks"] for t in ("what a", "bad day")]
    assert recognizer(clip, modalities=["audio"], window=1.0) == recognizer(sound, window=1.0)
    for nothing in ({"text": " "}, {}):
        with pytest.raises(ValueError, match="nothing to read"):
            recognizer(nothing)
    with pytest.raises(ValueError, match="nothing to read"):
        recognizer({"text": "well"}, modalities=["audio"])


def test_the_command_predicts_a_clip_and_its_words(checkpoint, tmp_path, capsys):
    sound = str(write_wav(tmp_path / "a.wav"))
    command = ["predict", sound, "--model", str(checkpoint), "--json", "--transcript"]
    answers = []
    for words in ("what a good day", "never again"):
        assert cli.main([*command, words]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert [answer["steps"]["text"] for answer in answers] == [4, 2]
    assert answers[0]["tasks"] != answers[1]["tasks"]
    (tmp_path / "broken").mkdir()
    for file in checkpoint.iterdir():
        if file.name != "tokenizer.json":
            shutil.copy(file, tmp_path / "broken")
    assert cli.main([*command, "well", "--model", str(tmp_path / "broken")]) == 1
    assert "has no tokenizer that can be read" in capsys.readouterr().err


def test_rows_extracted_with_the_processor_of_a_checkpoint_keep_their_words(checkpoint, tmp_path):
    write_wav(tmp_path / "corpus" / "a.wav")
    lines = [
        {"id": f"clip{i}", "split": "train", "audio": "a.wav", "transcript": "what a day", "mood": i} for i in (1, 2)
    ]
    processor = AutoProcessor.from_pretrained(checkpoint)
    record = extract_corpus(write_corpus(tmp_path / "corpus", lines), tmp_path / "rows", processor)
    row = RowReader(load(tmp_path / "rows")["train"])[0]
    assert row["transcript"] == "what a day" and len(row["text"]) == 0 and len(row["audio"])
    assert set(record.sizes) == {"audio"}
    saved = AutoProcessor.from_pretrained(tmp_path / "rows")
    assert saved(row)["attention_mask"].sum() == 5
