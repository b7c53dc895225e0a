# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""VGG-16 features: the network against the paper's definition, weights that are never random, crops, and descriptions."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from corpora import FIELDS, run_config, sample_corpus, write_corpus, write_video
from safetensors.torch import save_file
from test_faces import drawn
from torch.nn import functional as F
from transformers import AutoProcessor

from mm_affect.cli.main import main
from mm_affect.data import RowReader, load, read_corpus
from mm_affect.features.vgg16 import VGG16, VGG16Extractor
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


# Configuration D: channels of the convolutions, "M" for the maximum over 2 x 2 pixels.
D = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
CHANNELS = [width for width in D if width != "M"]


def random_weights(channels, widths, output=3) -> dict[str, torch.Tensor]:
    """Weights of a VGG-16 by torchvision's names, in no order that would help."""
    random, weights, size, place = torch.Generator().manual_seed(0), {}, 3, 0
    for width in D:
        if width != "M":
            width = channels[sum(name.endswith("bias") for name in weights)]
            weights[f"features.{place}.weight"] = (
                torch.randn(width, size, 3, 3, generator=random) * (2 / size / 9) ** 0.5
            )
            weights[f"features.{place}.bias"] = torch.randn(width, generator=random) * 0.1
            size, place = width, place + 1
        place += 1
    for place, (before, width) in zip((0, 3, 6), [(size * 49, widths[0]), widths, (widths[1], output)]):
        weights[f"classifier.{place}.weight"] = torch.randn(width, before, generator=random) * (2 / before) ** 0.5
        weights[f"classifier.{place}.bias"] = torch.randn(width, generator=random) * 0.1
    return weights


NARROW = random_weights([4, 4, 5, 6, 6, 7, 8, 8, 7, 6, 6, 5, 4], [11, 12])


def convolved(images, weight, bias):
    """A convolution of 3 x 3 pixels as one product with all neighborhoods."""
    around = F.unfold(images, 3, padding=1)  # (n, channels * 9, pixels)
    return (weight.flatten(1) @ around + bias.unsqueeze(1)).unflatten(2, images.shape[2:])


def by_hand(images, weights, layers=2):
    place = 0
    for width in D:
        if width == "M":
            images = images.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
            place += 1
        else:
            images = convolved(images, weights[f"features.{place}.weight"], weights[f"features.{place}.bias"]).relu()
            place += 2
    values = images.flatten(1)
    for place in (0, 3)[:layers]:
        values = (values @ weights[f"classifier.{place}.weight"].T + weights[f"classifier.{place}.bias"]).relu()
    return values


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "narrow.safetensors"
    save_file(NARROW, path)
    return path


@pytest.mark.parametrize(("layer", "layers"), [("fc6", 1), ("fc7", 2)])
def test_the_network_is_the_paper_s(file, layer, layers):
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    found = VGG16.from_weights(file, layer)(images)
    assert found.std() > 0.1
    torch.testing.assert_close(found, by_hand(images, NARROW, layers), rtol=1e-4, atol=1e-4)


def test_names_and_size_are_those_of_torchvision():
    with torch.device("meta"):
        network = VGG16(CHANNELS, [4096, 4096])
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 30
    assert (
        sum(p.numel() for p in network.parameters()) == 138_357_544 - 4_097_000
    )  # without the output of 1000 classes
    assert shapes["features.0.weight"] == (64, 3, 3, 3) and shapes["features.28.weight"] == (512, 512, 3, 3)
    assert shapes["classifier.0.weight"] == (4096, 25088) and shapes["classifier.3.bias"] == (4096,)


def test_weights_of_timm_give_the_same(file, tmp_path):
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    theirs = {}
    for name, values in NARROW.items():
        part, ending = name.rsplit(".", 1)
        if ending == "weight" and part in ("classifier.0", "classifier.3"):
            values = values.view(len(values), -1, *((7, 7) if part == "classifier.0" else (1, 1)))
        theirs[f"{names.get(part, part)}.{ending}"] = values
    save_file(theirs, tmp_path / "model.safetensors")
    images = torch.rand(1, 3, 224, 224)
    assert torch.equal(VGG16.from_weights(tmp_path / "model.safetensors")(images), VGG16.from_weights(file)(images))


def test_weights_are_never_random(tmp_path):
    with pytest.raises(ValueError, match="There are no VGG-16 weights at .*absent; expected a safetensors file"):
        VGG16Extractor(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="There are no VGG-16 weights"):
        VGG16Extractor(tmp_path / "empty")
    (tmp_path / "vgg16.pth").write_bytes(b"not a safetensors file at all")
    with pytest.raises(ValueError, match="vgg16.pth cannot be read as a safetensors file"):
        VGG16Extractor(tmp_path / "vgg16.pth").describe()
    wrong = {
        "has 12 convolutions and 2 fully": {k: v for k, v in NARROW.items() if not k.startswith("features.28.")},
        "Missing.*features.5.bias": {k: v for k, v in NARROW.items() if k != "features.5.bias"},
        "Unexpected.*running_mean": NARROW | {"features.1.running_mean": torch.zeros(4)},
        "size mismatch for features.2.weight": NARROW | {"features.2.weight": torch.zeros(4, 5, 3, 3)},
    }
    for words, weights in wrong.items():
        save_file(weights, tmp_path / "wrong.safetensors")
        with pytest.raises(ValueError, match=f"(?s)wrong.safetensors .*{words}"):
            VGG16.from_weights(tmp_path / "wrong.safetensors")


def test_features_are_those_of_the_crops(file):
    """One row per frame, NaN without a face; the crops are normalized as ImageNet's images are."""
    frames = drawn(5)
    frames[2] = np.full_like(frames[2], 128)
    extractor = VGG16Extractor(file)
    crops, rows = list(extractor._crops(frames)), extractor(iter(frames))
    assert rows.shape == (5, 12) == (5, extractor.size) and rows.dtype == np.float32
    assert np.isnan(rows[2]).all() and np.isfinite(np.delete(rows, 2, axis=0)).all() and crops[2] is None
    image = torch.from_numpy(crops[4] / 255).float().permute(2, 0, 1)
    for channel, (mean, deviation) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        image[channel] = (image[channel] - mean) / deviation
    torch.testing.assert_close(torch.from_numpy(rows[4:]), by_hand(image[None], NARROW), rtol=1e-4, atol=1e-4)
    assert extractor([]).shape == (0, 12)
    assert extractor.dimension_names == [f"fc7_{i}" for i in range(12)]


def test_a_face_crop_follows_the_face_and_a_frame_crop_is_the_middle_square(file):
    frame = drawn(1)[0]
    wide = np.concatenate([np.zeros_like(frame), frame], axis=1)  # the face stands on the right
    found = next(VGG16Extractor(file)._crops([wide]))
    expected = next(VGG16Extractor(file)._crops([frame]))
    assert np.abs(found.astype(int) - expected.astype(int)).mean() < 10
    middle = next(VGG16Extractor(file, crop="frame")._crops([wide]))
    assert middle.shape == (224, 224, 3) and (middle[:, :110] == 0).all() and middle[:, 114:].mean() > 20


def test_long_videos_are_read_a_few_frames_at_a_time(file, monkeypatch):
    monkeypatch.setattr("mm_affect.features.frame_encoder.FRAMES_AT_ONCE", 2)
    frames, taken, seen = drawn(5), [], []
    extractor = VGG16Extractor(file, crop="frame")
    features = extractor._features
    monkeypatch.setattr(extractor, "_features", lambda crops: seen.append(len(taken)) or features(crops))
    rows = extractor(taken.append(frame.shape) or frame for frame in frames)
    assert seen == [2, 4, 5] and len(rows) == 5
    np.testing.assert_allclose(rows[3:4], VGG16Extractor(file, crop="frame")(frames[3:4]), rtol=1e-5, atol=1e-5)


def test_the_description_brings_the_extractor_back(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extractor = VGG16Extractor(file, rate=12.5, crop="frame", layer="fc6")
    description = json.loads(json.dumps(extractor.describe()))
    assert description["weights"] == "narrow.safetensors" and description["size"] == 11
    again = VGG16Extractor.from_description(description, weights=file)
    frames = drawn(2)
    np.testing.assert_array_equal(again(frames), extractor(frames))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(extractor))(frames), extractor(frames))
    assert len(pickle.dumps(extractor)) < 2000  # the weights stay in their file
    with pytest.raises(ValueError, match="There are no VGG-16 weights at narrow.safetensors; .*MM_AFFECT_WEIGHTS"):
        VGG16Extractor.from_description(description)
    monkeypatch.setenv("MM_AFFECT_WEIGHTS", str(file.parent))
    np.testing.assert_array_equal(VGG16Extractor.from_description(description)(frames), extractor(frames))
    other = tmp_path / "other.safetensors"
    save_file({name: value + 1 for name, value in NARROW.items()}, other)
    with pytest.raises(ValueError, match="asks for vgg16 features with sha256"):
        VGG16Extractor.from_description(description, weights=other)
    with pytest.raises(ValueError, match="with version 9"):
        VGG16Extractor.from_description(description | {"version": 9}, weights=file)
    with pytest.raises(ValueError, match="has no `layer`"):
        VGG16Extractor.from_description({k: v for k, v in description.items() if k != "layer"}, weights=file)


@pytest.mark.parametrize(("options", "words"), [
    ({"rate": 0}, "`rate` is 0"), ({"crop": "nose"}, "`crop` is 'nose'"), ({"layer": "fc8"}, "`layer` is 'fc8'"),
])  # fmt: skip
def test_impossible_options_are_refused(file, options, words):
    with pytest.raises(ValueError, match=words):
        VGG16Extractor(file, **options)


def test_other_frames_are_refused(file):
    with pytest.raises(ValueError, match="uint8 arrays of shape"):
        VGG16Extractor(file)([np.zeros((64, 64), np.uint8)])


# the command ------------------------------------------------------------------------------------------------------


def test_extract_with_vgg16_to_a_processor_that_runs_again(file, tmp_path, monkeypatch, capsys):
    """Rows know the weights by name and hash; training needs them no more, new clips do."""
    clip = next((sample_corpus() / "media").glob("*.mp4"))
    lines = [{"id": f"{s}-{i}", "group": f"{s}-{i}", "split": s, "video": str(clip), "end": 0.3, "sentiment": i + 0.5}
             for s in ("train", "validation", "test") for i in range(2)]  # fmt: skip
    corpus = write_corpus(tmp_path / "corpus", lines, {"label_fields": [FIELDS[0].to_dict()]})
    words = ["--visual", "vgg16", "--visual-weights", str(file), "--visual-rate", "5", "--workers", "1"]
    assert main(["extract", str(corpus), "--output", str(tmp_path / "rows"), *words]) == 0
    described = read_corpus(tmp_path / "rows").extractors["visual"]
    assert (described["name"], described["rate"], described["size"]) == ("vgg16", 5, 12)
    assert str(file.parent) not in (tmp_path / "rows" / "processor_config.json").read_text()
    row = RowReader(load(tmp_path / "rows")["train"])[0]
    assert row["visual"].shape == (2, 12) and np.isfinite(row["visual"]).all()
    monkeypatch.chdir(tmp_path)
    config = run_config(tmp_path / "run", rows=str(tmp_path / "rows"), training={"epochs": 1, "batch_size": 2})
    monkeypatch.setattr(experiments, "publish", lambda *_: None)
    experiments.run(RunConfig.from_dict(config))
    processor = AutoProcessor.from_pretrained(tmp_path / "run")
    with pytest.raises(ValueError, match="no VGG-16 weights at narrow.safetensors"):
        processor.extract({"video_file": str(clip), "end": 0.3}, ["visual"])
    monkeypatch.setenv("MM_AFFECT_WEIGHTS", str(file.parent))
    again = processor.extract({"video_file": str(clip), "end": 0.3}, ["visual"])["visual"]
    np.testing.assert_allclose(again, row["visual"], rtol=1e-6)


def test_bad_visual_options_are_one_sentence(file, tmp_path, capsys):
    video = write_video(tmp_path / "gray.mp4")
    corpus = write_corpus(tmp_path / "corpus", [{"id": "a", "split": "train", "video": str(video)}])
    (tmp_path / "brought" / "visual").mkdir(parents=True)
    shutil.copy(
        write_corpus(tmp_path / "other", [{"id": "a", "split": "train"}]) / "manifest.csv", tmp_path / "brought"
    )
    np.save(tmp_path / "brought" / "visual" / "a.npy", np.zeros((2, 3), np.float32))
    for source, words, sentence in (
        (corpus, ["--visual", "vgg16"], "VGG-16 has no weights of its own"),
        (corpus, ["--visual", "vgg16", "--visual-weights", str(tmp_path / "none")], "There are no VGG-16 weights at"),
        (corpus, ["--visual-weights", str(file)], "for vgg16 only"),
        (corpus, ["--visual-rate", "0"], "`rate` is 0"),
        (corpus, ["--visual", str(tmp_path / "none")], "There is no pretrained model at"),
        (tmp_path / "brought", ["--visual", "vgg16", "--visual-weights", str(file)], "has visual feature files"),
    ):
        assert main(["extract", str(source), "--output", str(tmp_path / "rows"), *words]) == 1
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mm-affect: ")]
        assert len(said) == 1 and sentence in said[0], said
