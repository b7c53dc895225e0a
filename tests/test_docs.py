# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The documentation is run: every block of code of `docs/` and of the README, in order, on a small sample corpus.

- ```python: executed; the blocks of a page share their names. A ```text block behind it is what it prints, exactly.
- ```bash: every `mm-affect` and `python` line is executed. A ```text block behind it is what the last of them prints, where a
  number stands for any number: they depend on the training and on the machine.
- ```console: commands on data that is not at hand, or that take long. Their options and files are checked, nothing runs.

Links between pages must lead somewhere, to a heading, too.
"""

import functools
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from corpora import SHARED

from mm_affect.cli import main as cli
from mm_affect.data import make_sample_corpus
from mm_affect.preparation.extraction.corpus import extract_corpus
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "examples" / "README.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = ("pip ", "make ", "git ", "hf ", "accelerate ", "export ", "cd ", "OMP_NUM_THREADS=")
FOLDERS = ("examples/", "benchmarks/", "datasets_scripts/", "model_cards/")
NUMBER = re.compile(r"[-+−]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every block of a page."""
    return [(language, text) for language, text in FENCE.findall(page.read_text(encoding="utf-8"))]


def commands(text: str) -> list[list[str]]:
    """The command lines of a block, split into words, without prompts, comments and what is piped away."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        for command in line.removeprefix("$ ").split(" && "):
            words = shlex.split(command, comments=True)
            if words and not re.fullmatch(r"\w+=\S+", words[0]) and not command.startswith(ELSEWHERE):
                found.append(words)
    return found


@functools.cache
def sample_folder() -> Path:
    """A folder with `demo_output/` as `make demo` leaves it, smaller, with `examples/`, and a `clip.mp4`."""
    folder = SHARED / "docs"
    output = folder / "demo_output"
    make_sample_corpus(output / "corpus", clips=48, seed=0, workers=1)
    extract_corpus(output / "corpus", output / "rows")
    config = RunConfig.load(ROOT / "examples" / "configs" / "fusion_sample.json").to_dict()
    config |= {"rows": str(output / "rows"), "output": str(output / "run"), "seeds": [0]}
    config["training"] |= {"epochs": 2}
    experiments.run(RunConfig.from_dict(config), command="mm-affect train examples/configs/fusion_sample.json")
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copytree(ROOT / "model_cards", folder / "model_cards")
    clip = next(path for path in sorted((output / "corpus" / "media").glob("*.mp4")))
    shutil.copyfile(clip, folder / "clip.mp4")
    return folder


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A copy of the sample folder that a page may change; the working folder of its commands."""
    shutil.copytree(sample_folder(), tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def execute(words: list[str], monkeypatch) -> None:
    """Run one command line; a failure names it."""
    if words[0] == "mm-affect":
        if words[1] == "export":
            pytest.importorskip("onnxscript", reason="exporting needs the extra `onnx`")
        assert cli.main(words[1:]) == 0, shlex.join(words)
    elif words[0] == "python" and words[1].endswith(".py"):
        monkeypatch.setattr(sys, "argv", words[1:])
        try:
            runpy.run_path(words[1], run_name="__main__")
        except SystemExit as ended:
            assert not ended.code, shlex.join(words)
    else:
        raise AssertionError(f"Nobody runs this line: {shlex.join(words)}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_runs_and_prints_what_the_page_says(page, work, monkeypatch, capsys):
    names, printed, exact = {"__name__": "page"}, None, True
    for language, text in blocks(page):
        capsys.readouterr()
        if language == "python":
            exec(compile(text, str(page), "exec"), names)
            printed, exact = capsys.readouterr().out, True
        elif language == "bash":
            for words in commands(text):
                capsys.readouterr()
                execute(words, monkeypatch)
            printed, exact = capsys.readouterr().out, False
        elif language == "text" and printed is not None:
            masked = (lambda shown: shown) if exact else (lambda shown: NUMBER.sub("#", shown).split())
            assert masked(printed.rstrip()) == masked(text.rstrip()), f"{page.name} shows what is no longer printed"
            printed = None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_is_shown_exists_with_its_options(page):
    for language, text in blocks(page):
        if language != "console":
            continue
        for words in commands(text):
            if words[0] == "mm-affect":
                try:
                    cli.parse(words[1:])
                except SystemExit:
                    pytest.fail(f"{page.name}: mm-affect does not know {shlex.join(words)}")
            elif words[0] == "python" and words[1] != "-m":
                assert (ROOT / words[1]).is_file(), f"{page.name} names {words[1]}, which is not there"
            for word in words:
                if word.startswith(FOLDERS) and not set(word) & set("$*{"):
                    assert (ROOT / word).exists(), f"{page.name} names {word}, which is not there"


LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_every_link_leads_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, heading = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{page.name} links to {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert heading in anchors, f"{page.name} links to {target}; its headings are {sorted(anchors)}"
