# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`pipeline("affect-recognition")`: predict labels and scores of every task for raw clips, optionally over time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..features.processor import AffectProcessor
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task
from ..vocabulary import MODALITIES
from .pipeline_inputs import build_row


MAX_BATCH_STEPS = 8000  # of the longest modality, summed over the rows of a batch: bounds the memory of attention

Logits = dict[str, np.ndarray]  # per task `(outputs,)`, float32


class Window(NamedTuple):
    """A feature row cut from `start` to `end` seconds of a clip."""

    start: float
    end: float
    row: dict[str, Any]


@dataclass(frozen=True)
class PreparedClip:
    """A clip on its way through the pipeline.

    Args:
        row: features of the whole clip.
        windows: the windows in which some modality was measured.
        source: name of the clip.
        steps: measured steps per modality.
        logits: of the whole clip, then of each window; empty before the forward pass.
    """

    row: dict[str, Any]
    windows: list[Window]
    source: str
    steps: dict[str, int]
    logits: tuple[Logits, ...] = ()


class AffectRecognitionPipeline(Pipeline):
    """Predict every task of a model for raw clips.

    A clip is the path of an audio or video file, or its bytes; a float waveform at the sampling rate of the model, or a
    dict of `array` and `sampling_rate`; a dict of `frames` and `fps`; or a dict with any of `"video"` and `"audio"` (in
    one of these forms) and `"text"` (the transcript; words take part in windows only if `"spans"` gives `[start, end]`
    seconds per word). One clip returns one answer; a list of clips, or a column of a `datasets.Dataset`, a list of
    answers; a generator, or a `torch.utils.data.Dataset` of clips, an iterator.

    Args (of the call):
        batch_size: clips per forward pass, fewer if they are long; default: 1.
        modalities: the modalities that the model reads; default: all that the model supports and the clip has.
        window: window length in seconds; also predict every window along the clip in which some modality is measured.
        hop: seconds from the start of one window to the next; default: `window`.

    Raises:
        ValueError: If a clip cannot be read or is empty; in a batch, the message gives its index.
        ImportError: If a package that decodes the clip is missing; the message names the extra to install.
    """

    model: AffectPreTrainedModel
    processor: AffectProcessor
    # the base class declares these five as None
    _load_processor = True  # type: ignore[assignment]
    _load_tokenizer = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]

    # The steps below name their options, as the pipelines of transformers do, where the base class declares `**kwargs`.

    def _sanitize_parameters(  # type: ignore[override]
        self, modalities: Sequence[str] | None = None, window: float | None = None, hop: float | None = None
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        for modality in modalities or ():
            if modality not in self.model.config.modalities:
                raise ValueError(
                    f"Unknown modality {modality!r}; this model reads {', '.join(self.model.config.modalities)}."
                )
        for name, value in (("window", window), ("hop", hop)):
            if value is not None and not (isinstance(value, int | float) and 0 < value < float("inf")):
                raise ValueError(f"`{name}` is {value} seconds; it must be positive.")
        if hop is not None and window is None and "window" not in getattr(self, "_preprocess_params", ()):
            raise ValueError("`hop` needs `window`, the length of the windows in seconds.")
        options = {"modalities": modalities, "window": window, "hop": hop}
        return {name: value for name, value in options.items() if value is not None}, {}, {}

    def __call__(self, inputs: Any, **options: Any) -> Any:  # type: ignore[override]
        """Predict one clip, or several; see the class."""
        if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes | bytearray | memoryview):
            return list(super().__call__((clip for clip in inputs), **options))
        return super().__call__(inputs, **options)

    def run_single(
        self, inputs: Any, preprocess_params: dict, forward_params: dict, postprocess_params: dict
    ) -> dict[str, Any]:
        """Predict one clip."""
        prepared = self.preprocess(inputs, **preprocess_params)
        return self.postprocess(self.forward([prepared])[0])

    def get_iterator(
        self,
        inputs: Iterable[Any],
        num_workers: int,
        batch_size: int,
        preprocess_params: dict,
        forward_params: dict,
        postprocess_params: dict,
    ) -> Iterator[dict[str, Any]]:
        """Yield the answers to many clips, which are read as the answers are consumed.

        The base class batches by the padding of a tokenizer and ignores the masks of rows.
        """
        if num_workers:
            raise ValueError(
                f"`num_workers` is {num_workers}, but this pipeline reads clips in its own process; leave it out, or let "
                "`mm-affect extract` read many clips in parallel."
            )
        if batch_size < 1:
            raise ValueError(f"`batch_size` is {batch_size}; it must be a positive whole number.")
        clips = enumerate(inputs)
        while numbered := list(islice(clips, batch_size)):
            prepared = [self._preprocess_numbered(number, clip, preprocess_params) for number, clip in numbered]
            yield from map(self.postprocess, self.forward(prepared))

    def _preprocess_numbered(self, number: int, clip: Any, preprocess_params: dict) -> PreparedClip:
        try:
            return self.preprocess(clip, **preprocess_params)
        except (ValueError, OSError) as error:
            raise ValueError(f"Input {number} (the first is 0): {error}") from error

    def preprocess(  # type: ignore[override]
        self,
        inputs: Any,
        modalities: Sequence[str] | None = None,
        window: float | None = None,
        hop: float | None = None,
    ) -> PreparedClip:
        """Extract the features of a clip and cut them into windows."""
        selected = modalities or MODALITIES
        row, source = build_row(inputs, self.processor, selected)
        if "text" not in selected:
            row["spans"] = None  # time stamps of words that are not read
        features = self.processor.extract(row, selected)
        steps = require_steps(self.processor, features, source)
        windows = [] if window is None else cut_windows(self.processor, features, window, hop or window)
        return PreparedClip(features, windows, source, steps)

    def _forward(self, model_inputs: list[PreparedClip]) -> list[PreparedClip]:  # type: ignore[override]
        """Fill in the logits; whole clips share batches with each other, and windows with each other."""
        clip_logits = predict_logits(self.model, self.processor, [clip.row for clip in model_inputs])
        windows = [window.row for clip in model_inputs for window in clip.windows]
        window_logits = iter(predict_logits(self.model, self.processor, windows))
        return [
            replace(clip, logits=(logits, *islice(window_logits, len(clip.windows))))
            for clip, logits in zip(model_inputs, clip_logits, strict=True)
        ]

    def postprocess(self, model_outputs: PreparedClip) -> dict[str, Any]:  # type: ignore[override]
        """Return the answer to one clip as a dict that can be written as JSON."""
        whole, *windows = (decode_tasks(self.model.config.tasks, logits) for logits in model_outputs.logits)
        timeline = [
            {"start": round(window.start, 3), "end": round(window.end, 3), "tasks": tasks}
            for window, tasks in zip(model_outputs.windows, windows, strict=True)
        ]
        return {
            "source": model_outputs.source,
            "steps": model_outputs.steps,
            "tasks": whole,
            "timeline": timeline,
        }

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        """Write the model (with `kwargs`) and the processor, from which `pipeline` builds this pipeline again."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)


def count_steps(processor: AffectProcessor, features: dict[str, Any]) -> dict[str, int]:
    """Count the measured steps of each modality; for text that a tokenizer reads, the words."""
    steps = {m: int((~np.isnan(features[m]).all(1)).sum()) for m in processor.feature_sizes}
    if processor.tokenizer is not None:
        steps["text"] = len((features.get("transcript") or "").split())
    return {m: steps[m] for m in processor.modalities}


def require_steps(processor: AffectProcessor, features: dict[str, Any], source: str) -> dict[str, int]:
    """Count the measured steps of the clip named `source`.

    Raises:
        ValueError: If no modality has any.
    """
    steps = count_steps(processor, features)
    if not any(steps.values()):
        raise ValueError(
            f"{source}: nothing to read; the selected modalities have no words, no audio and no face in this clip. Give a "
            "clip that has some of these."
        )
    return steps


def cut_windows(processor: AffectProcessor, features: dict[str, Any], window: float, hop: float) -> list[Window]:
    """Cut a feature row into windows of `window` seconds, and keep those in which some modality is measured."""
    windows = [
        Window(start, end, slice_row(processor, features, start, end))
        for start, end in window_bounds(processor, features, window, hop)
    ]
    return [window for window in windows if any(count_steps(processor, window.row).values())]


def window_bounds(
    processor: AffectProcessor, features: dict[str, Any], window: float, hop: float
) -> list[tuple[float, float]]:
    """Return start and end of each window in seconds; the last windows may be shorter.

    Raises:
        ValueError: If windows are shorter than one step of a modality, such as the mean of a speech encoder over 20 s.
    """
    rates = {m: processor.extractor(m).rate for m in ("audio", "visual") if len(features.get(m, ()))}
    for modality, rate in rates.items():
        if window * rate < 1:
            raise ValueError(
                f"Windows of {window:g} s are shorter than one step of the {modality} features ({1 / rate:g} s); give longer "
                "windows (--window), or use a model whose features have more steps per second."
            )
    ends = [len(features[m]) / rate for m, rate in rates.items()]
    spans = features.get("spans")
    ends += [float(spans[-1][1])] if spans is not None and len(spans) else []
    duration = max(ends, default=0.0)
    starts = np.arange(0, duration, hop)
    return [(float(start), float(min(start + window, duration))) for start in starts]


def slice_row(processor: AffectProcessor, features: dict[str, Any], start: float, end: float) -> dict[str, Any]:
    """Return a feature row from `start` to `end` seconds; words without spans are dropped."""
    part = dict(features)
    for modality in ("audio", "visual"):
        if modality in features:
            rate = processor.extractor(modality).rate
            part[modality] = features[modality][round(start * rate) : round(end * rate)]
    spans = features["spans"] if features.get("spans") is not None else []
    inside = [i for i, (begin, stop) in enumerate(spans) if start <= (begin + stop) / 2 < end]
    if "text" in features:
        part["text"] = features["text"][np.array(inside, int)]
    words = (features.get("transcript") or "").split()
    return part | {"transcript": " ".join(words[i] for i in inside)}


@torch.no_grad()
def predict_logits(
    model: AffectPreTrainedModel, processor: AffectProcessor, rows: Sequence[dict[str, Any]]
) -> list[Logits]:
    """Run the model on feature rows, in batches of at most `MAX_BATCH_STEPS` steps."""
    lengths = [len(row[modality]) for row in rows for modality in processor.feature_sizes]
    words = [len((row.get("transcript") or "").split()) for row in rows]
    batch_size = max(1, MAX_BATCH_STEPS // max([1, *lengths, *words]))
    predictions: list[Logits] = []
    for start in range(0, len(rows), batch_size):
        batch = list(rows[start : start + batch_size])
        outputs = model(**processor(batch).to(model.device)).logits
        logits = {task: values.float().cpu().numpy() for task, values in outputs.items()}
        predictions += [{task: values[i] for task, values in logits.items()} for i in range(len(batch))]
    return predictions


def decode_tasks(tasks: Sequence[Task], logits: Logits) -> dict[str, dict[str, Any]]:
    """Return the answer to each task from the logits of one row."""
    return {task.name: decode_task(task, logits[task.name]) for task in tasks}


def decode_task(task: Task, logits: np.ndarray) -> dict[str, Any]:
    """Return `{"value"}` for a regression, else `{"scores": {label: probability}, "predicted": label or labels}`."""
    scores = task.scores(logits[None])[0]
    if task.problem_type == "regression":
        return {"value": round(float(scores), 4)}
    predicted: str | list[str]
    if task.problem_type == "single_label_classification":
        predicted = task.labels[int(scores.argmax())]
    else:
        thresholds = np.broadcast_to(np.asarray(task.threshold), scores.shape)
        predicted = [label for label, p, t in zip(task.labels, scores, thresholds) if p > t]
    return {"scores": {label: round(float(p), 4) for label, p in zip(task.labels, scores)}, "predicted": predicted}


def predicted_labels(answer: dict[str, Any]) -> list[str]:
    """Return the predicted label or labels of an answer as a list."""
    return [answer["predicted"]] if isinstance(answer["predicted"], str) else answer["predicted"]


def format_answer(answer: dict[str, Any]) -> str:
    """Format an answer in a few words: a signed value, or the predicted labels."""
    return f"{answer['value']:+.2f}" if "value" in answer else ", ".join(predicted_labels(answer)) or "none"


PIPELINE_REGISTRY.register_pipeline(
    "affect-recognition", pipeline_class=AffectRecognitionPipeline, pt_model=AutoModel, type="multimodal"
)
