# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`pipeline("affect-recognition")`: a raw clip to labels with scores per task, on request along its time."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .models.configuration import MODALITIES, Task
from .models.media import probe


WINDOWS_AT_ONCE = 32


class AffectRecognitionPipeline(Pipeline):
    """Predict every task of a model for raw clips.

    An input is the path of an audio or video file, or a dict with any of `"video"` and `"audio"` (paths) and `"text"`
    (the transcript; with `"spans"`, `[start, end]` seconds per word, it takes part in windows), or a
    list of such inputs.

    Args (of the call):
        modalities: what the model may look at; default: all it reads and the clip has.
        window: seconds; also answer for each stretch of this length along the clip in which there is anything to read.
        hop: seconds from one window to the next; default: `window`.
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
            if value is not None and value <= 0:
                raise ValueError(f"`{name}` is {value} seconds; it must be positive.")
        if hop is not None and window is None:
            raise ValueError("`hop` needs `window`, the length in seconds of the stretches that it moves.")
        return {"modalities": modalities, "window": window, "hop": hop}, {}, {}

    def preprocess(self, inputs, modalities=None, window=None, hop=None):
        row, source = as_row(inputs)
        chosen = modalities or MODALITIES
        if "text" not in chosen:
            row["spans"] = None  # the times of words that are not read
        features = self.processor.extract(row, chosen)
        steps = steps_of(self.processor, features)
        if not any(steps.values()):
            raise ValueError(
                f"{source}: nothing to read; the chosen modalities have no words, no sound and no face in this clip."
            )
        stretches = [(None, None)] + windows_of(self.processor, features, window, hop)
        parts = [(stretch, cut(self.processor, features, *stretch)) for stretch in stretches]
        stretches, rows = zip(*(found for found in parts if any(steps_of(self.processor, found[1]).values())))
        cuts = [0, *range(1, len(rows), WINDOWS_AT_ONCE), len(rows)]  # the whole clip is not a batch with its windows
        batches = [self.processor(rows[i:j]) for i, j in pairwise(cuts)]
        return {"batches": batches, "stretches": stretches, "source": source, "steps": steps}

    def _forward(self, model_inputs):
        outputs = [self.model(**batch).logits for batch in model_inputs.pop("batches")]
        return {
            "logits": {task: torch.cat([logits[task] for logits in outputs]) for task in outputs[0]},
            **model_inputs,
        }

    def postprocess(self, model_outputs):
        tasks = self.model.config.tasks
        answers = [
            {task.name: answer(task, model_outputs["logits"][task.name][i].float().numpy()) for task in tasks}
            for i in range(len(model_outputs["stretches"]))
        ]
        timeline = [
            {"start": round(start, 3), "end": round(end, 3), "tasks": tasks}
            for (start, end), tasks in zip(model_outputs["stretches"][1:], answers[1:])
        ]
        found = {name: model_outputs[name] for name in ("source", "steps")}
        return found | {"tasks": answers[0], "timeline": timeline}


def as_row(inputs) -> tuple[dict, str]:
    """A path or a dict of modalities as a raw row, and a name for it."""
    if isinstance(inputs, (str, Path)):
        kind = "video_file" if probe(inputs).has_video else "audio_file"
        return {"id": str(inputs), kind: str(inputs)}, str(inputs)
    known = ("text", "audio", "video", "spans", "id")
    surplus = set(inputs) - set(known)
    if surplus:
        raise ValueError(f"Unknown input {sorted(surplus)[0]!r}; expected some of {', '.join(known)}.")
    spans, words = inputs.get("spans"), len((inputs.get("text") or "").split())
    if spans is not None and len(spans) != words:
        raise ValueError(f"The input has {len(spans)} spans for {words} words of its text; give one per word.")
    path = inputs.get("video") or inputs.get("audio")
    row = {"transcript": inputs.get("text"), "spans": spans, "audio_file": inputs.get("audio")}
    if inputs.get("video"):
        medium = probe(inputs["video"])
        row["video_file" if medium.has_video else "audio_file"] = inputs["video"]
    source = str(inputs.get("id") or path or "transcript")
    return row | {"id": source}, source


def steps_of(processor, features: dict) -> dict[str, int]:
    """How many steps of each modality were measured; of text that a tokenizer reads, how many words there are."""
    steps = {m: int((~np.isnan(features[m]).all(1)).sum()) for m in processor.feature_sizes}
    if processor.tokenizer is not None:
        steps["text"] = len((features.get("transcript") or "").split())
    return {m: steps[m] for m in processor.modalities}


def windows_of(processor, features: dict, window: float | None, hop: float | None) -> list[tuple[float, float]]:
    """Start and end in seconds of each window; the last one may be shorter."""
    if window is None:
        return []
    ends = [len(features[m]) / processor.extractor(m).rate for m in ("audio", "visual") if len(features.get(m, ()))]
    spans = features.get("spans")
    ends += [float(spans[-1][1])] if spans is not None and len(spans) else []
    duration = max(ends, default=0.0)
    starts = np.arange(0, duration, hop or window)
    return [(float(start), float(min(start + window, duration))) for start in starts]


def cut(processor, features: dict, start: float | None, end: float | None) -> dict:
    """The part of a feature row between two seconds; words need spans to take part."""
    if start is None:
        return features
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


PIPELINE_REGISTRY.register_pipeline(
    "affect-recognition", pipeline_class=AffectRecognitionPipeline, pt_model=AutoModel, type="multimodal"
)
