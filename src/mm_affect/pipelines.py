# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`pipeline("affect-recognition")`: a raw clip to labels with scores per task, on request along its time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .models.configuration import MODALITIES, Task
from .pipeline_inputs import as_row


WINDOWS_AT_ONCE = 32


class AffectRecognitionPipeline(Pipeline):
    """Predict every task of a model for raw clips.

    A clip is the path of an audio or video file, or its bytes; a waveform, float, at the rate of the model, or a dict of
    `array` and `sampling_rate`; a dict of `frames` and `fps`; or a dict with any of `"video"` and `"audio"` (in one of these
    forms) and `"text"` (the transcript; with `"spans"`, `[start, end]` seconds per word, it takes part in windows). One clip
    has one answer; a list or a column of clips has a list of answers; a generator or a data set has an iterator.

    Args (of the call):
        batch_size: clips that share a forward pass; default: 1.
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
            if value is not None and value <= 0:
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
        row, source = as_row(inputs, self.processor, chosen)
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
        return {"rows": rows, "stretches": stretches, "source": source, "steps": steps}

    def _forward(self, model_inputs):
        """Logits `(rows, outputs)` per task of each clip. Whole clips share a batch, and windows share others."""
        whole = [clip["rows"][0] for clip in model_inputs]
        windows = [row for clip in model_inputs for row in clip["rows"][1:]]
        batches = [whole, *(windows[i : i + WINDOWS_AT_ONCE] for i in range(0, len(windows), WINDOWS_AT_ONCE))]
        answers = [self.model(**self.processor(rows).to(self.device)).logits for rows in batches]
        logits = {name: torch.cat([answer[name] for answer in answers]) for name in answers[0]}
        outputs, first = [], len(whole)
        for i, clip in enumerate(model_inputs):
            last = first + len(clip["rows"]) - 1
            mine = [i, *range(first, last)]
            of_clip = {name: clip[name] for name in ("stretches", "source", "steps")}
            outputs.append(of_clip | {"logits": {name: values[mine] for name, values in logits.items()}})
            first = last
        return outputs

    def postprocess(self, model_outputs):
        """The answer to one clip, of plain numbers and words."""
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

    def save_pretrained(self, save_directory, **kwargs):
        """Write the model (`kwargs` as of its own) and the processor, of which `pipeline` makes this pipeline again."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)


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
