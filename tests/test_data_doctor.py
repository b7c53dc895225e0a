# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`data doctor` and `data show`: what a user is told of a folder and of a row, in words and as a picture."""

import json

import numpy as np
from corpora import sample_corpus, sample_rows
from fixture_layouts.iemocap import write_iemocap
from fixture_layouts.mustard import write_features, write_json
from fixture_layouts.voxceleb2 import write_voxceleb2

from mm_affect.cli.main import main
from mm_affect.data.corpora.official_folds import load_folds
from mm_affect.data.doctor import examine, format_report
from mm_affect.data.show import find_row
from mm_affect.evaluation.row_plot import plot_row
from mm_affect.features.media import iter_frames


IDS = [clip for fold in (1, 2, 3) for clip in load_folds("mustard")[f"fold_{fold}"][:8]]


def read_png(path):
    from matplotlib.image import imread

    return imread(path)


# the doctor -------------------------------------------------------------------------------------------------------


def test_a_partial_copy_has_a_problem_and_allowed_it_has_none(tmp_path):
    write_json(tmp_path, IDS)
    report = examine("mustard", tmp_path)
    assert report.layout == "repository" and report.counts["test"] == 8 and report.expected["test"] == 138
    assert len(report.problems) == 2 and "test has 8 rows, and 138 are expected" in report.problems[1]
    assert not examine("mustard", tmp_path, allow_partial=True).problems


def test_every_dropped_clip_has_its_reason(tmp_path, capsys):
    write_iemocap(tmp_path)
    assert main(["data", "doctor", "iemocap", str(tmp_path), "--config", "six", "--allow-partial", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["dropped"]) == 10 and {clip["id"][-4:] for clip in report["dropped"]} == {"F006"}
    assert sum(report["counts"].values()) == 60
    assert main(["data", "doctor", "iemocap", str(tmp_path), "--allow-partial"]) == 0
    told = capsys.readouterr().out
    assert "dropped: 10 because its label `xxx` is not in the configuration four" in told
    assert (
        "... and 10 more" in told
        and "All is well." in told
        and "train      24 rows, 2755 expected  <-- differs" in told
    )


def test_a_folder_without_a_copy_says_what_is_missing_and_whom_to_ask(tmp_path, capsys):
    assert main(["data", "doctor", "iemocap", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "MISSING" in told and "sail.usc.edu" in told and "PROBLEM: No layout of IEMOCAP is recognized" in told


def test_broken_and_empty_files_are_problems(tmp_path):
    write_json(tmp_path, IDS)
    write_features(tmp_path, IDS)
    (tmp_path / "data" / "audio_features.p").write_bytes(b"")
    report = examine("mustard", tmp_path, allow_partial=True)
    assert "audio_features.p is empty (0 bytes); copy it again." in report.problems[0]
    (tmp_path / "data" / "audio_features.p").write_bytes(b"\x80\x02cos\nsystem\n.")
    (problem,) = examine("mustard", tmp_path, allow_partial=True).problems
    assert "audio_features.p" in problem and "os.system" in problem and "\n" not in problem


def test_wrong_names_are_one_sentence(tmp_path, capsys):
    assert main(["data", "doctor", "iemocab", str(tmp_path)]) == 1
    assert "Did you mean 'iemocap'?" in capsys.readouterr().err
    assert main(["data", "doctor", "iemocap", str(tmp_path / "nowhere")]) == 1
    assert "does not exist" in capsys.readouterr().out
    write_iemocap(tmp_path)
    assert main(["data", "doctor", "iemocap", str(tmp_path), "--option", "fold"]) == 1
    assert "expected name=value" in capsys.readouterr().err
    assert main(["data", "doctor", "iemocap", str(tmp_path), "--option", "fold=9"]) == 1
    assert "Option `fold` is 9" in capsys.readouterr().out


def test_counts_that_nobody_documented_are_no_problem(tmp_path):
    write_voxceleb2(tmp_path)
    report = examine("voxceleb2", tmp_path)
    assert not report.problems and report.expected["train"] is None
    assert any("no number is documented" in line for line in format_report(report))


# show -------------------------------------------------------------------------------------------------------------


def test_a_row_of_the_sample_corpus_in_words(capsys):
    assert main(["data", "show", str(sample_corpus()), "sample_00001"]) == 0
    told = capsys.readouterr().out
    row, _corpus, split = find_row(sample_corpus(), "sample_00001")
    assert f"(SYNTHETIC), {split}, group {row['group']}" in told
    assert row["transcript"] in told and str(row["video_file"]) in told
    assert f"{row['spans'][0][0]:.2f}-{row['spans'][0][1]:.2f} {row['transcript'].split()[0]}" in told


def test_a_row_of_features_in_words(capsys):
    assert main(["data", "show", str(sample_rows()), "sample_00001"]) == 0
    row, _, _ = find_row(sample_rows(), "sample_00001")
    told = capsys.readouterr().out
    assert f"audio        {len(row['audio'])} steps of {row['audio'].shape[1]}" in told


def test_a_row_of_a_corpus_by_name(tmp_path, capsys):
    write_json(tmp_path, IDS)
    clip = IDS[1]
    assert main(["data", "show", "mustard", clip, "--data-dir", str(tmp_path), "--option", "transcript=dialogue"]) == 0
    told = capsys.readouterr().out
    assert f"{clip}  (MUStARD, test" in told and "sarcasm      sarcastic" in told and "ROSS: So?" in told


def test_ids_that_are_not_there(tmp_path, capsys):
    assert main(["data", "show", str(sample_corpus()), "sample_0001"]) == 1
    assert "has no row 'sample_0001'. Did you mean 'sample_00" in capsys.readouterr().err
    write_iemocap(tmp_path)
    assert main(["data", "show", "iemocap", "Ses01F_impro00_F006", "--data-dir", str(tmp_path)]) == 1
    assert "makes no row: its label `xxx` is not in the configuration four" in capsys.readouterr().err
    assert main(["data", "show", "iemocap", "Ses01F_impro00_F006"]) == 1
    assert "say where its files are with --data-dir" in capsys.readouterr().err


def test_the_picture_of_a_clip(tmp_path):
    """Frames above, in the video's own colors; sound below, with a blue bar where words are said."""
    assert main(["data", "show", str(sample_corpus()), "sample_00001", "--plot", str(tmp_path / "clip.png")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["clip.png"]
    image = read_png(tmp_path / "clip.png")[:, :, :3]
    upper, lower = image[: len(image) // 2], image[len(image) // 4 :]
    video = find_row(sample_corpus(), "sample_00001")[0]["video_file"]
    wall = next(iter_frames(video, 1.0))[20, 20] / 255
    assert (np.abs(upper - wall).max(axis=2) < 0.08).sum() > 5000
    words = (np.abs(lower - np.array([0x56, 0xB4, 0xE9]) / 255).max(axis=2) < 0.01).sum(axis=1)
    assert 700 < words.max() < 1300  # of 1,350 pixels: the words are most of the clip


def test_the_picture_of_features_shows_what_was_not_measured(tmp_path):
    row, corpus, _ = find_row(sample_rows(), "sample_00001")
    gray = {}
    for name, unmeasured in (("none", 0), ("half", len(row["visual"]) // 2)):
        visual = np.array(row["visual"])
        visual[:unmeasured] = np.nan
        image = read_png(plot_row(row | {"visual": visual}, corpus, tmp_path / f"{name}.png"))[:, :, :3]
        gray[name] = (np.abs(image - 0.8).max(axis=2) < 0.003).sum()
    assert gray["half"] > gray["none"] + 20000


def test_pictures_that_cannot_be(tmp_path, capsys):
    write_json(tmp_path, IDS)
    base = ["data", "show", "mustard", IDS[1], "--data-dir", str(tmp_path), "--plot"]
    assert main([*base, str(tmp_path / "row.png")]) == 1
    assert "neither existing media files nor features" in capsys.readouterr().err
    assert main([*base, str(tmp_path / "row.pdf")]) == 1
    assert "use a path that ends with .png" in capsys.readouterr().err
