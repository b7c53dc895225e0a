# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo in a headless Chromium, with real clicks; and the Space, started as the Hub starts it."""

import os
import runpy
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from corpora import sample_corpus, sample_run, write_video

from mm_affect.cli import main


pytest.importorskip("gradio", reason="the page needs the extra `demo`")
sync_api = pytest.importorskip("playwright.sync_api", reason="clicking needs playwright")

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
PATIENCE = 60_000  # milliseconds, for machines that do much else


@pytest.fixture(scope="module")
def address():
    from mm_affect.demo.serve import open_demo

    page = open_demo(str(sample_run()), sample_corpus(), block=False)
    yield page.local_url
    page.close(verbose=False)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page, opened; the test fails if it asked for anything elsewhere, or reported an error."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE)
    elsewhere, errors = [], []
    local = (address, "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(local) or elsewhere.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.get_by_role("button", name="Recognise").wait_for()
    yield page
    page.close()
    assert not elsewhere and not errors


def words(page):
    return page.locator("#words textarea")


def pick_first_sample(page) -> str:
    page.locator("#sample input").click()
    page.get_by_role("option").first.click()
    page.wait_for_function("document.querySelector('#words textarea').value !== ''")
    page.locator("#video video").wait_for()
    return words(page).input_value()


def recognise(page, shows: str) -> None:
    """Click, and wait for an element."""
    page.get_by_role("button", name="Recognise").click()
    page.locator(shows).first.wait_for()


def upload(page, path: Path) -> None:
    page.locator("#video input[type=file]").first.set_input_files(path)


@needs_chromium
def test_a_sample_is_recognised_and_explained(page):
    assert "SYNTHETIC" in page.locator(".mma-head").inner_text()
    transcript = pick_first_sample(page)
    recognise(page, "#subsets tr.mma-shown")
    cards = page.locator("#answers .mma-card")
    assert [card.get_attribute("data-task") for card in cards.all()] == ["emotion", "sentiment", "sarcasm"]
    assert "Labels of this sample: emotion" in page.locator("#answers").inner_text()
    assert page.locator("#subsets tbody tr").count() == 7
    assert page.locator("#timeline polyline").count() == 6
    assert page.locator("#timeline .mma-words span").all_inner_texts() == transcript.split()
    assert page.locator("#marks .mma-chips span").all_inner_texts() == transcript.split()
    assert page.locator("#marks .mma-film img").count() > 5
    assert "Occlusion" in page.locator("#marks").inner_text()
    assert page.locator("#answers .mma-card").first.bounding_box()["y"] < 500  # above the fold

    whole = page.locator("#answers .mma-cards").inner_text()
    page.get_by_label("visual", exact=True).click()
    page.locator('#subsets tr.mma-shown[data-subset="text+audio"]').wait_for()
    assert page.locator("#marks .mma-film").count() == 0
    assert page.locator("#answers .mma-cards").inner_text() != whole
    page.get_by_label("sentiment", exact=True).click()
    page.get_by_text("sentiment over time").wait_for()
    assert page.locator("#timeline polyline").count() == 1

    page.get_by_label("text", exact=True).click()
    page.locator('#subsets tr.mma-shown[data-subset="audio"]').wait_for()
    page.get_by_label("audio", exact=True).click()
    page.get_by_role("alert").wait_for()
    assert "Switch on a modality" in page.get_by_role("alert").inner_text()


@needs_chromium
def test_words_alone_on_a_telephone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    words(page).fill("what a lovely day this is")
    recognise(page, "#subsets tr.mma-shown")
    assert page.locator("#subsets tbody tr").count() == 1
    assert "6 words" in page.locator("#answers").inner_text()
    assert "No time line" in page.locator("#timeline").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@needs_chromium
def test_a_clip_of_one_s_own_takes_the_place_of_the_sample(page, tmp_path):
    pick_first_sample(page)
    page.locator("#video").get_by_label("Clear").click()
    upload(page, write_video(tmp_path / "own.mp4", seconds=1.0, sound=True))
    page.wait_for_function("document.querySelector('#words textarea').value === ''")
    recognise(page, "#subsets tr.mma-shown")
    told = page.locator("#answers").inner_text()
    assert "no words" in told and "no faces" in told and "Labels" not in told


@needs_chromium
def test_what_cannot_be_recognised_is_told_in_a_sentence(page, tmp_path):
    recognise(page, "[role=alert]")
    assert "give a clip, a transcript, or both" in page.get_by_role("alert").inner_text()
    (tmp_path / "garbage.mp4").write_bytes(bytes(range(256)) * 20)
    upload(page, tmp_path / "garbage.mp4")
    page.get_by_role("button", name="Recognise").click()
    page.get_by_text("The media file garbage.mp4 is not media").wait_for()
    assert "Traceback" not in page.content() and str(tmp_path.parent) not in page.content()
    assert page.locator("#subsets table").count() == 0


def test_a_port_that_is_taken_is_told_in_a_sentence(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "--model", str(sample_run()), "--port", str(port), "--no-browser"]) == 1
    assert f"mm-affect: Port {port} is taken; give a free one with --port.\n" in capsys.readouterr().err


def test_the_space_serves_the_page():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"MM_AFFECT_MODEL": str(sample_run()), "GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(ROOT / "src")}
    app = [sys.executable, str(ROOT / "examples" / "space" / "app.py")]
    space = subprocess.Popen(app, env=os.environ | settings, stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in space.stdout if line.startswith("Demo: "))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert answer.status == 200 and b"mm_affect demo" in answer.read()
        assert str(port) in line
    finally:
        space.terminate()
        space.wait(30)


def test_a_space_without_a_model_says_what_to_set(monkeypatch):
    monkeypatch.delenv("MM_AFFECT_MODEL", raising=False)
    with pytest.raises(SystemExit, match="Set the variable MM_AFFECT_MODEL"):
        runpy.run_path(str(ROOT / "examples" / "space" / "app.py"), run_name="__main__")
