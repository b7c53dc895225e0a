# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcripts by speech recognizers: what they say and how sure they are, as a corpus; nothing is lost or heard twice."""

import json
import os
import shutil
import wave

import numpy as np
import pytest
import torch
from corpora import write_corpus, write_wav
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.nn import functional as F
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from mm_affect import (
    AffectProcessor,
    JointEmbeddingsConfig,
    JointEmbeddingsForAffect,
    JointEmbeddingsForPreTraining,
    Task,
    TranscriptTokenizer,
)
from mm_affect.cli.main import main
from mm_affect.data import load, read_manifest
from mm_affect.data.corpora.transcript_table import TranscriptTable
from mm_affect.features.log_mel import LogMelExtractor
from mm_affect.features.media import read_audio
from mm_affect.preparation.speech_recognizers import load_recognizer
from mm_affect.preparation.transcription import transcribe


LETTERS = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6, "c": 7}
SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|transcribe|>",
    "<|translate|>",
    "<|notimestamps|>",
]
TOKENS = [SPECIAL[0], "one", "two", "three", "four", *SPECIAL[1:]]  # what stands behind the last one is a time stamp
TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}


@pytest.fixture(scope="module")
def ctc(tmp_path_factory):
    """A random Wav2Vec2 that knows three letters."""
    folder = tmp_path_factory.mktemp("recognizers") / "tiny_ctc"
    torch.manual_seed(0)
    convolutions = {"conv_dim": [8, 8], "conv_kernel": [10, 8], "conv_stride": [10, 16], "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    model = Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=8, **TINY, **convolutions, **positions))
    model.lm_head.weight.data *= 40
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(LETTERS))
    Wav2Vec2CTCTokenizer(folder / "vocab.json").save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    """A random Whisper of two languages, which hears two seconds at once."""
    folder = tmp_path_factory.mktemp("recognizers") / "tiny_whisper"
    torch.manual_seed(0)
    ids = {name: i for i, name in enumerate(TOKENS)}
    layers = {f"{side}_{what}": n for side in ("encoder", "decoder")
              for what, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 12))}  # fmt: skip
    marks = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 5}
    config = WhisperConfig(vocab_size=11, d_model=8, num_mel_bins=20, max_source_positions=100, **layers, **marks,
                           max_target_positions=16, suppress_tokens=None, begin_suppress_tokens=None)  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.model.decoder.embed_tokens.weight.data *= 60
    attention = model.model.decoder.layers[0].encoder_attn  # what is heard decides what is said
    for part in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
        part.weight.data *= 40
    model.generation_config = GenerationConfig(
        **marks, max_length=12, is_multilingual=True, lang_to_id={"<|en|>": 6, "<|de|>": 7}, no_timestamps_token_id=10,
        task_to_id={"transcribe": 8, "translate": 9}, suppress_tokens=[5, 6, 7, 8, 9, 10],
    )  # fmt: skip
    model.save_pretrained(folder)
    words = Tokenizer(WordLevel(ids, unk_token="<|endoftext|>"))
    fast = {"eos_token": SPECIAL[0], "pad_token": SPECIAL[0], "additional_special_tokens": SPECIAL[1:]}
    PreTrainedTokenizerFast(tokenizer_object=words, **fast).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(folder)
    return folder


def noise(path, seconds, seed=0):
    time = np.arange(round(16000 * seconds)) / 16000
    samples = np.random.default_rng(seed).normal(size=len(time)) * 1000
    samples += 9000 * np.sin(2 * np.pi * (200 + 900 * seed) * time + 800 * time**2)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", None))
        file.writeframes(samples.clip(-32767, 32767).astype("<i2").tobytes())
    return path


@pytest.fixture
def corpus(tmp_path):
    """Six clips: words of its own, sound, sound with labels, silence, one too short, and one that is damaged."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i, seconds in enumerate((0.5, 0.7, 0.6)):
        noise(folder / f"{i}.wav", seconds, i)
    write_wav(folder / "silent.wav", 0.5, loudness=0)
    noise(folder / "short.wav", 0.02)
    (folder / "broken.wav").write_bytes((folder / "0.wav").read_bytes()[:5000])
    files = {"own": "0", "a": "1", "b": "2", "silent": "silent", "short": "short", "broken": "broken"}
    lines = [{"id": clip, "group": clip, "split": "train", "audio": f"{file}.wav", "transcript": "own words" if clip == "own"
              else "", "mood": {"b": "sad", "own": "glad"}.get(clip, ""), "start": 0.1 if clip == "b" else ""}
             for clip, file in files.items()]  # fmt: skip
    return write_corpus(folder, lines)


@pytest.fixture
def command(capsys):
    def run(source, model, output, *words, code=0):
        given = main(["transcribe", str(source), "--model", str(model), "--output", str(output), *words])
        printed = capsys.readouterr()
        assert given == code and "Traceback" not in printed.err, printed.err
        errors = [line for line in printed.err.splitlines() if line.startswith("mm-affect: ")]
        assert len(errors) == code, printed.err
        return errors[0] if code else printed.out + printed.err

    return run


def lines_of(folder):
    return {line["id"]: line for line in map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())}


def log_of(folder):
    return [json.loads(line) for line in (folder / "transcripts.jsonl").read_text().splitlines()]


# what is heard ----------------------------------------------------------------------------------------------------


def test_ctc_says_the_collapsed_tokens_and_their_mean_likelihood(ctc, tmp_path):
    sound = noise(tmp_path / "a.wav", 0.6)
    text, likelihood, language = load_recognizer(str(ctc))({"audio_file": str(sound)})
    heard = Wav2Vec2FeatureExtractor.from_pretrained(ctc)(read_audio(sound), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        scores = F.log_softmax(Wav2Vec2ForCTC.from_pretrained(ctc).eval()(**heard).logits[0], -1)
    names, said, sure, last = {i: name for name, i in LETTERS.items()}, "", [], 0
    for frame in scores:
        token = int(frame.argmax())
        if token not in (0, last):
            sure.append(float(frame[token]))
            said += {"|": " ", **dict.fromkeys(("<s>", "</s>", "<unk>"), "")}.get(names[token], names[token])
        last = token
    assert len(sure) > 3 and said.strip(), "or this random model shows nothing"
    assert text == " ".join(said.split(" ")).strip() and language is None
    assert likelihood == pytest.approx(np.mean(sure), abs=1e-5)


def test_sequence_to_sequence_says_words_language_and_likelihood(whisper, tmp_path):
    sound = noise(tmp_path / "a.wav", 1.5)
    text, likelihood, language = load_recognizer(str(whisper))({"audio_file": str(sound)})
    heard = WhisperFeatureExtractor.from_pretrained(whisper)(
        read_audio(sound), sampling_rate=16000, return_tensors="pt"
    )
    model = WhisperForConditionalGeneration.from_pretrained(whisper).eval()

    def scores(ids):
        with torch.no_grad():
            return model(**heard, decoder_input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)

    spoken = 6 + int(scores([5])[6:8].argmax())
    assert language == TOKENS[spoken].strip("<|>")
    ids, sure = [5, spoken, 8, 10], []
    while len(ids) < 4 + 12:
        following = scores(ids)
        token = int(following[:5].argmax())
        if token == 0:
            break
        ids.append(token)
        sure.append(float(following[token]))
    assert sure and text == " ".join(TOKENS[token] for token in ids[4:])
    assert likelihood == pytest.approx(np.mean(sure), abs=1e-4)


def test_long_clips_are_read_in_chunks_and_silence_is_skipped(whisper, ctc, tmp_path, monkeypatch):
    recognizer, pieces = load_recognizer(str(whisper)), []
    recognize = recognizer._recognize
    monkeypatch.setattr(recognizer, "_recognize", lambda heard: pieces.append(heard) or recognize(heard))
    whole = recognizer({"audio_file": str(noise(tmp_path / "long.wav", 3.0))})
    parts = [recognizer({"audio_file": str(tmp_path / "long.wav"), "start": s, "end": e}) for s, e in ((0, 2), (2, 3))]
    assert len(pieces) == 4 and whole.text == " ".join(part.text for part in parts)
    weights = [len(part.text.split()) for part in parts]
    assert whole.likelihood == pytest.approx(
        np.average([part.likelihood for part in parts], weights=weights), abs=1e-5
    )
    nothing = [write_wav(tmp_path / "silent.wav", 1.0, loudness=0), noise(tmp_path / "short.wav", 0.05)]
    for each in (recognizer, load_recognizer(str(ctc))):
        for path in nothing:
            assert each({"audio_file": str(path)}) == (None, None, None)
    assert len(pieces) == 4


SMALL = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "encoder_layers": 1, "decoder_layers": 1,
         "feature_sizes": {"audio": 200}, "modalities": ["audio"], "modality_weights": {"audio": 1.0}}  # fmt: skip


def joint(folder):
    """A random model as pretraining leaves it."""
    torch.manual_seed(0)
    model = JointEmbeddingsForPreTraining(JointEmbeddingsConfig.pretraining(["x", "y"], **SMALL))
    model.save_pretrained(folder)
    AffectProcessor.from_extractors({"audio": LogMelExtractor()}).save_pretrained(folder)
    return model.eval()


def test_our_own_decoder_is_a_recognizer(tmp_path, command):
    model = joint(tmp_path / "joint")
    sound = noise(tmp_path / "a.wav", 0.6)
    assert "no folder `transcripts`" in command(tmp_path, tmp_path / "joint", tmp_path / "out", code=1)
    TranscriptTokenizer().save_pretrained(tmp_path / "joint" / "transcripts")
    text, likelihood, _ = load_recognizer(str(tmp_path / "joint"))({"audio_file": str(sound)})
    batch = AffectProcessor.from_extractors({"audio": LogMelExtractor()})({"audio_file": str(sound)})
    ids = model.generate_transcript(**batch)
    assert text == (TranscriptTokenizer().decode(ids[0], skip_special_tokens=True).strip() or None)
    with torch.no_grad():
        assert likelihood == pytest.approx(-model(**batch, characters=ids).losses["speech"].item(), abs=1e-5)


# the corpus -------------------------------------------------------------------------------------------------------


def test_the_output_is_a_corpus_and_the_source_stays(ctc, corpus, tmp_path, command):
    before = {path: path.read_bytes() for path in corpus.iterdir()}
    printed = command(corpus, ctc, tmp_path / "out")
    assert {path: path.read_bytes() for path in corpus.iterdir()} == before
    found = lines_of(tmp_path / "out")
    assert list(found) == ["own", "a", "b", "silent", "short"], "the damaged one is left out"
    assert "left out broken: The media file" in printed and "1 failed" in printed and "5 clips" in printed
    assert found["own"]["transcript"] == "own words" and "likelihood" not in found["own"]
    said = load_recognizer(str(ctc))({"audio_file": str(corpus / "2.wav"), "start": 0.1})
    assert found["b"]["transcript"] == said.text and found["b"]["likelihood"] == pytest.approx(
        said.likelihood, abs=1e-5
    )
    assert found["b"]["mood"] == "sad" and "transcript" not in found["silent"]
    manifest = read_manifest(tmp_path / "out")
    assert [field.name for field in manifest.label_fields] == ["mood"], "likelihood is no label"
    assert manifest.records[1]["audio_file"] == str(corpus / "1.wav") and manifest.records[2]["start"] == 0.1
    assert manifest.corpus["transcripts"]["model"] == "tiny_ctc"
    assert load(tmp_path / "out")["train"].num_rows == 5
    listed = TranscriptTable(tmp_path / "out" / "manifest.jsonl")
    assert listed.find("a")["likelihood"] == found["a"]["likelihood"]


def test_a_folder_of_media_is_a_source(ctc, tmp_path, command):
    for speaker in ("x", "y"):
        (tmp_path / "media" / speaker).mkdir(parents=True)
        noise(tmp_path / "media" / speaker / "1.wav", 0.3)
    command(tmp_path / "media", ctc, tmp_path / "out")
    found = lines_of(tmp_path / "out")
    assert list(found) == ["x/1", "y/1"] and [line["group"] for line in found.values()] == ["x", "y"]
    shutil.copy(tmp_path / "media" / "x" / "1.wav", tmp_path / "media" / "x" / "1.mp4")
    assert "both clip 'x/1'" in command(tmp_path / "media", ctc, tmp_path / "out", code=1)


def test_filters_leave_out_and_are_changed_without_hearing_again(whisper, corpus, tmp_path, command, monkeypatch):
    command(corpus, whisper, tmp_path / "out")
    everything, log = lines_of(tmp_path / "out"), (tmp_path / "out" / "transcripts.jsonl").read_bytes()
    assert {everything[clip]["language"] for clip in "ab"} <= {"en", "de"}
    least = max(everything[clip]["likelihood"] for clip in "ab")
    likely = {clip for clip in "ab" if everything[clip]["likelihood"] >= least}
    assert len(likely) == 1
    monkeypatch.setattr("mm_affect.preparation.speech_recognizers.Seq2SeqRecognizer._recognize", None)
    (corpus / "broken.wav").write_bytes(b"RIFF")
    printed = command(corpus, whisper, tmp_path / "out", "--least-likelihood", str(least))
    assert set(lines_of(tmp_path / "out")) == {"own"} | likely and "3 removed by the filters" in printed
    assert (tmp_path / "out" / "transcripts.jsonl").read_bytes().startswith(log)
    language = everything["a"]["language"]
    command(corpus, whisper, tmp_path / "out", "--language", language)
    same = {clip for clip in "ab" if everything[clip]["language"] == language}
    assert set(lines_of(tmp_path / "out")) == {"own"} | same


def test_an_interruption_costs_no_clip_and_repeats_none(ctc, corpus, tmp_path, command, monkeypatch):
    """It stops in the middle of a line; failures are tried again."""
    recognizer, heard = load_recognizer(str(ctc)), []

    def stop(clip, total):
        if clip == "b":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transcribe(recognizer, corpus, tmp_path / "out", stop)
    log = tmp_path / "out" / "transcripts.jsonl"
    first = log.read_text()
    assert [line.get("id") for line in log_of(tmp_path / "out")] == [None, "a", "b"]
    log.write_text(first[:-20])  # the line of "b" was not finished
    call = type(recognizer).__call__
    monkeypatch.setattr(
        "mm_affect.preparation.speech_recognizers.TransformersRecognizer.__call__",
        lambda s, row: heard.append(row["id"]) or call(s, row),
    )
    command(corpus, ctc, tmp_path / "out")
    assert heard == ["b", "silent", "short", "broken"]
    assert log.read_text().startswith(first)
    heard.clear()
    noise(corpus / "broken.wav", 0.5)
    assert "failed" not in command(corpus, ctc, tmp_path / "out")
    assert heard == ["broken"] and "broken" in lines_of(tmp_path / "out")


# bad input --------------------------------------------------------------------------------------------------------


def test_other_models_are_refused_in_one_sentence(ctc, corpus, tmp_path, command):
    Wav2Vec2Model(Wav2Vec2ForCTC.from_pretrained(ctc).config).save_pretrained(tmp_path / "headless")
    plain = JointEmbeddingsConfig(tasks=[Task("mood", "regression", ("mood",))], **SMALL)
    JointEmbeddingsForAffect(plain).save_pretrained(tmp_path / "plain")
    AffectProcessor.from_extractors({"audio": LogMelExtractor()}).save_pretrained(tmp_path / "plain")
    bare = tmp_path / "bare"
    shutil.copytree(ctc, bare)
    (bare / "preprocessor_config.json").unlink()
    wordless = tmp_path / "wordless"
    shutil.copytree(ctc, wordless)
    for name in ("vocab.json", "tokenizer_config.json"):
        (wordless / name).unlink()
    lacking = tmp_path / "lacking"
    shutil.copytree(ctc, lacking)
    weights = load_file(lacking / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if k != "lm_head.bias"}, lacking / "model.safetensors", {"format": "pt"}
    )
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text(json.dumps({"model_type": "vit"}))
    save_file({"x": torch.zeros(1)}, tmp_path / "vit" / "model.safetensors")
    for model, sentence in {
        tmp_path / "none": "There is no pretrained model at",
        tmp_path / "headless": "they lack lm_head",
        lacking: "they lack lm_head.bias; a random network is no substitute",
        bare: "has no feature extractor",
        wordless: "has no tokenizer that can be read",
        tmp_path / "vit": "model of type 'vit', which does not recognize speech",
        tmp_path / "plain": "without a speech decoder",
        corpus: "is not a model of transformers",
    }.items():
        assert sentence in command(corpus, model, tmp_path / "out", code=1)
        assert not (tmp_path / "out").exists()


def test_folders_that_do_not_fit_are_refused(ctc, whisper, corpus, tmp_path, command):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("keep me")
    assert "holds no transcripts.jsonl; it is left alone" in command(corpus, ctc, tmp_path / "full", code=1)
    assert os.listdir(tmp_path / "full") == ["note.txt"]
    assert "is the source folder" in command(corpus, ctc, corpus, code=1)
    assert "is not a folder" in command(tmp_path / "none", ctc, tmp_path / "out", code=1)
    assert "neither a manifest" in command(tmp_path / "full", ctc, tmp_path / "out", code=1)
    command(corpus, ctc, tmp_path / "out")
    assert "was started with tiny_ctc" in command(corpus, whisper, tmp_path / "out", code=1)
    before = (tmp_path / "out" / "manifest.jsonl").read_bytes()
    assert "tiny_ctc does not detect languages" in command(corpus, ctc, tmp_path / "out", "--language", "en", code=1)
    (tmp_path / "alone").mkdir()
    shutil.copy(corpus / "broken.wav", tmp_path / "alone")
    error = command(tmp_path / "alone", ctc, tmp_path / "empty", code=1)
    assert "No clip of" in error and "1 failed" in error and "is cut off or damaged" in error
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == before
