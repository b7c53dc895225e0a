# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows to batches: masks, normalization, the files of a processor, and labels to targets."""

import copy
import logging

import numpy as np
import pytest
import torch
from corpora import FIELDS, SIZES, make_rows, sample_corpus, write_video, write_wav
from transformers import AutoProcessor

from mm_affect import AffectCollator, AffectProcessor, FusionConfig, FusionForAffect, Task
from mm_affect.data import RowReader, load
from mm_affect.evaluation.metrics import acc5, acc7
from mm_affect.features.faces import FaceDescriptor
from mm_affect.features.label_encoding import label_encoder
from mm_affect.features.log_mel import LogMelExtractor
from mm_affect.features.normalization import sanitize
from mm_affect.features.word_vectors import HashedWordVectors, WordVectors, tokenize
from mm_affect.label_field import LabelField


TASKS = [
    Task("sentiment", "regression"),
    Task("sarcasm", "single_label_classification", ("no", "yes")),
    Task("emotion", "multi_label_classification", ("sad", "happy")),
]


@pytest.fixture
def rows():
    return make_rows("validation")


@pytest.fixture
def processor():
    return AffectProcessor(SIZES).fit(make_rows("train"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"early_size": 6, "late_sizes": dict.fromkeys(SIZES, 4)}
    return FusionForAffect(FusionConfig(feature_sizes=SIZES, tasks=TASKS, **sizes)).eval()


def classes_of_sentiment(count):
    names = tuple(f"class_{i}" for i in range(count))
    return Task("classes", "single_label_classification", names, column="sentiment")


def open_extractors():
    return {"text": HashedWordVectors(8), "audio": LogMelExtractor(), "visual": FaceDescriptor()}


# the batch --------------------------------------------------------------------------------------------------------


def test_batch_has_every_modality_and_its_mask(processor, rows):
    batch = processor(rows)
    assert set(batch) == {name for m in SIZES for name in (m, f"{m}_mask")} == set(processor.model_input_names)
    for modality, size in SIZES.items():
        values, mask = batch[modality], batch[f"{modality}_mask"]
        assert (values.dtype, mask.dtype) == (torch.float32, torch.bool)
        assert values.shape == (*mask.shape, size) and len(values) == len(rows)
        assert values.shape[1] == max(len(row[modality]) for row in rows)
        measured = [int((~np.isnan(row[modality]).all(1)).sum()) for row in rows]
        assert mask.sum(1).tolist() == measured
        assert torch.isfinite(values).all()


def test_real_steps_are_the_normalized_features_in_order(processor, rows):
    row = rows[0]
    batch = processor(row)
    for modality in SIZES:
        mean, std = (np.array(processor.statistics[modality][name]) for name in ("mean", "std"))
        measured = row[modality][~np.isnan(row[modality]).all(1)]
        got = batch[modality][0][batch[f"{modality}_mask"][0]]
        np.testing.assert_allclose(got, (measured - mean) / std, rtol=1e-4, atol=1e-5)


def test_answer_does_not_depend_on_the_padding_side(processor, rows, model):
    left = AffectProcessor(SIZES, statistics=processor.statistics, padding_side="left")
    assert not left(rows)["text_mask"][:, 0].all() and not processor(rows)["text_mask"][:, -1].all()
    with torch.no_grad():
        for task in TASKS:
            one, other = model(**processor(rows)).logits[task.name], model(**left(rows)).logits[task.name]
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_one_row_answers_as_in_a_batch(processor, rows, model):
    with torch.no_grad():
        together = model(**processor(rows)).logits["emotion"]
        alone = torch.cat([model(**processor(row)).logits["emotion"] for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_a_step_of_nan_is_a_masked_step_and_not_counted(caplog):
    values = np.array([[1, 2], [np.nan, np.nan], [3, 4]], np.float32)
    cleaned, mask, replaced = sanitize(values)
    assert mask.tolist() == [True, False, True] and replaced == 0
    np.testing.assert_array_equal(cleaned[mask], values[[0, 2]])
    with caplog.at_level(logging.WARNING):
        AffectProcessor({"visual": 2})({"visual": values})
    assert "not finite" not in caplog.text


def test_other_values_that_are_not_finite_become_zero_with_a_warning(caplog):
    values = np.array([[1, np.nan, np.inf], [np.inf, -np.inf, np.inf], [np.nan] * 3], np.float32)
    cleaned, mask, replaced = sanitize(values)
    assert mask.tolist() == [True, True, False] and replaced == 5
    np.testing.assert_array_equal(cleaned, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    transformers_logger = logging.getLogger("transformers")
    transformers_logger.addHandler(caplog.handler)
    try:
        batch = AffectProcessor({"audio": 3}, normalization={"audio": "none"})({"audio": values})
    finally:
        transformers_logger.removeHandler(caplog.handler)
    assert "5 feature values of a batch were not finite and were set to 0" in caplog.text
    assert batch["audio"].tolist()[0] == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_a_modality_without_steps_is_one_masked_step(processor):
    for absent in (None, np.zeros((0, 4), np.float32), []):
        batch = processor({"id": "a", "text": absent, "audio": np.ones((2, 3), np.float32)})
        assert batch["text"].shape == (1, 1, 4) and not batch["text_mask"].any() and batch["audio_mask"].all()


def test_rows_are_not_changed(processor, rows):
    before = copy.deepcopy(rows)
    processor(rows)
    for row, old in zip(rows, before, strict=True):
        for modality in SIZES:
            np.testing.assert_array_equal(row[modality], old[modality])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.ones((2, 7)), "`text` of row 'a' has 7 features per step; the processor expects 4"),
        (np.ones(4), r"`text` of row 'a' has shape \(4,\); expected \(steps, 4\)"),
        (np.ones((1, 2, 4)), r"`text` of row 'a' has shape \(1, 2, 4\); expected \(steps, 4\)"),
    ],
)
def test_features_of_another_size_or_rank_are_refused(processor, values, sentence):
    with pytest.raises(ValueError, match=sentence):
        processor({"id": "a", "text": values})


def test_no_rows_and_wrong_options_are_refused():
    with pytest.raises(ValueError, match="empty list of rows"):
        AffectProcessor(SIZES)([])
    with pytest.raises(ValueError, match="`padding_side` is 'up'"):
        AffectProcessor(SIZES, padding_side="up")
    with pytest.raises(ValueError, match="`normalization` of text is 'minmax'; expected one of standard, none"):
        AffectProcessor(SIZES, normalization={"text": "minmax"})


# statistics -------------------------------------------------------------------------------------------------------


def test_fit_takes_mean_and_deviation_of_the_real_steps():
    train = make_rows("train")
    statistics = AffectProcessor(SIZES, normalization={"text": "none"}).fit(train).statistics
    assert set(statistics) == {"audio", "visual"}
    for modality, found in statistics.items():
        steps = np.concatenate([row[modality] for row in train]).astype(np.float64)
        steps = steps[~np.isnan(steps).all(1)]
        np.testing.assert_allclose(found["mean"], steps.mean(0), rtol=1e-9)
        np.testing.assert_allclose(found["std"], steps.std(0), rtol=1e-9)


def test_a_constant_feature_is_only_shifted():
    values = np.full((5, 1), 7, np.float32)
    batch = AffectProcessor({"audio": 1}).fit([{"audio": values}])({"audio": values + 1})
    assert batch["audio"].flatten().tolist() == [1.0] * 5


def test_processor_is_saved_and_loaded_to_the_bit(processor, rows, tmp_path):
    processor.save_pretrained(tmp_path)
    FusionConfig(feature_sizes=SIZES).save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is AffectProcessor and loaded.statistics == processor.statistics
    assert list(loaded.feature_sizes) == list(SIZES)
    for name, values in processor(rows).items():
        assert torch.equal(loaded(rows)[name], values)


# extractors -------------------------------------------------------------------------------------------------------


def test_features_of_another_extractor_are_refused():
    processor = AffectProcessor.from_extractors(open_extractors())
    same = copy.deepcopy(processor.extractors)
    processor.check_extractors(same)
    for modality, key, value in (("audio", "name", "mfcc"), ("visual", "version", 9), ("text", "seed", 5)):
        changed = copy.deepcopy(same)
        changed[modality][key] = value
        with pytest.raises(ValueError, match=f"The {modality} features of the rows were made with {key} {value!r}"):
            processor.check_extractors(changed)
    with pytest.raises(ValueError, match="text features of the rows do not say which extractor"):
        processor.check_extractors({m: d for m, d in same.items() if m != "text"})
    with pytest.raises(ValueError, match="audio features of the model do not say which extractor"):
        AffectProcessor({"audio": 200}).check_extractors(same)


def test_an_unknown_extractor_cannot_be_run():
    for extractors, name in (({}, "an unknown extractor"), ({"text": {"name": "bert"}}, "'bert'")):
        with pytest.raises(ValueError, match=f"The text features were made by {name}.*give features instead"):
            AffectProcessor({"text": 4}, extractors)({"transcript": "well"})


def test_word_vectors_of_a_file_travel_with_the_processor(tmp_path):
    (tmp_path / "glove.txt").write_text("good 1 2 3\nday 4 5 6\nunused 7 8 9\n")
    glove = WordVectors.from_glove(tmp_path / "glove.txt", {"good", "day", "strange"})
    processor = AffectProcessor.from_extractors({"text": glove}, normalization={"text": "none"})
    row = {"id": "a", "transcript": "Good strange day!"}
    expected = [[1, 2, 3], [0, 0, 0], [4, 5, 6]]
    assert processor.extract(row)["text"].tolist() == expected
    FusionConfig(modalities=["text"], feature_sizes={"text": 3}).save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    (tmp_path / "glove.txt").unlink()
    loaded = AutoProcessor.from_pretrained(tmp_path / "saved")
    assert loaded.extract(row)["text"].tolist() == expected
    assert "unused" not in (tmp_path / "saved" / "word_vectors.vocab.txt").read_text()
    loaded.check_extractors(processor.extractors)


def test_raw_rows_are_extracted_on_the_way(tmp_path):
    processor = AffectProcessor.from_extractors(open_extractors())
    clip = next(row for row in RowReader(load(sample_corpus())["train"]) if row["video_file"] and row["transcript"])
    raw = {name: clip[name] for name in ("id", "transcript", "audio_file", "video_file")}
    features = processor.extract(raw)
    assert "video_file" not in features and len(features["text"]) == len(tokenize(clip["transcript"]))
    for name, values in processor(features).items():
        assert torch.equal(processor(raw)[name], values)


@pytest.mark.parametrize("case", ["words", "no words", "sound only", "picture only", "sound in a video_file"])
def test_a_raw_row_may_lack_any_modality(case, tmp_path):
    sound, picture = str(write_wav(tmp_path / "a.wav")), str(write_video(tmp_path / "b.mp4"))
    row, present = {
        "words": ({"transcript": "well"}, ["text"]),
        "no words": ({"transcript": "  ", "audio_file": sound}, ["audio"]),
        "sound only": ({"audio_file": sound}, ["audio"]),
        "picture only": ({"video_file": picture}, ["visual"]),
        "sound in a video_file": ({"video_file": sound}, ["audio"]),
    }[case]
    features = AffectProcessor.from_extractors(open_extractors()).extract({"id": "a"} | row)
    assert [m for m in SIZES if len(features[m])] == present


def test_only_the_wanted_modalities_are_extracted(tmp_path):
    processor = AffectProcessor.from_extractors(open_extractors())
    features = processor.extract({"transcript": "well", "audio_file": str(tmp_path / "absent.wav")}, ("text",))
    assert len(features["text"]) == 1 and len(features["audio"]) == 0


# labels -----------------------------------------------------------------------------------------------------------


def test_labels_of_every_kind():
    regression, single, multi = FIELDS
    value = label_encoder(TASKS[0], regression)
    assert value(-1.5) == -1.5 and np.isnan(value(None))
    index = label_encoder(Task("sarcasm", "single_label_classification", ("yes", "no")), single)
    assert [index(0), index(1), index(None)] == [1, 0, -100]
    labels = label_encoder(TASKS[2], multi)  # the other order
    assert labels([2.5, 0.0]) == [0.0, 1.0] and labels([0.0, 0.1]) == [1.0, 0.0]
    assert np.isnan(labels(None)).tolist() == [True, True]
    strict = label_encoder(Task("emotion", labels=("happy",), positive_above=1.0), multi)
    assert [strict([1.0, 3.0]), strict([1.5, 0.0])] == [[0.0], [1.0]]


def test_a_regression_column_read_as_two_classes():
    task = Task("polarity", "single_label_classification", ("negative", "positive"), column="sentiment")
    encode = label_encoder(task, FIELDS[0])
    assert [encode(v) for v in (-1.0, 0.0, 0.1, None)] == [0, 0, 1, -100]
    higher = label_encoder(Task(**task.to_dict() | {"positive_above": 1}), FIELDS[0])
    assert [higher(v) for v in (1.0, 1.1)] == [0, 1]


@pytest.mark.parametrize("metric", [acc5, acc7])
def test_a_regression_column_read_as_an_odd_number_of_classes_is_rounded_as_the_metric_does(metric):
    count = int(metric.__name__[-1])
    encode = label_encoder(classes_of_sentiment(count), FIELDS[0])
    values = np.arange(-3.5, 3.51, 0.125)
    classes = [encode(float(v)) for v in values]
    assert set(classes) == set(range(count)) and all(isinstance(c, int) for c in classes)
    for value in values:
        same = [metric([value], [other]) == 1 for other in values]
        assert same == [c == encode(float(value)) for c in classes]
    assert encode(None) == -100


def test_halves_are_rounded_to_even_and_the_rest_is_clipped():
    values = (-9.0, -2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 9.0)
    for count, expected in (
        (3, [0, 0, 0, 1, 1, 1, 2, 2, 2]),
        (5, [0, 0, 0, 2, 2, 2, 4, 4, 4]),
        (7, [0, 1, 1, 3, 3, 3, 5, 5, 6]),
    ):
        encode = label_encoder(classes_of_sentiment(count), FIELDS[0])
        assert [encode(v) for v in values] == expected
    with pytest.raises(ValueError, match="'sentiment' as 4 classes; expected 2 or an odd number"):
        label_encoder(classes_of_sentiment(4), FIELDS[0])


def test_the_target_of_a_regression_is_clipped_on_request():
    task = Task("sentiment", "regression", value_range=(-1, 2), clip=True)
    encode = label_encoder(task, FIELDS[0])
    assert [encode(v) for v in (-3.0, -0.5, 2.5)] == [-1, -0.5, 2] and np.isnan(encode(None))
    kept = label_encoder(Task("sentiment", "regression", value_range=(-1, 2)), FIELDS[0])
    assert [kept(v) for v in (-3.0, 2.5)] == [-3, 2.5]
    assert Task.from_dict(task.to_dict()) == task
    for fields in ({}, {"problem_type": "multi_label_classification", "labels": ("a",), "value_range": (0, 1)}):
        with pytest.raises(ValueError, match="'mood' has `clip`, which needs a regression with a `value_range`"):
            Task("mood", **{"problem_type": "regression"} | fields, clip=True)


def test_a_class_that_the_task_leaves_out_is_unknown():
    field = LabelField("mood", "single_label_classification", ("a", "b", "c"))
    encode = label_encoder(Task("mood", "single_label_classification", ("c", "a")), field)
    assert [encode(i) for i in range(3)] == [1, -100, 0]


def test_labels_that_the_corpus_lacks_are_refused():
    with pytest.raises(ValueError, match="has the label 'hapy', .* Did you mean 'happy'"):
        label_encoder(Task("emotion", labels=("hapy",)), FIELDS[2])
    with pytest.raises(
        ValueError, match=r"Task 'emotion' \(regression\) cannot be read from the label column 'emotion'"
    ):
        label_encoder(Task("emotion", "regression"), FIELDS[2])


def test_collator_gives_the_labels_of_every_task(processor, rows):
    batch = AffectCollator(processor, TASKS, FIELDS)(rows)
    labels = batch["labels"]
    assert {name: tuple(v.shape) for name, v in labels.items()} == {
        "sentiment": (12,),
        "sarcasm": (12,),
        "emotion": (12, 2),
    }
    assert labels["sarcasm"].dtype == torch.int64 and labels["sentiment"].dtype == torch.float32
    for i, row in enumerate(rows):
        assert torch.isnan(labels["sentiment"][i]) == (row["labels"]["sentiment"] is None)
        assert (labels["sarcasm"][i] == -100) == (row["labels"]["sarcasm"] is None)
        if row["labels"]["emotion"] is not None:
            assert labels["emotion"][i].tolist() == row["labels"]["emotion"][::-1]
    only = AffectCollator(processor, TASKS, FIELDS[:1])(rows)
    assert set(only["labels"]) == {"sentiment"}
    with pytest.raises(
        ValueError, match="No task can be read from the labels none; the tasks read sentiment, sarcasm"
    ):
        AffectCollator(processor, TASKS, [])


def test_augmentation_is_for_the_training_collator_alone(processor, rows):
    calls = []

    def hide(modality, values, mask):
        calls.append(modality)
        return values * 0, mask

    assert not AffectCollator(processor, TASKS, FIELDS, augment=hide)(rows)["audio"].any()
    assert len(calls) == len(SIZES) * len(rows)
    assert AffectCollator(processor, TASKS, FIELDS)(rows)["audio"].any()
