# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page: its layout, and the callbacks of its events."""

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from ...features.media import SOUNDS
from ...tasks import Task
from .attribution import Attribution, compute_attribution
from .clips import LIMIT, InputClip, Sample
from .model_info import ModelInfo
from .recognition import Answers, ClipFeatures, Recognizer
from .render_answers import render_answers, render_error, render_header, render_subset_table, render_summary
from .render_attribution import render_attribution
from .render_timeline import render_timeline


LIFETIME = 3000  # seconds that uploads and page states are kept; checked every sixth of it, so less than an hour
WELCOME = '<p class="mma-welcome">Pick a sample or add a clip of your own, enter its transcript, then press <b>Recognize</b>.</p>'
Html = tuple[str, str, str, str]  # answers, timeline, attribution, subset table


class PageState(NamedTuple):
    """The result of a visitor's last click on Recognize, kept between events.

    Args:
        subsets: answers to every subset of the clip's modalities.
        labels: labels of the clip, if it is an unchanged sample.
        details: per selected modalities, the windows of the timeline and the attribution, both for every task; each is
            computed when it is first needed.
    """

    features: ClipFeatures
    subsets: dict[tuple[str, ...], Answers]
    labels: dict[str, str] | None
    details: dict[tuple[str, ...], tuple[list[dict[str, Any]], Attribution]]


class PageCallbacks:
    """The callbacks of the page: each method handles one event and returns the new content of its outputs."""

    def __init__(self, recognizer: Recognizer, info: ModelInfo, samples: list[Sample]):
        self.recognizer, self.info = recognizer, info
        self.samples = {sample.name: sample for sample in samples}
        self.tasks = {task.name: task for task in recognizer.tasks}

    def select_sample(self, name: str | None) -> tuple[str | None, str | None, str, Any]:
        """Load the file of a sample into the tab that can play it, and its transcript."""
        clip = self.samples[name].clip if name else InputClip()
        is_video = Path(clip.path or "clip.mp4").suffix.lower() not in SOUNDS
        return (
            clip.path if is_video else None,
            None if is_video else clip.path,
            clip.transcript,
            gr.Tabs(selected="video" if is_video else "audio"),
        )

    def clear_sample(self, sample: str | None, transcript: str) -> tuple[None, None, str]:
        """Deselect the sample and its transcript, as the visitor's own clip replaces it."""
        return None, None, "" if sample else transcript

    def recognize(
        self,
        sample: str | None,
        video: str | None,
        audio: str | None,
        transcript: str | None,
        modalities: list[str],
        task: str,
    ) -> tuple[PageState | None, str, str, str, str]:
        """Extract the features of the clip, predict and render everything; or render the error."""
        path = video or audio
        known = self.samples.get(sample or "")
        if known is not None and (path is None or transcript != known.clip.transcript):
            known = None  # the visitor changed the sample
        clip = InputClip(path, transcript or "", known.clip.spans if known else None)
        try:
            features = self.recognizer.extract(clip)
            state = PageState(features, self.recognizer.predict_subsets(features), known.labels if known else None, {})
        except (ValueError, OSError, ImportError) as error:
            return None, *_render_error(_format_error(error, path))
        return state, *self.update(state, modalities, task)

    def update(self, state: PageState | None, modalities: list[str], task: str) -> Html:
        """Render answers, timeline, attribution and subset table for the selected modalities and task."""
        if state is None:
            return WELCOME, "", "", ""
        selected = tuple(m for m in state.features.present if m in modalities)
        if not selected:
            return _render_error(f"Select a modality of this clip: {' or '.join(state.features.present)}.")
        try:
            return self._render(state, selected, self.tasks[task])
        except (ValueError, OSError, ImportError) as error:  # such as a file that has been deleted since
            return _render_error(_format_error(error, state.features.clip.path))

    def _render(self, state: PageState, selected: tuple[str, ...], task: Task) -> Html:
        features, answers = state.features, state.subsets[selected]
        if selected not in state.details:
            windows = self.recognizer.predict_timeline(features, selected)
            state.details[selected] = windows, compute_attribution(self.recognizer, features, selected)
        windows, attribution = state.details[selected]
        return (
            render_answers(self.recognizer.tasks, answers, self.info.ranges) + render_summary(features, state.labels),
            render_timeline(task, windows, features, self.info.ranges.get(task.name)),
            render_attribution(task, attribution, features, answers[task.name]),
            render_subset_table(self.recognizer.tasks, state.subsets, selected),
        )


def _render_error(sentence: str) -> Html:
    """Render an error in place of all results."""
    return render_error(sentence), "", "", ""


def _format_error(error: Exception, path: str | None) -> str:
    """Format an error as one line, with the file's name in place of its path on the server."""
    sentence = " ".join(str(error).split())
    return sentence.replace(str(path), Path(path).name) if path else sentence


def build_page(recognizer: Recognizer, info: ModelInfo, samples: list[Sample]) -> gr.Blocks:
    """Build the page of one model; `serve.open_demo` launches it."""
    callbacks = PageCallbacks(recognizer, info, samples)
    with gr.Blocks(title="mm_affect demo", analytics_enabled=False, delete_cache=(LIFETIME // 6, LIFETIME)) as page:
        gr.HTML(render_header(info), padding=False)
        state = gr.State(time_to_live=LIFETIME)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=280, elem_classes="mma-side"):
                sample = gr.Dropdown(
                    list(callbacks.samples),
                    value=None,
                    label="Pick a sample, or add your own clip",
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
                    with gr.Tab("Audio only", id="audio"):
                        audio = gr.Audio(
                            sources=["upload", "microphone"],
                            type="filepath",
                            show_label=False,
                            buttons=["download"],
                            elem_id="audio",
                        )
                gr.HTML(
                    f'<p class="mma-fine">Only the first {LIMIT:.0f} seconds of a longer clip are read.</p>',
                    padding=False,
                )
                with gr.Column(elem_id="over-time"):
                    task = gr.Radio(
                        list(callbacks.tasks),
                        value=next(iter(callbacks.tasks)),
                        label="Task for the timeline and the details",
                        visible=len(callbacks.tasks) > 1,
                        elem_id="task",
                    )
                    timeline = gr.HTML(padding=False, elem_id="timeline")
            with gr.Column(scale=7, min_width=280, elem_classes="mma-side"):
                transcript = gr.Textbox(
                    label="Transcript",
                    placeholder="the words spoken in the clip, or a text without a clip",
                    lines=2,
                    elem_id="transcript",
                )
                with gr.Row(equal_height=True):
                    modalities = gr.CheckboxGroup(
                        info.modalities,
                        value=info.modalities,
                        label="Modalities",
                        scale=3,
                        min_width=200,
                        elem_id="modalities",
                    )
                    button = gr.Button("Recognize", variant="primary", scale=2, min_width=120, elem_id="recognize")
                answers = gr.HTML(WELCOME, padding=False, elem_id="answers")
                table = gr.HTML(padding=False, elem_id="subsets")
        attribution = gr.HTML(padding=False, elem_id="attribution")

        results = [answers, timeline, attribution, table]
        sample.input(callbacks.select_sample, sample, [video, audio, transcript, tabs])
        video.input(callbacks.clear_sample, [sample, transcript], [audio, sample, transcript])
        audio.input(callbacks.clear_sample, [sample, transcript], [video, sample, transcript])
        button.click(
            callbacks.recognize,
            [sample, video, audio, transcript, modalities, task],
            [state, *results],
            show_progress="minimal",
        )
        for choice in (modalities, task):
            choice.input(callbacks.update, [state, modalities, task], results, show_progress="hidden")
    return page
