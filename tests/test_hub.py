# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `push` sends and `pull` fetches, what they refuse, and what becomes of every failure in between, over real sockets."""

import json

import pytest
import torch
from hub_stand_in import READER, STRANGER, WRITER, HubStandIn
from huggingface_hub import HfApi, constants
from safetensors.torch import save_file

from mm_affect.checkpoints.hub import REQUIRED, RUN_FILES, pull, push
from mm_affect.cli.main import main


NAME = "org/ef-lf"
CONFIG = json.dumps({"model_type": "mm_affect_fusion"})
CARD = "---\nlicense: apache-2.0\n---\n# ef-lf\n"


@pytest.fixture
def finished(tmp_path):
    """A folder like that of a finished run."""
    folder = tmp_path / "run"
    contents = dict.fromkeys((*REQUIRED, *RUN_FILES), "x") | {
        "config.json": CONFIG,
        "README.md": CARD,
        "tokenizer.json": "{}",
    }
    left = {"rows.json": "[]", "seeds/seed-0/config.json": CONFIG, "seeds/seed-0/vocab.txt": "x", "thesis.tex": "x"}
    for name, text in (contents | {"run.json": "{}", "plots/training.png": "png"} | left).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    save_file({"weight": torch.arange(2000.0)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with HubStandIn() as server:
        server.serve_this_process(monkeypatch, tmp_path / "cache")
        yield server


def visible(hub, revision="main", kind="model"):
    """What anybody sees: the files of the repository, but for the one that it began with."""
    files = hub.repository(NAME, kind).files(revision)
    return {path: content for path, content in files.items() if path != ".gitattributes"}


SENT = sorted([*REQUIRED, *RUN_FILES, "run.json", "plots/training.png", "tokenizer.json"])


def test_the_checkpoint_is_sent_in_one_commit_and_the_rest_stays(finished, hub):
    address = push(finished, NAME)
    repository = hub.repository(NAME)
    assert address == f"{hub.url}/{NAME}/commit/{repository.branches['main']}"
    assert list(repository.titles.values()) == ["initial commit", "Upload run"] and not repository.private
    assert sorted(visible(hub)) == SENT
    assert all(content == (finished / path).read_bytes() for path, content in visible(hub).items())
    assert hub.repository(NAME).commits[repository.branches["main"]]["model.safetensors"].large


def test_a_repeated_push_changes_nothing_and_sends_no_weights(finished, hub):
    first = push(finished, NAME)
    hub.requests.clear()
    assert push(finished, NAME) == first
    assert len(hub.repository(NAME).commits) == 2
    assert not [path for method, path in hub.requests if method == "PUT" or "/commit/" in path]


def test_private_branches_and_the_newest_weights(finished, hub):
    push(finished, NAME, private=True)
    assert hub.repository(NAME).private
    save_file({"weight": torch.zeros(3)}, finished / "model.safetensors")
    push(finished, NAME, private=True, revision="ablation/one")
    assert visible(hub, "ablation/one")["model.safetensors"] == (finished / "model.safetensors").read_bytes()
    assert visible(hub)["model.safetensors"] != (finished / "model.safetensors").read_bytes()
    assert (pull(NAME, "ablation/one") / "model.safetensors").stat().st_size < 200
    assert pull(f"{NAME}@main") == pull(NAME) != pull(f"{NAME}@ablation/one")


def test_a_checkpoint_without_a_run_is_pushed_as_it_is(finished, hub):
    """Pretrained, or converted: there is no card and there are no results."""
    for name in ("run.json", *RUN_FILES):
        (finished / name).unlink()
    push(finished, NAME)
    assert {*REQUIRED} <= hub.repository(NAME).files("main").keys()


@pytest.mark.parametrize("name", [*REQUIRED, *RUN_FILES])
def test_an_unfinished_run_is_refused(finished, hub, name):
    (finished / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=f"no {name}, so it is neither a finished run nor a complete checkpoint"
    ):
        push(finished, NAME)
    assert not hub.requests


def test_weights_that_were_cut_off_are_refused(finished, hub):
    path = finished / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="weights in .* are damaged"):
        push(finished, NAME)
    assert not hub.requests


@pytest.mark.parametrize("files", [{"config.json": b'{"model_type": "bert"}'}, {"thesis.pdf": b"x"}])
def test_what_others_put_there_is_left_alone(finished, hub, files):
    hub.make(NAME, files=files)
    with pytest.raises(ValueError, match="holds other files .such as .*Push to another name"):
        push(finished, NAME)
    assert visible(hub) == files


def test_a_repository_with_nothing_but_a_card_is_taken(finished, hub):
    hub.make(NAME, files={"README.md": b"soon", "LICENSE": b"x"})
    push(finished, NAME)
    assert visible(hub)["README.md"] == CARD.encode()


def test_what_is_to_be_private_never_goes_where_everybody_reads(finished, hub):
    hub.make(NAME)
    with pytest.raises(ValueError, match="exists and is public"):
        push(finished, NAME, private=True)
    assert not visible(hub)


# failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (None, "There is no token for the Hub; run `hf auth login`"),
        ("hf_wrong", "The Hub rejects this token"),
        (READER, "This token has no permission to write to org/ef-lf"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_who_may_not_write_is_told(finished, hub, monkeypatch, capsys, token, told, exists):
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    if exists:
        hub.make(NAME)
    assert main(["push", str(finished), NAME]) == 1
    assert capsys.readouterr().err.startswith(f"mm-affect: {told}")
    assert not exists or not visible(hub)


@pytest.mark.parametrize("headers", [{"Retry-After": "7"}, {"RateLimit": '"api";r=0;t=7'}])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/repos/create", 429),
        ("GET", "/api/models/", 429),
        ("POST", "/validate-yaml", 429),
        ("POST", "/preupload/", 429),
        ("POST", "/lfs/objects/batch", 429),
        ("PUT", "/lfs/", 429),
        ("POST", "/commit/", 429),
    ],
)
def test_a_busy_hub_is_waited_for_as_long_as_it_says(finished, hub, method, path, status, headers):
    hub.fail(method, path, status, times=2, **headers)
    push(finished, NAME)
    assert sorted(visible(hub)) == SENT
    assert len(hub.waits) == 2 and all(7 <= seconds <= 8 for seconds in hub.waits)


@pytest.mark.parametrize("path", ["/repos/create", "/validate-yaml", "/commit/", "/branch/"])
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_hub_that_is_down_for_a_moment_is_tried_again(finished, hub, path, status):
    hub.fail("POST", path, status)
    push(finished, NAME, revision="one")
    assert sorted(visible(hub, "one")) == SENT and hub.waits == [1]


@pytest.mark.parametrize(("path", "waits"), [("/commit/", [1, 2, 4, 8]), ("/preupload/", [1, 2, 4, 8, 8])])
def test_a_hub_that_stays_busy_is_given_up_on(finished, hub, path, waits):
    """By us, or by huggingface_hub, not by one many times within the other."""
    hub.fail("POST", path, 429, times=99)
    with pytest.raises(ConnectionError, match="limits the rate of requests .429.; try again"):
        push(finished, NAME)
    assert hub.waits == waits and not visible(hub)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (403, PermissionError, "has no permission to write to org/ef-lf"),
        (404, ConnectionError, "cannot process the request now .status 404: a fault that was asked for"),
        (409, ConnectionError, "org/ef-lf was changed at the same time"),
        (412, ConnectionError, "org/ef-lf was changed at the same time"),
        (413, ConnectionError, "cannot process the request now .status 413"),
    ],
)
def test_a_refused_commit_shows_nothing(finished, hub, status, error, told):
    hub.fail("POST", "/commit/", status)
    with pytest.raises(error, match=told):
        push(finished, NAME)
    assert not visible(hub) and not hub.waits
    push(finished, NAME)
    assert sorted(visible(hub)) == SENT


@pytest.mark.parametrize(("method", "path"), [("PUT", "/lfs/"), ("POST", "/commit/")])
def test_a_cut_connection_shows_nothing_and_the_next_push_completes_it(finished, hub, method, path):
    hub.fail(method, path, "cut", times=99)
    with pytest.raises(ConnectionError, match="No answer from .*completed uploads are not repeated"):
        push(finished, NAME)
    assert not visible(hub)
    hub.faults.clear()
    hub.requests.clear()
    push(finished, NAME)
    assert all(content == (finished / name).read_bytes() for name, content in visible(hub).items())
    assert sorted(visible(hub)) == SENT
    uploads = [path for verb, path in hub.requests if verb == "PUT"]
    assert len(uploads) == (2 if method == "PUT" else 0), "large files that had arrived are not sent again"


def test_one_cut_is_mended_by_itself(finished, hub):
    hub.fail("PUT", "/lfs/", "cut")
    push(finished, NAME)
    assert all(content == (finished / name).read_bytes() for name, content in visible(hub).items())


def test_an_upload_with_the_wrong_hash_is_refused_and_shows_nothing(finished, hub):
    hub.fail("PUT", "/lfs/", "flip")
    with pytest.raises(ConnectionError, match="status 422: The content has another sha256"):
        push(finished, NAME)
    assert not visible(hub)
    push(finished, NAME)
    assert all(content == (finished / name).read_bytes() for name, content in visible(hub).items())


def test_a_card_that_the_hub_cannot_read_is_named(finished, hub):
    (finished / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(ValueError, match="Invalid metadata in README.md"):
        push(finished, NAME)
    assert not visible(hub)


def test_the_command_says_what_it_cannot_push(finished, tmp_path, hub, capsys):
    (tmp_path / "corpus.json").write_text("{}")
    for words, told in (
        (
            [str(tmp_path / "none"), NAME],
            "none is no folder; give the output folder of a finished run, or one of rows",
        ),
        ([str(tmp_path), NAME, "--with-code"], "holds rows, which have no code; leave --with-code out"),
        (
            [str(finished / "seeds"), NAME],
            "has no config.json, so it is neither a finished run nor a complete checkpoint",
        ),
        ([str(finished), "a b/c"], "'a b/c' is not a valid repository name"),
    ):
        assert main(["push", *words]) == 1
        assert told in capsys.readouterr().err
    assert not hub.requests


def test_no_network_is_one_sentence(finished, hub, monkeypatch, capsys):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert main(["push", str(finished), NAME]) == 1
    told = capsys.readouterr().err
    assert "No answer from http://127.0.0.1:9; check the network" in told and told.count("\n") == 1
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["push", str(finished), NAME]) == 1
    assert "HF_HUB_OFFLINE is set, so the Hub is not reached; unset it" in capsys.readouterr().err


# fetching ---------------------------------------------------------------------------------------------------------


def test_what_comes_back_is_what_was_sent(finished, hub, monkeypatch):
    push(finished, NAME)
    folder = pull(NAME)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == SENT
    assert all((folder / name).read_bytes() == (finished / name).read_bytes() for name in SENT)
    sha = hub.repository(NAME).branches["main"]
    HfApi(endpoint=hub.url).create_tag(NAME, tag="v1")
    save_file({"weight": torch.zeros(3)}, finished / "model.safetensors")
    push(finished, NAME)
    assert pull(f"{NAME}@v1") == pull(NAME, sha) == folder != pull(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pull(f"{NAME}@v1") == folder and pull(NAME).name == hub.repository(NAME).branches["main"]


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_download_with_the_wrong_hash_is_thrown_away(finished, hub, file):
    push(finished, NAME)
    hub.fail("GET", f"/{file}", "flip")
    with pytest.raises(
        ValueError, match=f"{file} of org/ef-lf was damaged in transfer and has been deleted; try again"
    ):
        pull(NAME)
    assert (pull(NAME) / file).read_bytes() == (finished / file).read_bytes()


def test_a_download_that_breaks_off_goes_on(finished, hub):
    push(finished, NAME)
    hub.fail("GET", "model.safetensors", "cut")
    assert (pull(NAME) / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "token", "error", "told"),
    [
        ("org/none", WRITER, FileNotFoundError, "There is no model org/none on the Hub, or it is private"),
        ("org/none", None, FileNotFoundError, "There is no model org/none on the Hub, or it is private"),
        ("org/rows", WRITER, ValueError, "org/rows on the Hub is a dataset, not a model"),
        ("org/demo", WRITER, ValueError, "org/demo on the Hub is a Space, not a model"),
        ("org/other", WRITER, ValueError, "org/other on the Hub is not a model .it has no config.json"),
        ("org/gated", STRANGER, PermissionError, "org/gated is gated; request access at http.*/org/gated"),
        ("org/gated", None, PermissionError, "org/gated is gated"),
        ("org/private", STRANGER, FileNotFoundError, "or it is private; check the name, or log in"),
        ("org/gated@v9", READER, FileNotFoundError, "The model org/gated has no revision v9"),
        ("org/gated", "hf_wrong", PermissionError, "The Hub rejects this token"),
        ("a/b/c", WRITER, ValueError, "'a/b/c' is not a valid repository name; expected organization/name"),
    ],
)
def test_what_cannot_be_fetched_is_told(hub, monkeypatch, name, token, error, told):
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    hub.make("org/rows", "dataset")
    hub.make("org/demo", "space")
    hub.make("org/other", files={"notes.txt": b"x"})
    hub.make("org/gated", files={"config.json": CONFIG.encode()}, gated="manual")
    hub.make("org/private", private=True)
    with pytest.raises(error, match=told):
        pull(name)


@pytest.mark.parametrize(
    ("status", "told"), [(429, "limits the rate of requests"), (503, "cannot process the request now .status 503")]
)
@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", "/config.json"), ("GET", "/api/models"), ("GET", "/model.safetensors")]
)
def test_a_hub_that_gives_nothing_is_told(finished, hub, method, path, status, told):
    push(finished, NAME)
    hub.fail(method, path, status, times=99)
    with pytest.raises(ConnectionError, match=told):
        pull(NAME)
    hub.faults.clear()
    assert (pull(NAME) / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


def test_half_of_a_download_is_no_model(finished, hub, monkeypatch):
    push(finished, NAME)
    HfApi(endpoint=hub.url).hf_hub_download(NAME, "config.json")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="has no weights .model.safetensors., or they are not in the cache"):
        pull(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert (pull(NAME) / "model.safetensors").is_file()


@pytest.mark.parametrize("command", ["predict --transcript hello --model", "embed --rows {0} --output {0}/o --model"])
def test_commands_that_read_a_model_tell_the_same(hub, monkeypatch, tmp_path, capsys, command):
    monkeypatch.setattr("mm_affect.preparation.row_rewriting.read_rows_corpus", lambda rows: {})
    words = command.format(tmp_path).split()
    hub.make("org/bert", files={"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"})
    for name, told in (("org/none", "There is no model org/none"), ("org/bert", "is a model of another architecture")):
        assert main([*words, name]) == 1
        assert told in capsys.readouterr().err
    assert not [path for _, path in hub.requests if path.endswith(".safetensors")], "no weights of other models"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main([*words, "org/none"]) == 1
    assert "model org/none is not in the cache; unset it" in capsys.readouterr().err
