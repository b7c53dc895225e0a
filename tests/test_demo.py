# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo without a browser: clips, predictions, attribution, HTML, and messages of errors."""

import csv
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from corpora import sample_corpus, sample_run, write_corpus, write_video, write_wav
from transformers import AutoProcessor, pipeline

from mm_affect.checkpoints.loading import load_checkpoint
from mm_affect.cli.main import main
from mm_affect.inference import pipeline as pipelines
from mm_affect.inference.demo import attribution, clips, recognition, render_answers, render_attribution
from mm_affect.inference.demo.clips import InputClip, load_samples
from mm_affect.inference.demo.model_info import read_model_info
from mm_affect.inference.demo.recognition import Recognizer
from mm_affect.inference.demo.render_timeline import render_timeline
from mm_affect.models.mult import MulTConfig, MulTForAffect
from mm_affect.tasks import Task


ROOT = Path(__file__).resolve().parent.parent
SUBSETS = ["text+audio+visual", "text+audio", "text+visual", "audio+visual", "text", "audio", "visual"]


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(*load_checkpoint(str(sample_run()), attn_implementation="eager"))


@pytest.fixture(scope="module")
def sample():
    return next(sample for sample in load_samples(sample_corpus()) if sample.clip.transcript)


@pytest.fixture(scope="module")
def features(recognizer, sample):
    return recognizer.extract(sample.clip)


class Balanced(HTMLParser):
    """Fails where an element is closed that is not open, or left open."""

    def __init__(self, html):
        super().__init__()
        self.open = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# what is read -----------------------------------------------------------------------------------------------------


def test_samples_are_of_the_test_split_and_can_be_played():
    found = load_samples(sample_corpus())
    assert found and all(Path(sample.clip.path).is_file() for sample in found)
    with open(sample_corpus() / "manifest.csv", newline="") as file:
        splits = {row["id"]: row["split"] for row in csv.DictReader(file)}
    assert {splits[sample.name.split(":")[0]] for sample in found} == {"test"}
    assert set(found[0].labels) == {"emotion", "sentiment", "sarcasm"}


def test_a_corpus_without_files_has_no_samples(tmp_path):
    with pytest.raises(ValueError, match="has an audio or video file"):
        load_samples(write_corpus(tmp_path, [{"id": "a", "transcript": "well", "split": "test", "mood": 1.5}]))


def test_answers_are_the_pipeline_s(recognizer, features, sample):
    expected = pipeline("affect-recognition", model=str(sample_run()))(
        {"video": sample.clip.path, "text": sample.clip.transcript, "spans": sample.clip.spans}, window=1.0, hop=0.5
    )
    subsets = recognizer.predict_subsets(features)
    assert subsets[("text", "audio", "visual")]["emotion"] == expected["tasks"]["emotion"]
    windows = recognizer.predict_timeline(features, features.present)
    assert [window["tasks"]["sarcasm"] for window in windows] == [w["tasks"]["sarcasm"] for w in expected["timeline"]]
    assert ["+".join(subset) for subset in subsets] == SUBSETS


def test_a_subset_is_the_clip_without_the_others(recognizer, features, sample):
    """Switched off is as if it had not been given."""
    alone = recognizer.extract(InputClip(None, sample.clip.transcript))
    assert recognizer.predict_subsets(alone) == {("text",): recognizer.predict_subsets(features)[("text",)]}
    windows = recognizer.predict_timeline(features, ("visual",))
    quiet = recognizer.drop_modalities(features.row, ("visual",))
    assert windows != recognizer.predict_timeline(features, ("audio", "visual")) and not len(quiet["audio"])


def test_of_an_hour_the_first_minute_is_read(recognizer, tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "LIMIT", 1.0)
    monkeypatch.setattr(recognition, "LIMIT", 1.0)
    monkeypatch.setattr(render_answers, "LIMIT", 1.0)
    features = recognizer.extract(InputClip(str(write_wav(tmp_path / "long.wav", seconds=3.0))))
    rate = recognizer.processor.extractor("audio").rate
    assert features.duration == 1.0 and features.file_duration == 3.0
    assert features.steps["audio"] == pytest.approx(rate, abs=2)
    assert "The clip lasts 0:03; its first 1 seconds were read." in render_answers.render_summary(features)
    assert render_answers.format_duration(3600) == "1:00:00" and render_answers.format_duration(75) == "1:15"


def test_windows_are_few_however_long_the_clip_is(recognizer, tmp_path):
    features = recognizer.extract(InputClip(str(write_wav(tmp_path / "a.wav", seconds=30.0))))
    assert len(recognizer.predict_timeline(features, ["audio"])) == 2 * recognition.MAX_WINDOWS
    assert len(attribution.segment_bounds(recognizer, features.row, "audio")) <= attribution.MAX_SEGMENTS


def test_rows_are_batched_by_their_length(recognizer, features, monkeypatch):
    whole = recognizer.predict([features.row] * 3)
    monkeypatch.setattr(pipelines, "MAX_BATCH_STEPS", 1)
    assert recognizer.predict([features.row] * 3) == whole


@pytest.mark.parametrize(
    ("clip", "sentence"),
    [
        (lambda folder: InputClip(), "There is nothing to recognize: give a clip"),
        (lambda folder: InputClip(None, "  "), "There is nothing to recognize: give a clip"),
        (lambda folder: InputClip(None, "so " * 1001), "has 1001 words; the limit is 1000"),
        (lambda folder: InputClip(garbage(folder)), "is not media"),
        (lambda folder: InputClip(unknown_codec(folder)), "decoded|neither"),
        (lambda folder: InputClip(str(folder / "absent.mp4")), "does not exist"),
        (lambda folder: InputClip(str(write_video(folder / "gray.mp4"))), "gray.mp4: nothing to read; the selected"),
    ],
)
def test_bad_clips_raise_one_sentence(recognizer, tmp_path, clip, sentence):
    with pytest.raises(ValueError, match=sentence):
        recognizer.extract(clip(tmp_path))


def garbage(folder: Path) -> str:
    (folder / "garbage.mp4").write_bytes(bytes(range(256)) * 20)
    return str(folder / "garbage.mp4")


def unknown_codec(folder: Path) -> str:
    path = write_video(folder / "odd.mp4", sound=True)
    content = path.read_bytes()
    assert b"avc1" in content and b"mp4a" in content
    path.write_bytes(content.replace(b"avc1", b"zzz1").replace(b"mp4a", b"zzz2"))
    return str(path)


def test_a_clip_without_a_face_has_audio(recognizer, tmp_path):
    features = recognizer.extract(InputClip(str(write_video(tmp_path / "gray.mp4", seconds=1.0, sound=True))))
    assert features.present == ["audio"]
    assert "<b>no words</b>" in render_answers.render_summary(
        features
    ) and "<b>no faces</b>" in render_answers.render_summary(features)


# what counts ------------------------------------------------------------------------------------------------------


def test_occlusion_is_the_change_when_a_segment_is_masked(recognizer, features):
    result = attribution.compute_attribution(recognizer, features, features.present)
    assert result.method == "occlusion"
    row, word = features.row, 2
    batches = [recognizer.processor([row]) for _ in range(2)]
    batches[1]["text_mask"][0, word] = False
    with torch.no_grad():
        whole, less = (recognizer.model(**batch).logits for batch in batches)
    piece = result.segments["sentiment"]["text"][word]
    assert (piece.first, piece.last) == (word, word + 1)
    assert piece.weight == pytest.approx((whole["sentiment"] - less["sentiment"]).item(), abs=1e-5)
    label = whole["emotion"][0].argmax()
    change = (whole["emotion"] - less["emotion"])[0, label].item()  # a logit is the log-odds of its label
    assert result.segments["emotion"]["text"][word].weight == pytest.approx(change, abs=1e-4)


def test_segments_cover_every_step_once(recognizer, features):
    for modality in ("text", "audio", "visual"):
        cuts = attribution.segment_bounds(recognizer, features.row, modality)
        assert [i for first, last in cuts for i in range(first, last)] == list(range(len(features.row[modality])))


def test_modalities_turned_off_get_no_attribution(recognizer, features):
    assert set(attribution.compute_attribution(recognizer, features, ("audio",)).segments["emotion"]) == {"audio"}


@pytest.fixture(scope="module")
def attending():
    """MulT, untrained: each of its attention layers reads one modality."""
    processor = AutoProcessor.from_pretrained(str(sample_run()))
    torch.manual_seed(0)
    config = MulTConfig(
        feature_sizes=processor.feature_sizes,
        hidden_size=8,
        num_attention_heads=2,
        tasks=[Task("mood", labels=("good",))],
    )
    config._attn_implementation = "eager"
    return Recognizer(MulTForAffect(config).eval(), processor)


def test_attention_is_what_the_layers_give(attending, sample):
    features = attending.extract(sample.clip)
    result = attribution.compute_attribution(attending, features, features.present)
    assert result.method == "attention"
    steps = {modality: len(pieces) for modality, pieces in result.segments["mood"].items()}
    assert steps == features.steps  # frames without a face have no weight
    for pieces in result.segments["mood"].values():
        weights = [piece.weight for piece in pieces]
        assert min(weights) >= 0 and np.mean(weights) == pytest.approx(1, abs=1e-4)
        assert np.std(weights) > 0


def test_attention_layers_are_identified_by_length(attending, sample):
    """Equal lengths get padding, which changes no weight."""
    row = attending.extract(sample.clip).row
    visual = row["visual"][~np.isnan(row["visual"]).any(1)][:8]
    one = row | {"audio": row["audio"][:20], "visual": visual}
    lengths = {m: torch.ones(n, dtype=torch.bool) for m, n in (("text", 8), ("audio", 8), ("visual", 1))}
    assert sorted(len(mask) for mask in attribution.pad_to_unique_lengths(lengths).values()) == [2, 8, 9]
    apart = attribution.compute_attention(attending, one, ["text", "audio", "visual"])
    same = one | {"visual": np.concatenate([visual, np.full((12, visual.shape[1]), np.nan, np.float32)])}
    again = attribution.compute_attention(attending, same, ["text", "audio", "visual"])
    for modality, pieces in apart.items():
        np.testing.assert_allclose([p.weight for p in again[modality]], [p.weight for p in pieces], atol=1e-5)


# what is drawn ----------------------------------------------------------------------------------------------------


def test_all_html_is_balanced_and_escaped(recognizer, sample):
    said = " ".join(["<b>so</b>", *sample.clip.transcript.split()[1:]])
    features = recognizer.extract(InputClip(sample.clip.path, said, sample.clip.spans))
    subsets, ranges = recognizer.predict_subsets(features), {"sentiment": (-3.0, 3.0)}
    windows = recognizer.predict_timeline(features, features.present)
    result = attribution.compute_attribution(recognizer, features, features.present)
    answers = subsets[tuple(features.present)]
    for task in recognizer.tasks:
        for html in (
            render_timeline(task, windows, features, ranges.get(task.name)),
            render_attribution.render_attribution(task, result, features, answers[task.name]),
        ):
            Balanced(html)
            assert "<b>so</b>" not in html and "&lt;b&gt;so&lt;/b&gt;" in html
    Balanced(render_answers.render_answers(recognizer.tasks, answers, ranges))
    Balanced(render_answers.render_subset_table(recognizer.tasks, subsets, ("text",)))
    Balanced(render_answers.render_summary(features, sample.labels))
    assert "&lt;script&gt;" in render_answers.render_error("<script>")


def test_bars_show_scores_thresholds_and_values():
    tasks = [
        Task("mood", labels=("good", "bad"), threshold=(0.3, 0.9)),
        Task("tone", "regression", view="fusion"),
        Task("<odd>", "regression"),
    ]
    answers = {
        "mood": {"scores": {"good": 0.4, "bad": 0.8}, "predicted": ["good"]},
        "tone": {"value": -1.5},
        "<odd>": {"value": 7.0},
    }
    html = render_answers.render_answers(tasks, answers, {"tone": (-3.0, 3.0)})
    assert re.search(r"left:30.0%.*<span>0.40</span>", html) and re.search(r"left:90.0%.*", html)
    assert html.index("bad") < html.index("<span>good</span>")  # sorted by score
    assert "left:25.0%;width:25.0%" in html  # from -1.5 to zero of -3 to 3
    fixed = Task("mood", labels=("good", "bad"), threshold=1)  # one number for all, and no float
    assert render_answers.render_classes(fixed, answers["mood"]).count("left:100.0%") == 2
    assert "&lt;odd&gt;" in html and "scale of this value is unknown" in html


def test_a_cell_of_the_table_scores_what_it_names():
    """A label below its own threshold may be stronger than one that is predicted."""
    task = Task("mood", labels=("good", "bad"), threshold=(0.3, 0.9))
    answer = {"scores": {"good": 0.4, "bad": 0.8}, "predicted": ["good"]}
    assert ">0.40<" in render_answers.render_subset_cell(
        task, answer, answer
    ) and "<em>" not in render_answers.render_subset_cell(task, answer, answer)
    none = answer | {"predicted": []}
    assert "<em>none</em>" in render_answers.render_subset_cell(task, none, answer)
    assert ">0.80<" in render_answers.render_subset_cell(task, none, answer)


def test_many_classes_are_counted_not_drawn():
    task = Task("mood", "single_label_classification", tuple("abcdefghijkl"))
    html = render_answers.render_answers(
        [task], {"mood": {"scores": dict.fromkeys(task.labels, 1 / 12), "predicted": "a"}}, {}
    )
    assert html.count("mma-bar") == render_answers.MAX_BARS and "and 4 more" in html


def test_the_strip_of_the_timeline_covers_the_clip(recognizer, features):
    windows = recognizer.predict_timeline(features, features.present)
    html = render_timeline(recognizer.tasks[0], windows, features, None)
    strip = html[html.index("mma-strip") : html.index("<svg")]
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", strip)]
    assert len(widths) == len(windows) and sum(widths) == pytest.approx(100, abs=0.1)
    for word in features.clip.transcript.split():
        assert f">{word}</span>" in html
    assert "No timeline" in render_timeline(recognizer.tasks[0], [], features, None)


def test_resampling_is_a_mean_of_what_was_measured():
    pieces = [attribution.Segment(0, 2, 1.0), attribution.Segment(2, 4, 3.0), attribution.Segment(6, 8, 5.0)]
    np.testing.assert_allclose(render_attribution.resample_weights(pieces, 8, 4), [1, 3, 0, 5])
    np.testing.assert_allclose(render_attribution.resample_weights(pieces, 8, 2), [2, 5])


# what the page says of the model, and the command -----------------------------------------------------------------


def test_the_page_says_what_the_model_is(recognizer):
    info = read_model_info(str(sample_run()), recognizer.model)
    html = render_answers.render_header(info)
    assert info.synthetic and "SYNTHETIC" in html and info.corpus in html
    assert info.ranges == {"sentiment": (-3.0, 3.0)}
    assert "prohibited" in html and "consent" in html


def test_a_checkpoint_without_results_says_so(recognizer, tmp_path):
    recognizer.model.save_pretrained(tmp_path)
    info = read_model_info(str(tmp_path), recognizer.model)
    assert info.corpus is None and not info.synthetic
    assert "do not name the training corpus" in render_answers.render_header(info)


def test_without_a_model_one_sentence_says_how_to_get_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--no-browser"]) == 1
    told = capsys.readouterr().err
    assert "make demo" in told and "--model" in told and len(told.strip().splitlines()) == 1


def test_without_gradio_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--model", "x"]) == 1
    assert capsys.readouterr().err == "mm-affect: The demo needs Gradio: pip install 'mm_affect[demo]'.\n"


def test_the_space_is_described_as_the_hub_wants_it():
    from huggingface_hub import SpaceCard

    card = SpaceCard.load(ROOT / "examples" / "space" / "README.md", ignore_metadata_errors=False)
    constraints = (ROOT / "constraints.txt").read_text()
    assert card.data.sdk == "gradio" and f"gradio=={card.data.sdk_version}\n" in constraints
    assert (ROOT / "examples" / "space" / card.data.app_file).is_file()
    assert len(card.data.short_description) <= 60
