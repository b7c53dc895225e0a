# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`pipeline("affect-recognition")`: a raw clip to labels with scores per task, on request along its time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..tasks import Task
from ..vocabulary import MODALITIES
from .pipeline_inputs import build_row


MAX_BATCH_STEPS = 8000  # of the longest modality, over the rows of a batch: bounds the memory of attention


class AffectRecognitionPipeline(Pipeline):
    """Predict every task of a model for raw clips.

    A clip is the path of an audio or video file, or its bytes; a waveform, float, at the rate of the model, or a dict of
    `array` and `sampling_rate`; a dict of `frames` and `fps`; or a dict with any of `"video"` and `"audio"` (in one of these
    forms) and `"text"` (the transcript; with `"spans"`, `[start, end]` seconds per word, it takes part in windows). One clip
    has one answer; a list of clips, or a column of a `datasets.Dataset`, has a list of answers; a generator, or a
    `torch.utils.data.Dataset` of clips, has an iterator.

    Args (of the call):
        batch_size: clips that share a forward pass, if they are not too long for that; default: 1.
        modalities: what the model may look at; default: all it reads and the clip has.
        window: seconds; also answer for each stretch of this length along the clip in which there is anything to read.
        hop: seconds from one window to the next; default: `window`.

    Raises:
        ValueError: a clip that cannot be read, or has nothing to read; of several clips, its place is named.
        ImportError: a package that decodes the clip is missing; it names the extra.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def _sanitize_parameters(self, modalities=None, window=None, hop=None):
        for modality in modalities or ():
            if modality not in self.model.config.modalities:
                raise ValueError(
                    f"Unknown modality {modality!r}; this model reads {', '.join(self.model.config.modalities)}."
                )
        for name, value in (("window", window), ("hop", hop)):
            if value is not None and not (isinstance(value, int | float) and 0 < value < float("inf")):
                raise ValueError(f"`{name}` is {value} seconds; it must be positive.")
        if hop is not None and window is None and "window" not in getattr(self, "_preprocess_params", ()):
            raise ValueError("`hop` needs `window`, the length in seconds of the stretches that it moves.")
        given = {"modalities": modalities, "window": window, "hop": hop}
        return {name: value for name, value in given.items() if value is not None}, {}, {}

    def __call__(self, inputs, **options):
        if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes | bytearray | memoryview):
            return list(super().__call__((clip for clip in inputs), **options))
        return super().__call__(inputs, **options)

    def run_single(self, inputs, preprocess_params, forward_params, postprocess_params):
        prepared = self.preprocess(inputs, **preprocess_params)
        return self.postprocess(self.forward([prepared])[0])

    def get_iterator(
        self, inputs: Iterable, num_workers, batch_size, preprocess_params, forward_params, postprocess_params
    ) -> Iterator[dict]:
        """The answers to many clips, read as they are asked for. Rows have masks, which transformers' own way to batch, by
        the padding of a tokenizer, does not know."""
        if num_workers:
            raise ValueError(
                f"`num_workers` is {num_workers}, but this pipeline reads clips in its own process; leave it out, or let "
                "`mm-affect extract` read many clips in parallel."
            )
        if batch_size < 1:
            raise ValueError(f"`batch_size` is {batch_size}; it must be a positive whole number.")
        clips = enumerate(inputs)
        while numbered := list(islice(clips, batch_size)):
            prepared = [self._prepared(number, clip, preprocess_params) for number, clip in numbered]
            yield from map(self.postprocess, self.forward(prepared))

    def _prepared(self, number: int, clip, preprocess_params: dict) -> dict:
        try:
            return self.preprocess(clip, **preprocess_params)
        except (ValueError, OSError) as error:
            raise ValueError(f"Input {number} (the first is 0): {error}") from error

    def preprocess(self, inputs, modalities=None, window=None, hop=None):
        """The rows of a clip: the whole, and each window in which there is anything."""
        chosen = modalities or MODALITIES
        row, source = build_row(inputs, self.processor, chosen)
        if "text" not in chosen:
            row["spans"] = None  # the times of words that are not read
        features = self.processor.extract(row, chosen)
        steps = require_steps(self.processor, features, source)
        windows = [] if window is None else cut_windows(self.processor, features, window, hop or window)
        return {"row": features, "windows": windows, "source": source, "steps": steps}

    def _forward(self, model_inputs):
        """The clips with `logits`, as of `predict_logits`: of the whole, then of each window. Whole clips share batches, and windows
        share others."""
        wholes = predict_logits(self.model, self.processor, [clip["row"] for clip in model_inputs])
        windows = [row for clip in model_inputs for _, row in clip["windows"]]
        of_windows = iter(predict_logits(self.model, self.processor, windows))
        return [
            clip | {"logits": [whole, *islice(of_windows, len(clip["windows"]))]}
            for clip, whole in zip(model_inputs, wholes, strict=True)
        ]

    def postprocess(self, model_outputs):
        """The answer to one clip, of plain numbers and words."""
        whole, *others = (answers(self.model.config.tasks, logits) for logits in model_outputs["logits"])
        timeline = [
            {"start": round(start, 3), "end": round(end, 3), "tasks": tasks}
            for ((start, end), _), tasks in zip(model_outputs["windows"], others, strict=True)
        ]
        found = {name: model_outputs[name] for name in ("source", "steps")}
        return found | {"tasks": whole, "timeline": timeline}

    def save_pretrained(self, save_directory, **kwargs):
        """Write the model (`kwargs` as of its own) and the processor, of which `pipeline` makes this pipeline again."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)


def count_steps(processor, features: dict) -> dict[str, int]:
    """How many steps of each modality were measured; of text that a tokenizer reads, how many words there are."""
    steps = {m: int((~np.isnan(features[m]).all(1)).sum()) for m in processor.feature_sizes}
    if processor.tokenizer is not None:
        steps["text"] = len((features.get("transcript") or "").split())
    return {m: steps[m] for m in processor.modalities}


def require_steps(processor, features: dict, source: str) -> dict[str, int]:
    """`steps_of` a clip named `source`. Raises `ValueError` if there are none."""
    steps = count_steps(processor, features)
    if not any(steps.values()):
        raise ValueError(
            f"{source}: nothing to read; the chosen modalities have no words, no sound and no face in this clip, so give "
            "one that has some of these."
        )
    return steps


def cut_windows(processor, features: dict, window: float, hop: float) -> list[tuple[tuple, dict]]:
    """`(start, end)` in seconds and the row of each window of a feature row in which there is anything to read."""
    parts = [(stretch, cut(processor, features, *stretch)) for stretch in windows_of(processor, features, window, hop)]
    return [(stretch, part) for stretch, part in parts if any(count_steps(processor, part).values())]


def windows_of(processor, features: dict, window: float, hop: float) -> list[tuple[float, float]]:
    """Start and end in seconds of each window; the last one may be shorter."""
    ends = [len(features[m]) / processor.extractor(m).rate for m in ("audio", "visual") if len(features.get(m, ()))]
    spans = features.get("spans")
    ends += [float(spans[-1][1])] if spans is not None and len(spans) else []
    duration = max(ends, default=0.0)
    starts = np.arange(0, duration, hop)
    return [(float(start), float(min(start + window, duration))) for start in starts]


def cut(processor, features: dict, start: float, end: float) -> dict:
    """The part of a feature row between two seconds; words need spans to take part."""
    part = dict(features)
    for modality in ("audio", "visual"):
        if modality in features:
            rate = processor.extractor(modality).rate
            part[modality] = features[modality][round(start * rate) : round(end * rate)]
    spans = features["spans"] if features.get("spans") is not None else []
    spoken = [i for i, (begin, stop) in enumerate(spans) if start <= (begin + stop) / 2 < end]
    if "text" in features:
        part["text"] = features["text"][np.array(spoken, int)]
    words = (features.get("transcript") or "").split()
    return part | {"transcript": " ".join(words[i] for i in spoken)}


@torch.no_grad()
def predict_logits(model, processor, rows: Sequence[dict]) -> list[dict[str, np.ndarray]]:
    """Per feature row `{task: (outputs,)}`, float32; batches are small where rows are long."""
    lengths = [len(row[modality]) for row in rows for modality in processor.feature_sizes]
    words = [len((row.get("transcript") or "").split()) for row in rows]
    size = max(1, MAX_BATCH_STEPS // max([1, *lengths, *words]))
    found = []
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        logits = model(**processor(batch).to(model.device)).logits
        logits = {task: values.float().cpu().numpy() for task, values in logits.items()}
        found += [{task: values[i] for task, values in logits.items()} for i in range(len(batch))]
    return found


def answers(tasks: Sequence[Task], logits: dict[str, np.ndarray]) -> dict[str, dict]:
    """The answer to each task, from the logits of one row."""
    return {task.name: answer(task, logits[task.name]) for task in tasks}


def answer(task: Task, logits: np.ndarray) -> dict:
    """`{"value"}` of a regression; otherwise `{"scores": {label: probability}, "predicted": label or labels}`."""
    scores = task.scores(logits[None])[0]
    if task.problem_type == "regression":
        return {"value": round(float(scores), 4)}
    if task.problem_type == "single_label_classification":
        predicted = task.labels[int(scores.argmax())]
    else:
        thresholds = np.broadcast_to(np.asarray(task.threshold), scores.shape)
        predicted = [label for label, p, t in zip(task.labels, scores, thresholds) if p > t]
    return {"scores": {label: round(float(p), 4) for label, p in zip(task.labels, scores)}, "predicted": predicted}


def predicted_labels(answer: dict) -> list[str]:
    """The label or labels that an answer predicts, as a list."""
    return [answer["predicted"]] if isinstance(answer["predicted"], str) else answer["predicted"]


def format_answer(answer: dict) -> str:
    """An answer in a few words: a signed value, or the labels."""
    return f"{answer['value']:+.2f}" if "value" in answer else ", ".join(predicted_labels(answer)) or "none"


PIPELINE_REGISTRY.register_pipeline(
    "affect-recognition", pipeline_class=AffectRecognitionPipeline, pt_model=AutoModel, type="multimodal"
)
