# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs of `mm-affect pretrain`: output, interruption and resuming, two processes, bad input."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pretraining_rows import clip, options_of, write_clips
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForPreTraining, AutoProcessor

from mm_affect import TranscriptTokenizer
from mm_affect.cli.main import main
from mm_affect.training.pretraining import checkpoints
from mm_affect.training.pretraining import run as run_module


ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("pretraining") / "rows")


@pytest.fixture
def run(folder, tmp_path):
    """Runs the program with these options, in a folder of this name; returns its status and the folder."""

    def run(name, *flags, rows=folder, **fields):
        options = options_of(rows, tmp_path / name, **fields)
        config = tmp_path / f"{name}.json"
        config.write_text(json.dumps(options.to_dict()))
        return main(["pretrain", str(config), *flags]), tmp_path / name

    return run


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    home = tmp_path_factory.mktemp("finished")
    (home / "config.json").write_text(json.dumps(options_of(folder, home / "run").to_dict()))
    assert main(["pretrain", str(home / "config.json")]) == 0
    return home / "run"


def entries(folder: Path) -> list[dict]:
    """The log without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{n: v for n, v in line.items() if not n.endswith("_per_second")} for line in lines]


def assert_same_run(folder: Path, other: Path):
    assert entries(folder) == entries(other)
    for name in ("checkpoints/step-00000006/model", "checkpoints/step-00000006/optimizer", "model/model"):
        ours, theirs = (load_file(place / f"{name}.safetensors") for place in (folder, other))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours), name


# what a run leaves -----------------------------------------------------------------------------------------------------


def test_a_run_logs_what_it_learns(finished):
    log = entries(finished)
    assert [e["step"] for e in log] == [1, 2, 3, 4, 4, 5, 6, 6]
    assert log[-1]["beams"] == 2 and log[4]["beams"] == 1
    assert {"held_out.cer", "held_out.wer", "held_out.accuracy", "held_out.eer", "unseen.cer"} <= log[-1].keys()
    assert [e["learning_rate"] for e in log if "loss" in e][:4] == pytest.approx(
        [0.01 / 3, 0.02 / 3, 0.01, 0.01 * 0.75**0.5]
    )
    assert log[-2]["loss"] < log[0]["loss"]
    assert [path.name for path in sorted((finished / "checkpoints").iterdir())] == ["step-00000004", "step-00000006"]


def test_the_model_loads_with_and_without_its_heads(finished):
    model = AutoModelForPreTraining.from_pretrained(finished / "model")
    trained = load_file(finished / "checkpoints" / "step-00000006" / "model.safetensors")
    assert all(torch.equal(trained[name], value) for name, value in model.state_dict().items())
    encoder, found = AutoModel.from_pretrained(finished / "model", output_loading_info=True)
    assert not found["missing_keys"] and not hasattr(encoder, "decoder")
    assert found["unexpected_keys"] and all(name.startswith("decoder.") for name in found["unexpected_keys"])
    processor = AutoProcessor.from_pretrained(finished / "model")
    tokenizer = TranscriptTokenizer.from_pretrained(finished / "model" / "transcripts")
    ids = model.generate_transcript(max_length=5, **processor([clip(1)]))
    assert isinstance(tokenizer.batch_decode(ids.tolist())[0], str)


# interrupted and resumed -----------------------------------------------------------------------------------------------


def test_ctrl_c_then_resume_equals_uninterrupted(run, finished, monkeypatch):
    step, seen = run_module.train_step, []

    def interrupted(*arguments):
        seen.append(1)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(run_module, "train_step", interrupted)
    status, folder = run("stopped")
    assert status == 130 and len(seen) == 3, "the step is finished and saved"
    monkeypatch.setattr(run_module, "train_step", step)
    assert run("stopped", "--resume")[0] == 0
    assert_same_run(folder, finished)


def test_killed_while_it_saves_then_resume_equals_uninterrupted(run, finished, monkeypatch, tmp_path):
    """What a kill leaves: a checkpoint that is half written, steps behind the last whole one in the log, half a line."""
    save = checkpoints.save_file

    def killed(tensors, path):
        save(tensors, path)
        if (path.parent.parent / "step-00000002").exists():
            raise MemoryError("killed")

    monkeypatch.setattr(checkpoints, "save_file", killed)
    with pytest.raises(MemoryError):
        run("killed")
    monkeypatch.setattr(checkpoints, "save_file", save)
    log = tmp_path / "killed" / "log.jsonl"
    assert [entry["step"] for entry in entries(log.parent)] == [1, 2, 3, 4, 4]
    log.write_text(log.read_text() + '{"step": 5, "lo')
    status, folder = run("killed", "--resume")
    assert status == 0
    assert_same_run(folder, finished)


def test_a_finished_run_is_resumed_for_nothing(run, finished):
    status, folder = run("again", steps=4)
    assert status == 0 and run("again", "--resume", steps=6)[0] == 0, "more steps may be asked for"
    ours = load_file(folder / "model" / "model.safetensors")
    assert all(torch.equal(value, ours[n]) for n, value in load_file(finished / "model" / "model.safetensors").items())


@pytest.mark.parametrize("fields", [{"workers": 1}, {"streaming": False}])
def test_how_rows_are_read_changes_nothing(run, finished, fields):
    status, folder = run("other", **fields)
    assert status == 0
    assert_same_run(folder, finished)


def test_two_processes_learn_as_one(run, tmp_path):
    """The same four batches per step, from the third on dealt to two processes over gloo: the same losses, step by step."""
    fields = {"batches_per_step": 4, "unseen_split": None, "num_beams": 1, "evaluate_every": 9}
    assert run("one", steps=4, **fields)[0] == 0 and run("two", steps=2, **fields)[0] == 0
    settings = {"ACCELERATE_USE_CPU": "true", "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = [ROOT / "examples" / "pretrain_multitask.py", tmp_path / "two.json", "--resume", "--steps", "4"]
    done = subprocess.run([*launcher, *program], env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    one, two = ([e for e in entries(tmp_path / name) if "loss" in e and e["step"] > 2] for name in ("one", "two"))
    for ours, theirs in zip(one, two, strict=True):
        assert ours["clips"] == theirs["clips"] and ours["steps"] == theirs["steps"]
        for loss in ("loss", "loss_speech", "loss_person", "grad_norm"):
            assert ours[loss] == pytest.approx(theirs[loss], rel=2e-4), (ours["step"], loss)


# refused ---------------------------------------------------------------------------------------------------------------


def refusal(run, capsys, name, *flags, **fields) -> str:
    status, _ = run(name, *flags, **fields)
    error = capsys.readouterr().err
    assert status == 1
    said = [line for line in error.splitlines() if line.startswith("mm-affect: ")]
    assert len(said) == 1 and "Traceback" not in error
    return said[0]


def test_a_folder_is_never_written_by_two_runs_or_over_another(run, capsys, tmp_path, finished, folder):
    with checkpoints.lock_folder(tmp_path / "taken"):
        assert f"in use: process {os.getpid()} on" in refusal(run, capsys, "taken")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    assert "left alone" in refusal(run, capsys, "full", "--overwrite")
    assert (tmp_path / "full" / "thesis.tex").exists()
    assert "no run to resume" in refusal(run, capsys, "new", "--resume")
    assert run("mine", steps=1)[0] == 0
    assert "--resume to continue" in refusal(run, capsys, "mine", steps=1)
    assert "learning_rate 0.01, not 0.02" in refusal(run, capsys, "mine", "--resume", learning_rate=0.02)
    broken = tmp_path / "mine" / "checkpoints" / "step-00000001" / "optimizer.safetensors"
    broken.write_bytes(broken.read_bytes()[:100])
    assert "step-00000001 cannot be read" in refusal(run, capsys, "mine", "--resume", steps=2)
    assert run("mine", "--overwrite", steps=1)[0] == 0


def test_a_corrupt_shard_in_the_middle_is_named(run, capsys, tmp_path):
    data = write_clips(tmp_path / "broken")
    shard = sorted(data.glob("train-*.parquet"))[2]
    content = bytearray(shard.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)  # the footer stays whole
    shard.write_bytes(content)
    said = refusal(run, capsys, "corrupt", rows=data)
    assert shard.name in said and "row group 0" in said


def test_rows_that_changed_are_not_gone_on_with(run, capsys, tmp_path):
    data = write_clips(tmp_path / "changing")
    assert run("changed", rows=data, steps=2)[0] == 0
    rows = [clip(number) for number in range(59)]
    for shard in data.iterdir():
        shard.unlink()
    data.rmdir()
    write_clips(data, rows)
    assert "begin a new run" in refusal(run, capsys, "changed", "--resume", rows=data, steps=4)


@pytest.mark.parametrize(
    ("flags", "fields", "message"),
    [
        (["--report-to", "nothing"], {}, "tracker 'nothing'"),
        (["--steps", "many"], {}, "steps"),
        ([], {"modalities": ["text", "visual"]}, "none can be the query"),
        ([], {"rows": Path("nowhere")}, "holds no feature rows"),
        ([], {"batch_steps": 3}, "expected two speakers"),
        ([], {"unseen_split": "test"}, "no rows of the split 'test'"),
    ],
)
def test_bad_input_is_one_sentence(run, capsys, flags, fields, message):
    assert message in refusal(run, capsys, "bad", *flags, **fields)
