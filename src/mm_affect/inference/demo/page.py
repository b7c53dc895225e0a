# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page: where things stand, and what happens on a click."""

from pathlib import Path
from typing import NamedTuple

import gradio as gr

from ...features.media import SOUNDS
from ...tasks import Task
from .attribution import Attribution, compute_attribution
from .clips import LIMIT, Clip, Sample
from .model_info import ModelInfo
from .recognition import ClipFeatures, Recognizer
from .render_answers import render_answers, render_error, render_header, render_subset_table, render_summary
from .render_attribution import render_attribution
from .render_timeline import render_timeline


KEPT = 3000  # seconds that uploads and readings are kept; looked after every sixth of it, so less than an hour
WELCOME = (
    '<p class="mma-welcome">Pick a sample or bring a clip, add what is said in it, then press <b>Recognize</b>.</p>'
)


class PageState(NamedTuple):
    """What a visitor's last click on Recognize found: kept between clicks.

    `details`: the windows of the time line and the marks, both of every task, by what the model may look at; each is computed
    when it is first asked for.
    """

    reading: ClipFeatures
    subsets: dict[tuple[str, ...], dict]
    labels: dict[str, str] | None
    details: dict[tuple[str, ...], tuple[list[dict], Attribution]]


class PageCallbacks:
    """What the page asks for: each method is what one event does, and returns the new content of its outputs."""

    def __init__(self, recognizer: Recognizer, facts: ModelInfo, samples: list[Sample]):
        self.recognizer, self.facts = recognizer, facts
        self.samples = {sample.name: sample for sample in samples}
        self.tasks = {task.name: task for task in recognizer.tasks}

    def pick(self, name: str | None):
        """A sample's file, in the tab where it can be played, and its words."""
        clip = self.samples[name].clip if name else Clip()
        moves = Path(clip.path or "clip.mp4").suffix.lower() not in SOUNDS
        return (
            clip.path if moves else None,
            None if moves else clip.path,
            clip.transcript,
            gr.Tabs(selected="video" if moves else "sound"),
        )

    def bring(self, sample: str | None, transcript: str):
        """A clip of the visitor's own takes the place of the sample, whose words are not its words."""
        return None, None, "" if sample else transcript

    def recognize(self, sample, video, sound, transcript, modalities, task):
        """Read the clip and show everything; or say why not."""
        path = video or sound
        known = self.samples.get(sample)
        unchanged = known is not None and path is not None and transcript == known.clip.transcript
        clip = Clip(path, transcript or "", known.clip.spans if unchanged else None)
        try:
            reading = self.recognizer.read(clip)
            shown = PageState(reading, self.recognizer.subsets(reading), known.labels if unchanged else None, {})
        except (ValueError, OSError, ImportError) as error:
            return None, *self.complaint(said(error, path))
        return shown, *self.show(shown, modalities, task)

    def show(self, shown: PageState | None, modalities: list[str], task: str):
        """The content of answers, time line, details and table, for what the model may look at."""
        if shown is None:
            return WELCOME, "", "", ""
        chosen = tuple(m for m in shown.reading.present if m in modalities)
        if not chosen:
            has = " and ".join(shown.reading.present)
            return self.complaint(f"Switch on a modality that this clip has: {has}.")
        try:
            return self.drawn(shown, chosen, self.tasks[task])
        except (ValueError, OSError, ImportError) as error:  # such as a file that has been deleted since
            return self.complaint(said(error, shown.reading.clip.path))

    def drawn(self, shown: PageState, chosen: tuple[str, ...], task: Task):
        """Everything, for the modalities `chosen` and in detail for one task."""
        reading, answers = shown.reading, shown.subsets[chosen]
        if chosen not in shown.details:
            windows = self.recognizer.timeline(reading, chosen)
            shown.details[chosen] = windows, compute_attribution(self.recognizer, reading, chosen)
        windows, marks = shown.details[chosen]
        return (
            render_answers(self.recognizer.tasks, answers, self.facts.ranges) + render_summary(reading, shown.labels),
            render_timeline(task, windows, reading, self.facts.ranges.get(task.name)),
            render_attribution(task, marks, reading, answers[task.name]),
            render_subset_table(self.recognizer.tasks, shown.subsets, chosen),
        )

    def complaint(self, sentence: str):
        """A sentence in place of results, which would be of something else."""
        return render_error(sentence), "", "", ""


def said(error: Exception, path: str | None) -> str:
    """The error in one sentence, with the name of a file in place of where it is kept."""
    sentence = " ".join(str(error).split())
    return sentence.replace(str(path), Path(path).name) if path else sentence


def build_page(recognizer: Recognizer, facts: ModelInfo, samples: list[Sample]) -> gr.Blocks:
    """The page of one model; `serve.open_demo` launches it."""
    callbacks = PageCallbacks(recognizer, facts, samples)
    with gr.Blocks(title="mm_affect demo", analytics_enabled=False, delete_cache=(KEPT // 6, KEPT)) as page:
        gr.HTML(render_header(facts), padding=False)
        shown = gr.State(time_to_live=KEPT)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=280, elem_classes="mma-side"):
                sample = gr.Dropdown(
                    list(callbacks.samples),
                    value=None,
                    label="Pick a sample, or bring your own clip",
                    visible=bool(samples),
                    elem_id="sample",
                )
                with gr.Tabs() as tabs:
                    with gr.Tab("Video", id="video"):
                        video = gr.Video(
                            sources=["upload", "webcam"],
                            include_audio=True,
                            show_label=False,
                            buttons=["download"],  # without "share", which would upload the clip
                            elem_id="video",
                        )
                    with gr.Tab("Sound alone", id="sound"):
                        sound = gr.Audio(
                            sources=["upload", "microphone"],
                            type="filepath",
                            show_label=False,
                            buttons=["download"],
                            elem_id="sound",
                        )
                gr.HTML(
                    f'<p class="mma-fine">Of a longer clip the first {LIMIT:.0f} seconds are read.</p>', padding=False
                )
                with gr.Column(elem_id="moments"):
                    task = gr.Radio(
                        list(callbacks.tasks),
                        value=next(iter(callbacks.tasks)),
                        label="Shown over time and in detail",
                        visible=len(callbacks.tasks) > 1,
                        elem_id="task",
                    )
                    over_time = gr.HTML(padding=False, elem_id="timeline")
            with gr.Column(scale=7, min_width=280, elem_classes="mma-side"):
                transcript = gr.Textbox(
                    label="What is said",
                    placeholder="type the words of the clip, or words alone",
                    lines=2,
                    elem_id="words",
                )
                with gr.Row(equal_height=True):
                    modalities = gr.CheckboxGroup(
                        facts.modalities,
                        value=facts.modalities,
                        label="Look at",
                        scale=3,
                        min_width=200,
                        elem_id="modalities",
                    )
                    button = gr.Button("Recognize", variant="primary", scale=2, min_width=120, elem_id="recognize")
                answers = gr.HTML(WELCOME, padding=False, elem_id="answers")
                table = gr.HTML(padding=False, elem_id="subsets")
        details = gr.HTML(padding=False, elem_id="marks")

        results = [answers, over_time, details, table]
        sample.input(callbacks.pick, sample, [video, sound, transcript, tabs])
        video.input(callbacks.bring, [sample, transcript], [sound, sample, transcript])
        sound.input(callbacks.bring, [sample, transcript], [video, sample, transcript])
        button.click(
            callbacks.recognize,
            [sample, video, sound, transcript, modalities, task],
            [shown, *results],
            show_progress="minimal",
        )
        for choice in (modalities, task):
            choice.input(callbacks.show, [shown, modalities, task], results, show_progress="hidden")
    return page
