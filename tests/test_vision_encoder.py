# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Vision encoders of transformers as extractors: what they give is the encoder's pooled output, and it is never random."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_faces import drawn
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from mm_affect.features.extractors import build_extractor, build_visual_extractor
from mm_affect.features.vision_encoder import VisionEncoder


TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
SQUARE = {"image_size": 32, "patch_size": 8}


def save(folder, model, prepare=None, side=32):
    model.save_pretrained(folder)
    size = {"height": side, "width": side}
    prepare = prepare or ViTImageProcessorPil(size=size, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.25, 0.3])
    prepare.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    torch.manual_seed(0)
    return save(tmp_path_factory.mktemp("vit") / "tiny_vit", ViTModel(ViTConfig(**TINY, **SQUARE)))


def by_hand(crop):
    """What the tiny ViT's image processor makes of a picture of the right size."""
    pixels = (crop / 255 - np.array([0.4, 0.5, 0.6])) / np.array([0.2, 0.25, 0.3])
    return torch.from_numpy(pixels).float().permute(2, 0, 1)[None]


def test_features_are_the_pooled_output(vit):
    frames = drawn(4)
    frames[2] = np.full_like(frames[2], 128)
    extractor = VisionEncoder(vit)
    rows, crops = extractor(iter(frames)), list(extractor._crops(frames))
    assert rows.shape == (4, 8) and rows.dtype == np.float32
    assert np.isnan(rows[2]).all() and np.isfinite(np.delete(rows, 2, 0)).all() and rows[0].std() > 0.01
    model = ViTModel.from_pretrained(vit).eval()
    for i in (0, 1, 3):
        with torch.no_grad():
            expected = model(by_hand(crops[i])).pooler_output[0]
        np.testing.assert_allclose(rows[i], expected, rtol=1e-4, atol=1e-5)
    assert extractor([]).shape == (0, 8)


def test_an_encoder_without_weights_for_its_pooler_gives_the_mean_over_patches(tmp_path):
    """A new pooler would be random: it is not used."""
    folder = save(tmp_path / "classifier", ViTForImageClassification(ViTConfig(**TINY, **SQUARE)))
    frames = drawn(2)
    extractor = VisionEncoder(folder, crop="frame")
    rows, crops = extractor(frames), list(extractor._crops(frames))
    model = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        expected = model(by_hand(crops[1])).last_hidden_state.mean(1)[0]
    np.testing.assert_allclose(rows[1], expected, rtol=1e-4, atol=1e-5)


def test_convolutions_and_encoders_of_two_sides(tmp_path):
    torch.manual_seed(0)
    resnet = ResNetModel(ResNetConfig(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1]))
    assert VisionEncoder(save(tmp_path / "resnet", resnet))(drawn(1)).shape == (1, 6)
    text = TINY | {"vocab_size": 9, "max_position_embeddings": 5}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=TINY | SQUARE, projection_dim=5)).eval()
    prepare = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    extractor = VisionEncoder(save(tmp_path / "clip", clip, prepare), crop="frame")
    rows, crops = extractor(drawn(1)), list(extractor._crops(drawn(1)))
    with torch.no_grad():
        pixels = prepare(images=crops, return_tensors="pt")["pixel_values"]
        expected = clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)


def test_the_description_brings_the_extractor_back(vit, monkeypatch, tmp_path):
    extractor = VisionEncoder(vit, rate=5, crop="frame")
    description = json.loads(json.dumps(extractor.describe()))
    assert (
        description["name"] == "vision_encoder" and description["weights"] == "tiny_vit" and description["size"] == 8
    )
    frames = drawn(1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(extractor))(frames), extractor(frames))
    assert len(pickle.dumps(extractor)) < 2000
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no pretrained model at tiny_vit; .*MM_AFFECT_WEIGHTS"):
        build_extractor("visual", description)
    monkeypatch.setenv("MM_AFFECT_WEIGHTS", str(vit.parent))
    again = build_extractor("visual", description)
    assert again.describe() == description
    np.testing.assert_array_equal(again(frames), extractor(frames))
    settings = json.loads((vit / "preprocessor_config.json").read_text()) | {"image_mean": [0, 0, 0]}
    other = tmp_path / "other"
    other.mkdir()
    for path in vit.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="asks for vision_encoder features with sha256"):
        VisionEncoder.from_description(description, weights=other)


def broken(vit, folder, change):
    """A copy of the tiny ViT with other weights."""
    folder.mkdir()
    for path in vit.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    save_file(change(load_file(vit / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_folders_that_are_no_vision_encoder_are_refused(vit, tmp_path):
    def without(weights):
        name = next(name for name in weights if name.endswith("layernorm.weight"))
        return {key: value for key, value in weights.items() if key != name}

    def wider(weights):
        return {k: torch.zeros(9) if k.endswith("layernorm.weight") else v for k, v in weights.items()}

    bert = BertModel(BertConfig(vocab_size=9, **TINY))
    bare = tmp_path / "bare"
    ViTModel(ViTConfig(**TINY, **SQUARE)).save_pretrained(bare)
    (tmp_path / "empty").mkdir()
    damaged = broken(vit, tmp_path / "damaged", lambda weights: weights)
    (damaged / "model.safetensors").write_bytes(b"not weights at all")
    for folder, words in {
        tmp_path / "absent": "There is no pretrained model at",
        tmp_path / "empty": "has no weights",
        damaged: "No model can be read from",
        broken(vit, tmp_path / "lacks", without): "they lack .*layernorm.weight; a random network",
        broken(vit, tmp_path / "wider", wider): "they have in another size .*layernorm.weight",
        save(tmp_path / "bert", bert): "model of type 'bert', which does not read images",
        bare: "has no image processor",
        save(tmp_path / "mae", ViTMAEModel(ViTMAEConfig(**TINY, **SQUARE))): "gives different features each time",
    }.items():
        with pytest.raises(ValueError, match=f"(?s){words}") as caught:
            VisionEncoder(folder).describe()
        assert "\n" not in str(caught.value)


def test_the_choice_of_an_extractor(vit):
    assert build_visual_extractor("faces", rate=5).rate == 5
    chosen = build_visual_extractor(str(vit), crop="frame", rate=2)
    assert isinstance(chosen, VisionEncoder) and (chosen.rate, chosen.crop) == (2, "frame")
    for options, words in {
        ("vgg16",): "no weights of its own",
        ("faces", "file"): "for vgg16 only",
        ("faces", None, "frame"): "always looks at the face",
        (str(vit), "file"): "for vgg16 only",
        (str(vit), None, "nose"): "`crop` is 'nose'",
    }.items():
        with pytest.raises(ValueError, match=words):
            build_visual_extractor(*options)
