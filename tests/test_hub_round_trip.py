# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Models, processors, runs, rows: published by one process, and used by others that know only their names, to the bit.

Each process has its own empty cache and speaks with the stand-in of the Hub over real sockets; the last has no network.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpora import tiny_rows
from hub_stand_in import WRITER, HubStandIn
from safetensors.numpy import load_file

from mm_affect.checkpoints.hub import REQUIRED
from mm_affect.data import RowReader, load


HERE = Path(__file__).resolve().parent
PUBLISH = """
import json, sys
from pathlib import Path
import torch
from corpora import FIELDS, MODEL, SIZES, make_rows, tiny_rows
from huggingface_hub import HfApi
from safetensors.torch import save_file
from transformers import TrainingArguments
from mm_affect import AffectProcessor, FusionConfig, FusionForAffect, Task, TailorConfig, TailorForAffect
from mm_affect.cli.main import main
from mm_affect.data import load
from mm_affect.features.log_mel import LogMelExtractor
from mm_affect.features.word_vectors import WordVectors
from mm_affect.inference.pipeline import AffectRecognitionPipeline
from mm_affect.training.trainer import AffectTrainer
from mm_affect.data.ragged import RowDataset
from tailor_by_hand import SMALL

TASKS = [Task(field.name, field.problem_type, field.labels) for field in FIELDS]
place, found = Path(sys.argv[1]), {}
(place / "run").mkdir()


def made(seed):
    torch.manual_seed(seed)
    vectors = [f"{word} " + " ".join(str(x) for x in torch.randn(3).tolist()) for word in ("good", "day")]
    (place / "glove.txt").write_text("\\n".join(vectors) + "\\n")
    extractors = {"text": WordVectors.from_glove(place / "glove.txt", {"good", "day"}), "audio": LogMelExtractor()}
    processor = AffectProcessor.from_extractors(extractors, feature_sizes={"visual": 5})
    model = TailorForAffect(TailorConfig(feature_sizes=processor.feature_sizes, tasks=TASKS, **SMALL)).eval()
    return model, processor


for name, seed in (("old", 0), ("new", 1)):
    model, processor = made(seed)
    with torch.no_grad():
        save_file(model(**processor([{"transcript": "what a good day"}])).logits, place / f"{name}.safetensors")
    model.push_to_hub("org/tailor-mosei")
    processor.push_to_hub("org/tailor-mosei")
    if name == "old":
        found["sha"] = HfApi().repo_info("org/tailor-mosei").sha
        HfApi().create_tag("org/tailor-mosei", tag="v1")
recognizer = AffectRecognitionPipeline(model=model, processor=processor)
found["answer"] = recognizer({"text": "what a good day"})["tasks"]

model.save_pretrained(place / "run")
processor.save_pretrained(place / "run")
(place / "run" / "results.json").write_text("{}")
(place / "run" / "README.md").write_text("# run")
assert main(["push", str(place / "run"), "org/run", "--private", "--revision", "tailor"]) == 0
assert main(["push", str(place / "run"), "org/with-code", "--with-code"]) == 0

processor = AffectProcessor(SIZES).fit(make_rows("train"))
arguments = TrainingArguments(
    str(place / "trained"), num_train_epochs=2, per_device_train_batch_size=8, save_strategy="epoch", report_to="none",
    push_to_hub=True, hub_model_id="org/trained", dataloader_pin_memory=False, hub_always_push=True,
)
rows, model = RowDataset(make_rows("train")), FusionForAffect(FusionConfig(**MODEL, feature_sizes=SIZES, tasks=TASKS))
trainer = AffectTrainer(model, arguments, rows, processor=processor, label_fields=FIELDS)
trainer.train()
trainer._finish_current_push()
found["while training"] = HfApi().list_repo_files("org/trained")
trainer.push_to_hub()

load(tiny_rows()).push_to_hub("org/rows-of-datasets")
assert main(["push", str(tiny_rows()), "org/rows"]) == 0
print(json.dumps(found))
"""
USE = """
import json, sys
from pathlib import Path
import mm_affect
import torch
from datasets import load_dataset
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoProcessor, pipeline
from mm_affect.checkpoints.loading import load_checkpoint
from mm_affect.cli.main import main

place, sha, found = Path(sys.argv[1]), sys.argv[2], {}
answers = {}
for revision in (None, "v1", sha):
    model = AutoModel.from_pretrained("org/tailor-mosei", revision=revision).eval()
    processor = AutoProcessor.from_pretrained("org/tailor-mosei", revision=revision)
    assert AutoConfig.from_pretrained("org/tailor-mosei", revision=revision).model_type == "mm_affect_tailor"
    with torch.no_grad():
        logits = model(**processor([{"transcript": "what a good day"}])).logits
    answers |= {f"{revision}.{task}": value for task, value in logits.items()}
save_file(answers, place / "answers.safetensors")
recognizer = pipeline("affect-recognition", model="org/tailor-mosei")
found["answer"] = recognizer({"text": "what a good day"})["tasks"]
found["commanded"] = [
    main(["predict", "--transcript", "what a good day", "--json", "--model", name])
    for name in ("org/run@tailor", "org/with-code", "org/tailor-mosei@v1")
]
model, processor = load_checkpoint("org/trained")
found["trained"] = [type(model).__name__, sorted(processor.statistics)]
for name in ("org/rows-of-datasets", "org/rows"):
    found[name] = {split: len(rows) for split, rows in load_dataset(name).items()}
print("\\n" + json.dumps(found))
"""


def run(server, cache, *command, **environment):
    """The finished process of a command that knows the Hub by its address, and has an empty home."""
    told = {"HF_ENDPOINT": server.url, "HF_TOKEN": WRITER, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(cache)}
    told |= {"PYTHONPATH": os.pathsep.join([str(HERE.parent / "src"), str(HERE)]), "OMP_NUM_THREADS": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run([*map(str, command)], env=kept | told | environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def server():
    with HubStandIn() as server:
        yield server


@pytest.fixture(scope="module")
def published(server, tmp_path_factory):
    """What the publishing process said, and its folder as `place`."""
    place = tmp_path_factory.mktemp("published")
    ran = run(server, place / "home", sys.executable, "-c", PUBLISH, place)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1]) | {"place": place}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def used(server, published, home, place, **environment):
    """What a process that uses the published names found."""
    place.mkdir()
    ran = run(server, home, sys.executable, "-c", USE, place, published["sha"], **environment)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1]), load_file(place / "answers.safetensors")


def check(found, answers, published):
    """The same answers to the bit, of each revision its own."""
    old, new = (load_file(published["place"] / f"{name}.safetensors") for name in ("old", "new"))
    for revision, expected in (("None", new), ("v1", old), (published["sha"], old)):
        for task, logits in expected.items():
            assert np.array_equal(answers[f"{revision}.{task}"], logits), (revision, task)
    assert not all(np.array_equal(old[task], new[task]) for task in old)
    assert found["answer"] == published["answer"]
    assert found["commanded"] == [0, 0, 0]
    assert found["trained"] == ["FusionForAffect", ["audio", "text", "visual"]]
    counts = {split: len(rows) for split, rows in load(tiny_rows()).items()}
    assert found["org/rows-of-datasets"] == found["org/rows"] == counts


def test_what_is_published_comes_back_by_its_name_with_and_without_a_network(server, published, home, tmp_path):
    check(*used(server, published, home, tmp_path / "online"), published)
    before = len(server.requests)
    check(*used(server, published, home, tmp_path / "offline", HF_HUB_OFFLINE="1"), published)
    assert len(server.requests) == before


def test_who_may_read_what(server, published):
    private = {name for (_, name), repository in server.repositories.items() if repository.private}
    assert private == {"org/run", "org/rows"}, "rows of a corpus without a known license are private"
    assert server.repository("org/run").files().keys() == {".gitattributes"}
    assert {*REQUIRED} < server.repository("org/run").files("tailor").keys()


def test_code_is_published_on_request_only(server, published):
    assert not [path for path in server.repository("org/run").files("tailor") if path.endswith(".py")]
    files = server.repository("org/with-code").files()
    assert "tailor.py" in files and "auto_map" in json.loads(files["config.json"])
    assert "auto_map" not in json.loads((published["place"] / "run" / "config.json").read_text())


def test_a_checkpoint_that_is_pushed_while_training_goes_on_is_whole(server, published):
    assert {"config.json", "model.safetensors", "processor_config.json"} < {*published["while training"]}
    titles = list(server.repository("org/trained").titles.values())
    assert "Training in progress, epoch 1" in titles and titles[-1] == "End of training"


def test_the_command_of_the_hub_takes_and_gives_the_same_files(server, published, tmp_path):
    hf, folder = Path(sys.executable).with_name("hf"), published["place"] / "run"
    sent = run(server, tmp_path / "home", hf, "upload", "org/by-hf", folder)
    assert sent.returncode == 0, sent.stderr
    got = run(server, tmp_path / "home", hf, "download", "org/by-hf", "--local-dir", tmp_path / "got")
    assert got.returncode == 0, got.stderr
    names = {path.name for path in folder.iterdir()}
    assert all((tmp_path / "got" / name).read_bytes() == (folder / name).read_bytes() for name in names)
    got = run(
        server,
        tmp_path / "home",
        hf,
        "download",
        "org/rows",
        "--repo-type",
        "dataset",
        "--local-dir",
        tmp_path / "rows",
    )
    assert got.returncode == 0, got.stderr
    ours, theirs = (load(rows, cache_dir=tmp_path / "cache")["test"] for rows in (tiny_rows(), tmp_path / "rows"))
    for one, other in zip(RowReader(ours), RowReader(theirs), strict=True):
        assert one["id"] == other["id"] and np.array_equal(one["audio"], other["audio"], equal_nan=True)
