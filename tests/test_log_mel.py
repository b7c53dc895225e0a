# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Log-mel energies: equal to Kaldi's, the same in one piece and in chunks, and honest about bad input."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoFeatureExtractor, AutoProcessor

import mm_affect
from mm_affect import AffectProcessor
from mm_affect.features.log_mel import INT16_SCALE, LogMelExtractor


ARCHITECTURES = [kind for name, kind in vars(mm_affect).items() if name.endswith("Config") and name != "AffectConfig"]
FIXTURES = Path(__file__).parent / "fixtures"
KALDI_TOLERANCE = 3e-4  # log units; both sides compute in float32, in another order
DEPTH = (
    11.5  # 50 dB: farther below a frame's loudest band the rounding of float32 grows on both sides, up to ten times
)


def noise(samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def golden():
    with np.load(FIXTURES / "log_mel_kaldi.npz") as file:
        keys = sorted({key.split(".")[0] for key in file})
        return {key: (file[f"{key}.samples"], file[f"{key}.log_mel"]) for key in keys}


@pytest.mark.parametrize("key", sorted(golden()))
def test_equals_the_frozen_values_of_kaldi(key):
    samples, expected = golden()[key]
    _, sampling_rate, bins = key.split("_")
    extractor = LogMelExtractor(sampling_rate=int(sampling_rate), num_mel_bins=int(bins), stack=1)
    features = extractor((samples / INT16_SCALE).astype(np.float32))
    assert features.shape == expected.shape and features.dtype == np.float32
    loud = expected > expected.max(axis=1, keepdims=True) - DEPTH
    assert loud.mean() > 0.5
    np.testing.assert_allclose(features[loud], expected[loud], rtol=0, atol=KALDI_TOLERANCE)
    np.testing.assert_allclose(features, expected, rtol=0, atol=10 * KALDI_TOLERANCE)


@pytest.mark.parametrize("samples", [400, 559, 560, 16000, 48123])
def test_equals_kaldi_live(samples, monkeypatch):
    pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank, the peer, is not installed")
    monkeypatch.syspath_prepend(FIXTURES)
    from make_log_mel_golden import kaldi_log_mel

    waveform = noise(samples, seed=samples)
    expected = kaldi_log_mel(waveform * INT16_SCALE, 16000, 40)
    features = LogMelExtractor(stack=1)(waveform)
    assert features.shape == expected.shape
    np.testing.assert_allclose(features, expected, rtol=0, atol=KALDI_TOLERANCE)


def test_a_step_is_five_frames_side_by_side_and_the_tail_is_zero():
    waveform = noise(400 + 160 * 11)  # 12 frames: 2 whole steps, then 2 frames and 3 places without one
    frames, steps = LogMelExtractor(stack=1)(waveform), LogMelExtractor()(waveform)
    assert frames.shape == (12, 40) and steps.shape == (3, 200)
    np.testing.assert_array_equal(steps.reshape(-1, 40)[:12], frames)
    assert (steps[2, 80:] == 0).all()


@pytest.mark.parametrize(
    ("samples", "steps"), [(0, 0), (399, 0), (400, 1), (400 + 160 * 4, 1), (400 + 160 * 5, 2), (16000, 20)]
)
def test_number_of_steps(samples, steps):
    assert LogMelExtractor()(noise(samples)).shape == (steps, 200)


@pytest.mark.parametrize("chunk", [1, 37, 399, 16000, 41000, 10**6])
def test_chunks_give_the_same_bits_as_one_piece(chunk):
    waveform = noise(123_457 if chunk > 1 else 5_000)
    extractor = LogMelExtractor()
    parts = list(extractor.stream(waveform[i : i + chunk] for i in range(0, len(waveform), chunk)))
    np.testing.assert_array_equal(np.concatenate(parts), extractor(waveform))


def test_a_stream_comes_out_before_it_has_ended():
    def endless():
        while True:
            yield noise(16000)

    first = next(LogMelExtractor().stream(endless()))
    assert len(first) > 0


def test_a_tone_lies_in_the_band_that_its_frequency_belongs_to():
    time = np.arange(16000) / 16000
    features = LogMelExtractor(stack=1)((0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32))
    edges = np.linspace(*(1127 * np.log(1 + np.array([20, 8000]) / 700)), 42)
    centers = 700 * (np.exp(edges[1:-1] / 1127) - 1)
    assert (features.argmax(axis=1) == np.abs(centers - 1000).argmin()).all()


def test_silence_is_the_floor_and_doubling_adds_the_log_of_four():
    extractor, waveform = LogMelExtractor(stack=1), noise(16000)
    np.testing.assert_allclose(extractor(np.zeros(16000, np.float32)), np.log(np.finfo(np.float32).eps), rtol=1e-6)
    np.testing.assert_allclose(extractor(2 * waveform) - extractor(waveform), np.log(4), atol=1e-5)


def test_a_constant_offset_changes_nothing():
    waveform = noise(16000)
    np.testing.assert_allclose(LogMelExtractor()(waveform + 0.25), LogMelExtractor()(waveform), atol=5e-3)


def test_protocol_and_description():
    extractor = LogMelExtractor(num_mel_bins=23, stack=3)
    assert (extractor.name, extractor.version, extractor.size) == ("log_mel", 1, 69)
    assert extractor.rate == pytest.approx(100 / 3)
    assert len(set(extractor.dimension_names)) == extractor.size
    assert extractor.dimension_names[23] == "frame1_mel00"
    again = LogMelExtractor.from_description(json.loads(json.dumps(extractor.describe())))
    np.testing.assert_array_equal(again(noise(8000)), extractor(noise(8000)))


@pytest.mark.parametrize("config", ARCHITECTURES)
def test_auto_feature_extractor_gives_that_of_the_processor(config, tmp_path):
    extractor, waveform = LogMelExtractor(num_mel_bins=23, stack=3), noise(8000)
    AffectProcessor.from_extractors({"audio": extractor}).save_pretrained(tmp_path)
    config(feature_sizes={"audio": 69}, modalities=["audio"]).save_pretrained(tmp_path)
    found = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(found) is LogMelExtractor and found.describe() == extractor.describe()
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert processor.extractors == {"audio": extractor.describe()}
    np.testing.assert_array_equal(found(waveform), processor.extractor("audio")(waveform))


def test_saved_alone_it_loads_again(tmp_path):
    extractor = LogMelExtractor(sampling_rate=8000)
    extractor.save_pretrained(tmp_path)
    for kind in (AutoFeatureExtractor, LogMelExtractor):
        found, _unused = kind.from_pretrained(tmp_path, return_unused_kwargs=True)
        assert found.describe() == extractor.describe() and found.to_dict() == extractor.to_dict()
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(saved | {"stack": 2}))
    with pytest.raises(ValueError, match="does not fit `log_mel` of this version"):
        AutoFeatureExtractor.from_pretrained(tmp_path)


def test_sound_of_an_unknown_extractor_has_none(tmp_path):
    AffectProcessor({"audio": 74}).save_pretrained(tmp_path)
    mm_affect.BiGRUConfig().save_pretrained(tmp_path)
    with pytest.raises(OSError, match="Can't load feature extractor"):
        AutoFeatureExtractor.from_pretrained(tmp_path)


@pytest.mark.parametrize("change", [{"name": "mfcc"}, {"version": 2}, {"size": 100}, {"color": "red"}])
def test_a_description_that_does_not_fit_is_refused(change):
    with pytest.raises(ValueError, match="descri"):
        LogMelExtractor.from_description(LogMelExtractor().describe() | change)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((16000, 2), np.float32), "one channel"),
        (np.zeros(16000, np.int16), "divide 16-bit integers"),
        (np.array([0.0, np.nan, np.inf], np.float32), "2 samples that are NaN or infinite, the first at position 1"),
    ],
)
def test_bad_waveforms_are_refused_with_a_sentence(waveform, message):
    with pytest.raises(ValueError, match=message):
        LogMelExtractor()(waveform)


@pytest.mark.parametrize(
    ("parameters", "message"), [({"stack": 0}, "five parameters"), ({"num_mel_bins": 200}, "too many")]
)
def test_impossible_parameters_are_refused_with_a_sentence(parameters, message):
    with pytest.raises(ValueError, match=message):
        LogMelExtractor(**parameters)


def test_needs_nothing_but_the_core():
    module = sys.modules[LogMelExtractor.__module__]
    source = Path(module.__file__).read_text()
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"collections", "numpy", "scipy", "transformers"}
