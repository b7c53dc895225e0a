# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo in a headless Chromium, with real clicks; and the Space, started as the Hub starts it."""

import os
import runpy
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import av
import pytest
from corpora import sample_corpus, sample_run, write_video

from mm_affect.checkpoints.loading import load_checkpoint
from mm_affect.cli.main import main


pytest.importorskip("gradio", reason="the page needs the extra `demo`")
sync_api = pytest.importorskip("playwright.sync_api", reason="clicking needs playwright")

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
PATIENCE = 60_000  # milliseconds, for machines that do much else


@pytest.fixture(scope="module")
def address():
    from mm_affect.inference.demo.serve import open_demo

    page = open_demo(str(sample_run()), sample_corpus(), block=False)
    yield page.local_url
    page.close(verbose=False)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A Chromium before whose camera a face of the sample corpus moves, and whose microphone hears beeps."""
    seen = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    with av.open(str(next(sample_corpus().rglob("*.mp4")))) as clip, open(seen, "wb") as camera:
        for frame in clip.decode(video=0):
            frame.to_image().save(camera, "JPEG")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--use-fake-device-for-media-stream"]
        options += ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={seen}"]
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
    page.get_by_role("button", name="Recognize").wait_for()
    yield page
    page.close()
    assert not elsewhere and not errors


def transcript_box(page):
    return page.locator("#transcript textarea")


def pick_first_sample(page) -> str:
    page.locator("#sample input").click()
    page.get_by_role("option").first.click()
    page.wait_for_function("document.querySelector('#transcript textarea').value !== ''")
    page.locator("#video video").wait_for()
    return transcript_box(page).input_value()


def recognize(page, shows: str) -> None:
    """Click, and wait for an element."""
    page.get_by_role("button", name="Recognize").click()
    page.locator(shows).first.wait_for()


def upload(page, path: Path) -> None:
    page.locator("#video input[type=file]").first.set_input_files(path)


def test_only_the_clips_that_are_offered_are_served(address):
    from mm_affect.inference.demo.clips import load_samples

    offered = load_samples(sample_corpus())[0].clip.path
    for path, status in ((offered, 200), (sample_corpus() / "manifest.csv", 403)):
        try:
            with urllib.request.urlopen(f"{address}gradio_api/file={path}", timeout=30) as answer:
                found = answer.status
        except urllib.error.HTTPError as error:
            found = error.code
        assert found == status


def test_another_task_asks_the_model_nothing_and_words_need_no_file(tmp_path, monkeypatch):
    from mm_affect.inference.demo import page
    from mm_affect.inference.demo.clips import Sample, load_samples
    from mm_affect.inference.demo.model_info import read_model_info
    from mm_affect.inference.demo.recognition import Recognizer

    sample = next(sample for sample in load_samples(sample_corpus()) if sample.clip.spans)
    file = shutil.copy(sample.clip.path, tmp_path)
    model, processor = load_checkpoint(str(sample_run()), attn_implementation="eager")
    mine = Sample("mine", replace(sample.clip, path=file), sample.labels)
    callbacks = page.PageCallbacks(Recognizer(model, processor), read_model_info(str(sample_run()), model), [mine])
    state, *first = callbacks.recognize("mine", file, None, mine.clip.transcript, ["text"], "emotion")
    assert [bool(html) for html in first] == [True] * 4 and "mma-words" in first[1]

    Path(file).unlink()
    monkeypatch.setattr(model, "forward", None)
    other = callbacks.update(state, ["text"], "sentiment")
    assert "sentiment over time" in other[1] and "matter for sentiment" in other[2] and "mma-words" in other[1]
    assert callbacks.update(state, ["text"], "emotion") == tuple(first)


@needs_chromium
def test_a_sample_is_recognized_and_explained(page):
    assert "SYNTHETIC" in page.locator(".mma-head").inner_text()
    transcript = pick_first_sample(page)
    recognize(page, "#subsets tr.mma-selected")
    cards = page.locator("#answers .mma-card")
    assert [card.get_attribute("data-task") for card in cards.all()] == ["emotion", "sentiment", "sarcasm"]
    assert "Labels of this sample: emotion" in page.locator("#answers").inner_text()
    assert page.locator("#subsets tbody tr").count() == 7
    assert page.locator("#timeline polyline").count() == 6
    assert page.locator("#timeline .mma-words span").all_inner_texts() == transcript.split()
    assert page.locator("#attribution .mma-chips span").all_inner_texts() == transcript.split()
    assert page.locator("#attribution .mma-frames img").count() > 5
    assert "Occlusion" in page.locator("#attribution").inner_text()
    assert page.locator("#answers .mma-card").first.bounding_box()["y"] < 500  # above the fold

    whole = page.locator("#answers .mma-cards").inner_text()
    page.get_by_label("visual", exact=True).click()
    page.locator('#subsets tr.mma-selected[data-subset="text+audio"]').wait_for()
    assert page.locator("#attribution .mma-frames").count() == 0
    assert page.locator("#answers .mma-cards").inner_text() != whole
    page.get_by_label("sentiment", exact=True).click()
    page.get_by_text("sentiment over time").wait_for()
    assert page.locator("#timeline polyline").count() == 1

    page.get_by_label("text", exact=True).click()
    page.locator('#subsets tr.mma-selected[data-subset="audio"]').wait_for()
    page.get_by_label("audio", exact=True).click()
    page.get_by_role("alert").wait_for()
    assert "Select a modality" in page.get_by_role("alert").inner_text()


@needs_chromium
def test_words_alone_on_a_telephone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    transcript_box(page).fill("what a lovely day this is")
    recognize(page, "#subsets tr.mma-selected")
    assert page.locator("#subsets tbody tr").count() == 1
    assert "6 words" in page.locator("#answers").inner_text()
    assert "No timeline" in page.locator("#timeline").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@needs_chromium
def test_a_clip_of_one_s_own_takes_the_place_of_the_sample(page, tmp_path):
    pick_first_sample(page)
    page.locator("#video").get_by_label("Clear").click()
    upload(page, write_video(tmp_path / "own.mp4", seconds=1.0, sound=True))
    page.wait_for_function("document.querySelector('#transcript textarea').value === ''")
    recognize(page, "#subsets tr.mma-selected")
    told = page.locator("#answers").inner_text()
    assert "no words" in told and "no faces" in told and "Labels" not in told


def record(place) -> None:
    """Record two seconds with what is chosen in the place."""
    place.get_by_role("button", name="Record", exact=True).or_(place.get_by_label("start recording")).click()
    place.page.wait_for_timeout(2000)
    place.get_by_role("button").filter(has_text="Stop").locator("visible=true").click()
    place.get_by_label("Adjust volume").wait_for()  # the player, once what was recorded has been sent


@needs_chromium
def test_camera_and_microphone_are_recorded(page):
    video, audio = page.locator("#video"), page.locator("#audio")
    video.get_by_label("Capture from camera").click()
    video.get_by_text("Click to Access Webcam").click()
    record(video)
    recognize(page, "text=steps of faces")
    assert "steps of audio" in (told := page.get_by_text("Read: ").inner_text()) and "no words" in told
    page.get_by_role("tab", name="Audio only").click()
    audio.get_by_label("Record audio").click()
    record(audio)
    recognize(page, "text=no faces")
    assert "steps of audio" in page.get_by_text("Read: ").inner_text()
    audio.get_by_label("Download").wait_for()
    assert not audio.get_by_label("Share").count()  # it would upload the clip


@needs_chromium
def test_what_cannot_be_recognized_is_told_in_a_sentence(page, tmp_path):
    recognize(page, "[role=alert]")
    assert "give a clip, a transcript, or both" in page.get_by_role("alert").inner_text()
    (tmp_path / "garbage.mp4").write_bytes(bytes(range(256)) * 20)
    upload(page, tmp_path / "garbage.mp4")
    page.get_by_role("button", name="Recognize").click()
    page.get_by_text("The media file garbage.mp4 is not media").wait_for()
    assert "Traceback" not in page.content() and str(tmp_path.parent) not in page.content()
    assert page.locator("#subsets table").count() == 0


def test_a_port_that_is_taken_is_told_in_a_sentence(monkeypatch, capsys):
    from gradio import http_server

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "--model", str(sample_run()), "--port", str(port), "--no-browser"]) == 1
        told = f"mm-affect: Port {port} is taken or not permitted; give another with --port.\n"
        assert told in capsys.readouterr().err
        monkeypatch.setattr(http_server, "INITIAL_PORT_VALUE", port)  # as GRADIO_SERVER_PORT sets it
        monkeypatch.setattr(http_server, "TRY_NUM_PORTS", 1)
        assert main(["demo", "--model", str(sample_run()), "--no-browser"]) == 1
        assert told in capsys.readouterr().err
    assert main(["demo", "--model", str(sample_run()), "--port", "65536", "--no-browser"]) == 1
    assert "The port is 65536; give a number from 1 to 65535." in capsys.readouterr().err


def test_another_failure_is_not_told_as_one_of_the_port(monkeypatch, capsys):
    def full(self, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gradio.Blocks.launch", full)
    assert main(["demo", "--model", str(sample_run()), "--no-browser"]) == 1
    told = capsys.readouterr().err
    assert "No space left on device" in told and "ort " not in told


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
