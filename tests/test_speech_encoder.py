# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech encoders of transformers as extractors: hidden states of the model itself, however the audio is cut."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from corpora import FIELDS, run_config, write_corpus, write_wav
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoProcessor,
    BertConfig,
    BertModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mm_affect.cli.main import main
from mm_affect.data import RowReader, load, read_corpus
from mm_affect.features.extractors import build_audio_extractor, build_extractor
from mm_affect.features.log_mel import LogMelExtractor
from mm_affect.features.speech_encoder import SpeechEncoder
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


TINY = {
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "conv_dim": [4] * 7,  # the usual kernels and strides: 400 samples per frame, 320 from one to the next
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 9,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
WHISPER = {
    "d_model": 8,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 12,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 12,
    "num_mel_bins": 10,
    "vocab_size": 20,
    "max_source_positions": 50,  # one second
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
}
KINDS = ("wav2vec2", "stable", "hubert", "wavlm", "whisper")


def save(folder, model, prepare=None):
    model.save_pretrained(folder)
    (prepare or Wav2Vec2FeatureExtractor()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("encoders")
    models = {
        "wav2vec2": Wav2Vec2ForCTC(Wav2Vec2Config(**TINY)),  # with a head, as recognizers are saved
        "stable": Wav2Vec2Model(Wav2Vec2Config(**TINY, **STABLE)),
        "hubert": HubertModel(HubertConfig(**TINY)),
        "wavlm": WavLMModel(WavLMConfig(**TINY)),
        "whisper": WhisperForConditionalGeneration(WhisperConfig(**WHISPER)),
    }
    for name, model in models.items():
        prepare = WhisperFeatureExtractor(feature_size=10, chunk_length=1) if name == "whisper" else None
        save(root / name, model, prepare)
    return root


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


@torch.no_grad()
def hidden_states(folder, waveform) -> list[np.ndarray]:
    """Layers of the model itself; a Whisper encoder is built for the length of the audio."""
    if folder.name != "whisper":
        samples = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
        output = AutoModel.from_pretrained(folder).eval()(torch.from_numpy(samples)[None], output_hidden_states=True)
    else:
        frames = -(-len(waveform) // 320)
        weights = load_file(folder / "model.safetensors")
        weights = {k.removeprefix("model.encoder."): v for k, v in weights.items() if k.startswith("model.encoder.")}
        weights["embed_positions.weight"] = weights["embed_positions.weight"][:frames]
        encoder = WhisperEncoder(WhisperConfig(**WHISPER | {"max_source_positions": frames})).eval()
        encoder.load_state_dict(weights)
        prepare = WhisperFeatureExtractor(feature_size=10, chunk_length=1)
        padded = np.pad(waveform, (0, frames * 320 - len(waveform)))
        inputs = prepare(padded, sampling_rate=16000, max_length=len(padded), return_tensors="pt")
        output = encoder(inputs["input_features"], output_hidden_states=True)
    return [states[0].numpy() for states in (*output.hidden_states[:-1], output.last_hidden_state)]


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_hidden_states_of_the_model(encoders, kind):
    waveform = noise(0.7, seed=1)[:-37]
    extractor = SpeechEncoder(encoders / kind, layers=[0, 2, 3])
    features, states = extractor(waveform), hidden_states(encoders / kind, waveform)
    frames = 35 if kind == "whisper" else 34  # Whisper fills the last frame up with silence
    assert features.shape == (frames, 24)
    assert features.dtype == np.float32
    assert features.std() > 0.01
    assert (extractor.size, extractor.rate, extractor.sampling_rate) == (24, 50, 16000)
    np.testing.assert_allclose(features, np.concatenate([states[i] for i in (0, 2, 3)], 1), atol=1e-5)
    np.testing.assert_allclose(SpeechEncoder(encoders / kind)(waveform), states[3], atol=1e-5)
    mean = SpeechEncoder(encoders / kind, [2], "mean")
    np.testing.assert_allclose(mean(waveform), states[2].mean(0, keepdims=True), atol=1e-5)
    assert mean.rate == (1 if kind == "whisper" else 1 / 20)
    assert len(extractor.dimension_names) == 24
    assert extractor.dimension_names[8] == "layer2_0"


@pytest.mark.parametrize("kind", KINDS)
def test_long_audio_is_encoded_in_windows_whatever_the_chunks(encoders, kind):
    """Two whole windows; the third is as long, and only its new frames count."""
    waveform = noise(1.23)
    extractor = SpeechEncoder(encoders / kind, window=0.5)
    features = extractor(waveform)
    longest = 8080 if kind != "whisper" else 8000
    windows = [hidden_states(encoders / kind, waveform[i : i + longest])[3] for i in (0, 8000)]
    frames = 62 if kind == "whisper" else 61
    last = hidden_states(encoders / kind, waveform[(frames - 25) * 320 :])[3][50 - frames :]
    np.testing.assert_allclose(features, np.concatenate([*windows, last]), atol=1e-5)
    for size in (1, 333, 4000, 8080, 9000):
        chunks = [waveform[i : i + size] for i in range(0, len(waveform), size)]
        streamed = list(extractor.stream(chunks))
        np.testing.assert_array_equal(np.concatenate(streamed), features)
        assert len(streamed) == 3
    mean = SpeechEncoder(encoders / kind, pooling="mean", window=0.5)
    parts = (features[:25], features[25:50], features[50:])
    np.testing.assert_allclose(mean(waveform), np.stack([part.mean(0) for part in parts]), atol=1e-5)
    assert mean.rate == 2


@pytest.mark.parametrize("kind", ["wavlm", "whisper"])
def test_one_clip_equals_many(encoders, kind):
    """Nothing is remembered from the clip before, whatever its length."""
    extractor, clips = SpeechEncoder(encoders / kind), [noise(length, 3) for length in (0.9, 0.1, 0.4, 0.9)]
    features = [extractor(clip) for clip in clips]
    np.testing.assert_array_equal(features[0], features[3])
    for clip, values in zip(clips, features, strict=True):
        np.testing.assert_array_equal(SpeechEncoder(encoders / kind)(clip), values)


def test_short_and_wrong_audio(encoders):
    for kind, frames in (("wavlm", 0), ("whisper", 1)):
        extractor = SpeechEncoder(encoders / kind)
        assert extractor(np.zeros(0, np.float32)).shape == (0, 8)
        assert extractor(noise(0.02)).shape == (frames, 8)
        assert np.isfinite(extractor(np.zeros(8000, np.float32))).all()
        with pytest.raises(ValueError, match="floats in"):
            extractor(np.zeros(8000, np.int16))


def test_only_the_encoder_of_whisper_is_loaded(encoders):
    names = [name for name, _ in SpeechEncoder(encoders / "whisper").network.named_parameters()]
    assert len(names) > 20
    assert not any("decoder" in name for name in names)


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_the_description_brings_the_extractor_back(encoders, kind, monkeypatch, tmp_path):
    extractor, waveform = SpeechEncoder(encoders / kind, [1, 3], "mean", window=0.5), noise(0.7)
    features = extractor(waveform)
    description = json.loads(json.dumps(extractor.describe()))
    expected = {"name": "speech_encoder", "version": 1, "weights": kind, "sampling_rate": 16000, "rate": 2, "size": 16}
    expected |= {"layers": [1, 3], "pooling": "mean", "window": 0.5}
    assert {key: description[key] for key in expected} == expected
    assert len(description["sha256"]) == 64
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(extractor))(waveform), features)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"no pretrained model at {kind}; .*MM_AFFECT_WEIGHTS"):
        build_extractor("audio", description)
    monkeypatch.setenv("MM_AFFECT_WEIGHTS", str(encoders))
    again = build_extractor("audio", description)
    assert again.describe() == description
    np.testing.assert_array_equal(again(waveform), features)
    other = shutil.copytree(encoders / kind, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file({k: v + 1 for k, v in weights.items()}, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="asks for speech_encoder features with sha256"):
        SpeechEncoder.from_description(description, weights=other)


def test_folders_that_are_no_speech_encoder_are_refused(encoders, tmp_path):
    def lacking(kind, part):
        folder = shutil.copytree(encoders / kind, tmp_path / f"{kind}_lacks")
        weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if part not in k}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    bare = shutil.copytree(encoders / "hubert", tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    empty = shutil.copytree(encoders / "hubert", tmp_path / "empty")
    (empty / "model.safetensors").unlink()
    bert = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    for folder, words in {
        tmp_path / "absent": "There is no pretrained model at",
        empty: "has no weights",
        bare: "has no feature extractor",
        lacking("hubert", "layers.1.layer_norm.weight"): "they lack .*layer_norm.weight; a random network",
        lacking("whisper", "encoder.conv1"): "they lack .*conv1.bias and 1 more; a random network",
        save(tmp_path / "bert", BertModel(bert)): "model of type 'bert', which does not encode audio; give a speech",
    }.items():
        with pytest.raises(ValueError, match=f"(?s){words}") as caught:
            SpeechEncoder(folder).describe()
        assert "\n" not in str(caught.value)
    for options, words in {
        ((1, 4),): r"has the layers 0 \(the input of the first\) to 3; layer 4 was asked for",
        ((-1,),): "layer -1 was asked for",
        ((),): "none were asked for",
        (None, "max"): "`pooling` is 'max'; expected one of frames, mean",
        (None, "mean", 0): "`window` is 0",
    }.items():
        with pytest.raises(ValueError, match=words):
            SpeechEncoder(encoders / "hubert", *options)


def test_the_choice_of_an_extractor(encoders):
    assert isinstance(build_audio_extractor(), LogMelExtractor)
    chosen = build_audio_extractor(str(encoders / "wavlm"), [2], "mean")
    assert isinstance(chosen, SpeechEncoder)
    assert (chosen.layers, chosen.pooling) == ([2], "mean")
    for options in ({"layers": [2]}, {"pooling": "mean"}):
        with pytest.raises(ValueError, match="belong to speech encoders"):
            build_audio_extractor(**options)


# the command ------------------------------------------------------------------------------------------------------


def test_extract_train_and_predict(encoders, tmp_path, monkeypatch, capsys):
    lines = [{"id": f"{s}-{i}", "group": f"{s}-{i}", "split": s, "audio": str(write_wav(tmp_path / f"{s}{i}.wav", 0.3)),
              "sentiment": i + 0.5} for s in ("train", "validation", "test") for i in range(2)]  # fmt: skip
    corpus = write_corpus(tmp_path / "corpus", lines, {"label_fields": [FIELDS[0].to_dict()]})
    words = [
        "--audio",
        str(encoders / "wavlm"),
        "--audio-layers",
        "2,3",
        "--audio-pooling",
        "frames",
        "--workers",
        "1",
    ]
    assert main(["extract", str(corpus), "--output", str(tmp_path / "rows"), *words]) == 0
    description = read_corpus(tmp_path / "rows").extractors["audio"]
    assert (description["name"], description["rate"], description["size"]) == ("speech_encoder", 50, 16)
    assert str(encoders) not in (tmp_path / "rows" / "processor_config.json").read_text()
    row = RowReader(load(tmp_path / "rows")["train"])[0]
    assert row["audio"].shape == (14, 16)
    monkeypatch.chdir(tmp_path)
    config = run_config(tmp_path / "run", rows=str(tmp_path / "rows"), training={"epochs": 1, "batch_size": 2})
    monkeypatch.setattr(experiments, "publish", lambda *_: None)
    experiments.run(RunConfig.from_dict(config))
    clip = ["predict", str(tmp_path / "train0.wav"), "--model", str(tmp_path / "run"), "--json"]
    capsys.readouterr()
    assert main(clip) == 1
    assert "no pretrained model at wavlm" in capsys.readouterr().err
    monkeypatch.setenv("MM_AFFECT_WEIGHTS", str(encoders))
    again = AutoProcessor.from_pretrained(tmp_path / "run").extract({"audio_file": str(tmp_path / "train0.wav")})
    np.testing.assert_allclose(again["audio"], row["audio"], rtol=1e-6)
    assert main(clip) == 0
    assert FIELDS[0].name in capsys.readouterr().out


def test_bad_audio_options_are_one_sentence(encoders, tmp_path, capsys):
    corpus = write_corpus(tmp_path / "corpus", [{"id": "a", "split": "train", "transcript": "well"}])
    (tmp_path / "given" / "audio").mkdir(parents=True)
    shutil.copy(corpus / "manifest.csv", tmp_path / "given")
    np.save(tmp_path / "given" / "audio" / "a.npy", np.zeros((2, 3), np.float32))
    for source, words, sentence in (
        (corpus, ["--audio-layers", "2"], "belong to speech encoders"),
        (corpus, ["--audio", str(encoders / "wavlm"), "--audio-layers", "2,9"], "layer 9 was asked for"),
        (corpus, ["--audio", str(tmp_path / "none")], "There is no pretrained model at"),
        (tmp_path / "given", ["--audio", str(encoders / "wavlm")], "has audio feature files"),
    ):
        assert main(["extract", str(source), "--output", str(tmp_path / "rows"), *words]) == 1
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mm-affect: ")]
        assert len(said) == 1 and sentence in said[0], said
    with pytest.raises(SystemExit):
        main(["extract", str(corpus), "--output", str(tmp_path / "rows"), "--audio-layers", "2,x"])
    assert "'2,x' is not a layer" in capsys.readouterr().err
