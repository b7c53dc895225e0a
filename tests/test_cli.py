# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command: what each subcommand prints and leaves, and every bad input as one sentence that costs nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import (
    FIELDS,
    SIZES,
    make_rows,
    run_config,
    sample_corpus,
    sample_rows,
    sample_run,
    tiny_rows,
    tiny_run,
    write_corpus,
    write_video,
    write_wav,
)
from transformers import BertConfig

from mm_affect.cli.config_fields import list_config_fields, read_config_flags
from mm_affect.cli.main import COMMANDS, main, parse
from mm_affect.data import rows as rows_module
from mm_affect.data import write_rows
from mm_affect.evaluation import results as results_module
from mm_affect.training.config import RunConfig
from mm_affect.training.pretraining.options import PretrainingOptions


@pytest.fixture
def fails(capsys):
    """Run a command that must fail; the one sentence it prints."""

    def run(*command, code=1):
        capsys.readouterr()
        assert main([str(part) for part in command]) == code
        printed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mm-affect: ")]
        assert len(printed) == 1, printed
        sentence = printed[0].removeprefix("mm-affect: ")
        assert "Traceback" not in sentence and "[Errno" not in sentence and len(sentence) < 500, sentence
        return sentence

    return run


@pytest.fixture
def works(capsys):
    """Run a command that must work; what it prints on stdout."""

    def run(*command):
        capsys.readouterr()
        assert main([str(part) for part in command]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def tree(folder: Path) -> dict:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def clips(**changes) -> list[dict]:
    splits = ("train", "train", "validation", "test")
    manifest = [{"id": f"c{i}", "group": f"g{i}", "split": splits[i % 4], "transcript": "well", "mood": "ab"[i // 4]}
                for i in range(8)]  # fmt: skip
    manifest[3] |= changes
    return manifest


def config_file(tmp_path, **fields) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(run_config(tmp_path / "run", **fields)))
    return path


# every command ----------------------------------------------------------------------------------------------------


def test_help_reads_like_a_manual(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(
        f"  {name} " in text for name in ("data", "extract", "train", "compare", "evaluate", "predict", "card", "env")
    )
    assert main([]) == 2 and "usage: mm-affect" in capsys.readouterr().out


def all_commands() -> list[str]:
    return [name for group in COMMANDS.values() for name in group]


def test_help_of_every_command_loads_nothing_heavy():
    """In one process: what the help of one command imported would still be there for the others."""
    code = (
        "import sys\n"
        "from mm_affect.cli.main import main\n"
        f"for name in {all_commands()}:\n"
        "    try:\n"
        "        main([*name.split(), '--help'])\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code, name\n"
        "    heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'scipy', 'accelerate'} & sys.modules.keys()\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f"usage: mm-affect {name} " in done.stdout for name in all_commands())


@pytest.mark.parametrize("name", all_commands())
def test_options_mean_the_same_in_every_command(name, capsys):
    with pytest.raises(SystemExit):
        main([*name.split(), "--help"])
    text = " ".join(capsys.readouterr().out.split())
    shared = {
        "--json": "print everything as JSON",
        "--workers": "N parallel processes; default: 2",
        "--split": "{train,validation,test} split of the rows; default: test",
        "--jobs": "N trainings at a time",
        "--seed": "N seed of the random numbers; default: 0",
    }
    for option, help in shared.items():
        if f" {option} " in text.partition("options:")[2] and not (name == "pretrain" and option == "--split"):
            described = f"{option} INT" if name == "pretrain" else f"{option} {help}"
            assert described in text, (name, option)


@pytest.mark.parametrize("kind", [RunConfig, PretrainingOptions])
def test_every_field_of_a_config_has_a_sentence(kind):
    fields = list_config_fields(kind)
    assert len(fields) == len({field.name for field in fields}) > 20
    for field in fields:
        assert field.help[:1].isupper() or field.help.startswith("`"), f"{field.name}: {field.help!r}"
        assert field.help.endswith("."), f"{field.name}: {field.help!r}"


def test_train_help_shows_type_default_and_sentence_of_every_field(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--training.epochs INT Maximum number of epochs. (default: 100)" in text
    assert "--rows TEXT Folder of rows, as `mm-affect extract` writes it. (required in the config)" in text
    assert "--model.FIELD VALUE Fields of the model's config" in text
    for group in ("run", "tasks", "model", "training", "augmentation", "mixture"):
        assert f"config: {group}:" in text
    for field in list_config_fields(RunConfig):
        assert f"--{field.name} " in text or field.name == "model"


def test_a_command_that_does_not_exist_is_rejected_with_the_one_that_was_meant(capsys):
    for words, sentence in (
        (["trian"], "there is no command 'trian'. Did you mean 'train'?"),
        (["data", "chek"], "there is no command 'chek'. Did you mean 'check'?"),
        (["data"], "give a command."),
        (["--versoin"], "unrecognized arguments: --versoin. Did you mean '--version'?"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: {sentence}")


def test_a_misspelled_flag_is_rejected_with_the_one_that_was_meant(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", "config.json", "--training.epoch", "3", "--color=red"])
    assert caught.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith("arguments: --training.epoch 3 --color=red. Did you mean '--training.epochs'?")


def test_data_sample_and_check(works, tmp_path):
    assert str(tmp_path / "c") in works("data", "sample", tmp_path / "c", "--clips", 12, "--workers", 1)
    text = works("data", "check", tmp_path / "c")
    assert "SYNTHETIC" in text and "train 8, validation 2, test 2" in text and "emotion (multi_label" in text
    assert json.loads(works("data", "check", sample_rows(), "--json"))["sizes"]["audio"] == 200


def test_extract_train_evaluate_card(works, tmp_path):
    (tmp_path / "corpus").mkdir()
    write_corpus(tmp_path / "corpus", clips())
    text = works("extract", tmp_path / "corpus", "--output", tmp_path / "rows", "--workers", 1)
    assert "train 4, validation 2, test 2" in text
    assert (tmp_path / "rows" / "processor_config.json").exists()
    text = works("train", config_file(tmp_path), "--training.epochs", 1, "--seeds", "[7]", "--name", "seven")
    assert "sentiment.mae" in text and str(tmp_path / "run" / "README.md") in text
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (recorded["name"], recorded["seeds"], recorded["training"]["epochs"]) == ("seven", [7], 1)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert "--seeds '[7]'" in results["command"]
    scores = json.loads(works("evaluate", "--model", tmp_path / "run", "--rows", tiny_rows(), "--json"))
    expected = results["seeds"]["7"]["test"]
    assert scores.keys() == expected.keys()
    assert scores["text"]["sentiment.mae"] == pytest.approx(expected["text"]["sentiment.mae"])
    assert "text+audio+visual" in works(
        "evaluate", "--model", tmp_path / "run", "--rows", tiny_rows(), "--split", "validation"
    )
    card = (tmp_path / "run" / "README.md").read_text()
    (tmp_path / "run" / "README.md").unlink()
    works("card", tmp_path / "run")
    assert (tmp_path / "run" / "README.md").read_text() == card


def test_predict_as_table_json_and_time_line(works, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for source in sorted((sample_corpus() / "media").glob("*.mp4"))[:2]:
        shutil.copy(source, folder)
    (folder / "notes.txt").write_text("not a clip")
    one = sorted(folder.glob("*.mp4"))[0]
    text = works("predict", one, "--model", sample_run(), "--transcript", "well i hated it")
    assert "text 4 steps" in text and "sentiment" in text and "sarcasm" in text
    both = json.loads(works("predict", folder, "--model", sample_run(), "--json"))
    assert [Path(found["source"]).name for found in both] == [path.name for path in sorted(folder.glob("*.mp4"))]
    answer = json.loads(
        works("predict", one, "--model", sample_run(), "--json", "--window", 1, "--modalities", "audio", "--plot",
              tmp_path / "line.png")
    )  # fmt: skip
    assert answer["steps"]["visual"] == 0 and len(answer["timeline"]) >= 2
    assert (tmp_path / "line.png").read_bytes()[:4] == b"\x89PNG"
    assert "text 1 steps, audio missing" in works("predict", "--model", sample_run(), "--transcript", "well")


def test_env_names_versions_and_extras(works):
    text = works("env")
    assert "transformers" in text and "[audio]" in text


# bad input --------------------------------------------------------------------------------------------------------

MANIFESTS = {
    "no ids": (
        [{name: cell for name, cell in line.items() if name != "id"} for line in clips()],
        "has no `id` column",
    ),
    "duplicate ids": (clips(id="c2"), "id `c2` was used in .*line 4; ids must be unique"),
    "group in two splits": (clips(group="g0"), "group `g0` is in train and test; a group must stay in one split"),
    "missing media": (clips(audio="gone.wav"), "line 5: `audio` names gone.wav, which is not a file"),
    "empty media": (clips(audio="empty.wav"), "line 5: `audio` names empty.wav, which is an empty file"),
    "not media": (clips(audio="text.wav"), "1 clip could not be read, so nothing was written: c3: .*text.wav"),
    "truncated sound": (clips(audio="cut.wav"), "1 clip could not be read.*cut.wav"),
    "truncated video": (clips(video="cut.mp4"), "1 clip could not be read.*cut.mp4"),
    "audio without sound": (clips(audio="mute.mp4"), "1 clip could not be read.*mute.mp4 has no audio track"),
    "nothing at all": (clips(transcript=""), "clip `c3` has no transcript, media file or feature file"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_faulty_corpus_is_one_sentence_and_writes_nothing(fails, tmp_path, case):
    corpus, (manifest, sentence) = tmp_path / "corpus", MANIFESTS[case]
    write_corpus(corpus, manifest)
    (corpus / "empty.wav").touch()
    (corpus / "text.wav").write_text("To be or not to be. " * 50)
    for whole in (write_wav(corpus / "cut.wav", 2.0), write_video(corpus / "cut.mp4", 4.0)):
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    write_video(corpus / "mute.mp4")
    before = tree(tmp_path)
    assert re.search(sentence, fails("extract", corpus, "--output", tmp_path / "rows", "--workers", 1))
    assert tree(tmp_path) == before and not (tmp_path / "rows").exists()


def test_a_label_outside_its_range(fails, tmp_path):
    field = {"name": "valence", "problem_type": "regression", "range": [-3, 3]}
    lines = [{"id": f"c{i}", "transcript": "well", "valence": i} for i in range(5)]
    write_corpus(tmp_path / "corpus", lines, {"label_fields": [field]})
    sentence = fails("data", "check", tmp_path / "corpus")
    assert "line 6: `valence` is 4, outside its range [-3, 3]" in sentence


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.ones((3, 7)), "c5.npy has 7 features per step; the other files of this modality have 2"),
        (np.ones((3, 2, 2)), "c5.npy has shape (3, 2, 2); features must be (steps, size)"),
        (np.array(["a"]), "c5.npy holds values of type <U1; features must be real numbers"),
    ],
)
def test_features_of_the_wrong_size_or_rank(fails, tmp_path, values, sentence):
    (tmp_path / "corpus" / "audio").mkdir(parents=True)
    for i in range(8):
        np.save(tmp_path / "corpus" / "audio" / f"c{i}.npy", values if i == 5 else np.ones((3, 2)))
    write_corpus(tmp_path / "corpus", clips())
    assert sentence in fails("extract", tmp_path / "corpus", "--output", tmp_path / "rows", "--workers", 1)
    assert not (tmp_path / "rows").exists()


def test_features_that_are_not_finite_are_counted_and_train(works, tmp_path):
    rows = {split: make_rows(split) for split in ("train", "validation", "test")}
    present = [row for row in rows["train"] if len(row["audio"]) > 1]
    present[0]["audio"][0, 0] = np.nan
    present[1]["audio"][1, 1:] = np.inf
    write_rows(tmp_path / "rows", rows, {"name": "dirty", "label_fields": FIELDS, "sizes": SIZES})
    assert json.loads(works("data", "check", tmp_path / "rows", "--json"))["non_finite"] == {"audio": 3}
    assert "sentiment.mae" in works("train", config_file(tmp_path, rows=str(tmp_path / "rows")))


def test_config_faults(fails, tmp_path):
    path = config_file(tmp_path)
    assert "Unknown config field 'learning_rat'" in fails("train", config_file(tmp_path, learning_rat=3))
    path = config_file(tmp_path)
    assert "Did you mean 'early_size'" in fails("train", path, "--model.early_siz", 3)
    assert "Field 'epochs' expected int, got str (value: 'many')" in fails("train", path, "--training.epochs", "many")
    assert "no 'smell' features; they have text, audio, visual" in fails("train", path, "--modalities", "smell")
    assert "`encoder` is 'rnn'; expected one of avg, lstm, trans" in fails("train", path, "--model.encoder", "rnn")
    assert "expected one of paper, reference" in fails("train", path, "--preset", "mine")
    assert "There is no config file" in fails("train", tmp_path / "absent.json")
    assert not (tmp_path / "run").exists()


CONFIGS = Path(__file__).resolve().parent.parent / "examples" / "configs"


@pytest.mark.parametrize("folder", ["tailor_ablations", "sugrm_tables"])
def test_a_flag_for_a_field_of_the_model_keeps_the_others(folder):
    """So every row of a table of ablations can be trained with other sizes, on other rows, by one command."""
    flags = ["--model.hidden_size", "24", "--rows", "elsewhere", "--training.epochs", "2", "--seeds", "3,4"]
    overrides = read_config_flags(parse(["compare", str(CONFIGS / folder), *flags]), RunConfig)
    for path in sorted((CONFIGS / folder).glob("*.json")):
        before, after = RunConfig.load(path), RunConfig.load(path, overrides)
        assert after.model == before.model | {"hidden_size": 24}
        assert (after.rows, after.seeds) == ("elsewhere", [3, 4])
        assert after.training == replace(before.training, epochs=2)
        untouched = {"model": before.model, "rows": before.rows, "seeds": before.seeds, "training": before.training}
        assert replace(after, **untouched) == before


def test_values_of_flags():
    words = ["train", "a.json", "--model.memory.audio=7", "--model.encoder", "lstm", "--modalities", "text,audio"]
    words += ["--training.tune_thresholds", "f1_binary", "--label_fraction.emotion", "0.1", "--name", "7"]
    assert read_config_flags(parse(words), RunConfig) == {
        "model.memory.audio": 7,
        "model.encoder": "lstm",
        "modalities": ["text", "audio"],
        "training.tune_thresholds": "f1_binary",
        "label_fraction.emotion": 0.1,
        "name": "7",
    }


def test_an_unknown_modality_is_refused_by_predict(fails):
    sentence = fails("predict", "--model", sample_run(), "--transcript", "well", "--modalities", "smell")
    assert "Unknown modality 'smell'; this model reads text, audio, visual" in sentence


def test_what_is_no_checkpoint_of_ours(fails, tmp_path):
    BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1).save_pretrained(tmp_path / "bert")
    (tmp_path / "empty").mkdir()
    shutil.copytree(tiny_run(), tmp_path / "damaged")
    weights = tmp_path / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for folder, sentence in (
        ("bert", "is a checkpoint of another architecture (bert); use a checkpoint of mm_affect"),
        ("empty", "is not a checkpoint (it has no config.json); use the output folder"),
        ("absent", "is not a checkpoint (neither a folder"),
        ("damaged", "are damaged"),
    ):
        assert sentence in fails("predict", "--model", tmp_path / folder, "--transcript", "well")
        assert sentence in fails("evaluate", "--model", tmp_path / folder, "--rows", tiny_rows())


def test_a_checkpoint_without_a_processor(fails, tmp_path):
    """As one seed's folder is: the processor is the run's."""
    seed = tiny_run() / "seeds" / "seed-0"
    for command in (
        ("predict", "--model", seed, "--transcript", "well"),
        ("evaluate", "--model", seed, "--rows", tiny_rows()),
    ):
        sentence = fails(*command)
        assert f"{seed} has no processor (it has no processor_config.json); use the output folder" in sentence


def test_a_model_without_extractors_says_what_it_needs(fails):
    sentence = fails("predict", "--model", tiny_run(), "--transcript", "well")
    assert "text features were made by an unknown extractor" in sentence and "give features" in sentence
    sentence = fails("evaluate", "--model", tiny_run(), "--rows", sample_rows())
    assert "features of the model do not say which extractor made them" in sentence


def test_clips_that_cannot_be_predicted(fails, tmp_path):
    (tmp_path / "text.mp4").write_text("To be or not to be. " * 50)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder").mkdir()
    cut = write_wav(tmp_path / "cut.wav", 2.0)
    cut.write_bytes(cut.read_bytes()[:20000])
    blank = write_video(tmp_path / "blank.mp4")
    for clip, sentence in (
        (tmp_path / "absent.mp4", "absent.mp4"),
        (tmp_path / "text.mp4", "text.mp4"),
        (tmp_path / "empty.wav", "empty"),
        (cut, "cut.wav"),
        (tmp_path / "folder", "holds no media files"),
        (blank, "nothing to read; the selected modalities have no words, no audio and no face"),
    ):
        assert sentence in fails("predict", clip, "--model", sample_run())
    assert "Nothing to predict: give a media file" in fails("predict", "--model", sample_run())
    assert "Nothing to predict" in fails("predict", "--model", sample_run(), "--transcript", "")
    assert "nothing to read" in fails("predict", "--model", sample_run(), "--transcript", " ")
    wav = write_wav(tmp_path / "a.wav")
    assert "belong to one clip; 2 were given" in fails(
        "predict", wav, wav, "--model", sample_run(), "--transcript", "a"
    )
    assert "needs --window" in fails("predict", wav, "--model", sample_run(), "--plot", tmp_path / "a.png")
    assert "`hop` needs `window`" in fails("predict", wav, "--model", sample_run(), "--hop", "1")


def test_one_bad_clip_of_a_folder_does_not_cost_the_others(capsys, tmp_path):
    write_wav(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_text("not sound")
    write_wav(tmp_path / "c.wav")
    assert main(["predict", str(tmp_path), "--model", str(sample_run()), "--json"]) == 1
    printed = capsys.readouterr()
    assert [Path(found["source"]).name for found in json.loads(printed.out)] == ["a.wav", "c.wav"]
    assert len([line for line in printed.err.splitlines() if line.startswith("mm-affect: ") and "b.wav" in line]) == 1


@pytest.mark.parametrize("command", ["sample", "extract", "train"])
def test_a_folder_that_is_not_ours_is_left_alone(fails, tmp_path, command):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "thesis.tex").write_text("words")
    commands = {
        "sample": [("data", "sample", folder, "--clips", 12)],
        "extract": [
            ("extract", sample_corpus(), "--output", folder, "--workers", 1, *flag) for flag in ((), ("--overwrite",))
        ],
        "train": [("train", config_file(tmp_path), *flag) for flag in ((), ("--overwrite",), ("--resume",))],
    }[command]
    for words in commands:
        assert re.search("exists and .*(choose another|give a new) folder", fails(*words))
        assert tree(folder) == {"thesis.tex": b"words"}


# disk full and Ctrl-C ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("command", ["extract", "train", "card"])
def test_trouble_while_writing_costs_nothing(fails, tmp_path, monkeypatch, command, trouble):
    code = 130 if isinstance(trouble, KeyboardInterrupt) else 1
    write_corpus(tmp_path / "corpus", clips())
    assert main(["extract", str(tmp_path / "corpus"), "--output", str(tmp_path / "rows"), "--workers", "1"]) == 0
    shutil.copytree(tiny_run(), tmp_path / "run")
    before = tree(tmp_path)

    def fail(*args, **kwargs):
        raise trouble

    if command == "extract":
        monkeypatch.setattr(rows_module.pq.ParquetWriter, "write_table", fail)
        words = ("extract", tmp_path / "corpus", "--output", tmp_path / "rows", "--overwrite", "--workers", 1)
    else:
        monkeypatch.setattr(results_module.os, "replace", fail)
        config = run_config(tmp_path / "new")
        (tmp_path / "config.json").write_text(json.dumps(config))
        before["config.json"] = (tmp_path / "config.json").read_bytes()
        words = ("train", tmp_path / "config.json") if command == "train" else ("card", tmp_path / "run")
    sentence = fails(*words, code=code)
    assert ("interrupted" if code == 130 else "No space left on device") in sentence
    monkeypatch.undo()
    assert tree(tmp_path) == before


def test_ctrl_c_while_extracting(tmp_path):
    rows = tmp_path / "rows"
    shutil.copytree(sample_rows(), rows)
    before = tree(tmp_path)
    environment = os.environ | {"HF_DATASETS_CACHE": str(tmp_path.parent / f"{tmp_path.name}-cache")}
    process = subprocess.Popen(
        [sys.executable, "-m", "mm_affect.cli", "extract", sample_corpus(), "--output", rows, "--overwrite", "--workers", "2"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background is deaf to it
    )  # fmt: skip
    try:
        deadline = time.time() + 60
        while not list(tmp_path.glob(".rows.*.tmp")) and process.poll() is None and time.time() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        _, printed = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130 and "Traceback" not in printed, printed
    assert printed.splitlines()[-1].endswith("mm-affect: interrupted; everything that was complete is kept.")
    assert tree(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["rows"]
