# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect demo`."""

import json
from pathlib import Path

from ..checkpoints.loading import find_checkpoint, load_checkpoint
from ..features.media import MEDIA
from .console import print_error, print_scores


def add_demo_command(commands) -> None:
    """Add the command to the parser of `mm-affect`."""
    demo = commands.add_parser("demo", help="a local page: recognize a clip, and see why (extra: demo)")
    demo.add_argument("--model", help="folder of a checkpoint, or its name on the Hub; default: demo_output/run")
    demo.add_argument(
        "--samples",
        type=Path,
        metavar="CORPUS",
        help="clips to pick from; default: demo_output/corpus, if it is there",
    )
    demo.add_argument("--port", type=int, help="default: the first that is free from 7860 on")
    demo.add_argument("--no-browser", action="store_true", help="print the address only")
    demo.set_defaults(run=demonstrate)


def demonstrate(arguments) -> None:
    """`mm-affect demo`."""
    from transformers.utils import logging

    from ..inference.demo.serve import open_demo

    logging.disable_progress_bar()
    open_demo(arguments.model, arguments.samples, arguments.port, browser=not arguments.no_browser)


def evaluate_model(arguments) -> None:
    """`mm-affect evaluate`."""
    from ..evaluation.evaluator import evaluate_subsets

    model, processor = load_checkpoint(str(arguments.model))
    corpus, rows = load_split(arguments.data, arguments.split, processor)
    scores = evaluate_subsets(model, processor, rows, corpus.label_fields)
    if arguments.json:
        print(json.dumps(scores, indent=1).replace("NaN", "null"))
    else:
        print_scores(scores)


def load_split(folder: Path, split: str, *processors):
    """What is known of a corpus, and the rows of one split, which these processors can read."""
    from ..data import load, read_corpus

    corpus, splits = read_corpus(folder), load(folder)
    if split not in splits:
        raise ValueError(f"{folder} has no {split} split; it has {', '.join(splits)}.")
    for processor in processors:
        processor.check_extractors(corpus.extractors)
    return corpus, splits[split]


def predict_clips(arguments) -> int:
    """`mm-affect predict`; 1 if any of several clips could not be read, the others are answered."""
    from tqdm import tqdm
    from transformers.utils import logging

    from ..inference.pipeline import AffectRecognitionPipeline

    logging.disable_progress_bar()
    clips = [file for clip in arguments.clips for file in media_files(clip)]
    if len(clips) > 1 and (arguments.transcript or arguments.audio):
        raise ValueError(f"--transcript and --audio belong to one clip; {len(clips)} were given.")
    inputs = [{"video": str(clip)} for clip in clips] or [{}]
    inputs[0] |= {"text": arguments.transcript, "audio": str(arguments.audio) if arguments.audio else None}
    if not clips and not (arguments.transcript or arguments.audio):
        raise ValueError("Nothing to predict: give a media file, a folder of them, or --transcript.")
    model, processor = load_checkpoint(arguments.model)
    recognizer = AffectRecognitionPipeline(model=model, processor=processor)
    options = {"modalities": arguments.modalities, "window": arguments.window, "hop": arguments.hop}
    answers, failures = [], []
    for clip in tqdm(inputs, disable=len(inputs) < 2, desc="predict", unit="clip"):
        try:
            answers.append(recognizer(clip, **options))
        except (ValueError, OSError) as error:  # of several clips the others are still answered
            if len(inputs) == 1:
                raise
            failures.append(error)
    for error in failures:
        print_error(error)
    if arguments.plot and answers:
        plot_first_timeline(answers[0], arguments.plot)
    if arguments.json:
        print(json.dumps(answers if len(inputs) > 1 else answers[0], indent=1))
    else:
        for found in answers:
            print_answer(found)
    return int(bool(failures))


def media_files(clip: Path) -> list[Path]:
    """The file itself, or the media files of a folder in alphabetical order."""
    if not clip.is_dir():
        return [clip]
    files = sorted(file for file in clip.iterdir() if file.suffix.lower() in MEDIA)
    if not files:
        raise ValueError(f"{clip} holds no media files ({', '.join(sorted(MEDIA))}).")
    return files


def plot_first_timeline(found: dict, path: Path) -> None:
    """The time line of one answer as a picture."""
    from ..evaluation.plots import plot_timeline

    if not found["timeline"]:
        raise ValueError("--plot draws the time line, which needs --window.")
    windows = [
        {"start": w["start"], "end": w["end"],
         "scores": {task: a.get("scores") or {task: a["value"]} for task, a in w["tasks"].items()}}
        for w in found["timeline"]
    ]  # fmt: skip
    plot_timeline(windows, path)


def print_answer(found: dict) -> None:
    """One answer as a small table, with its time line."""
    steps = ", ".join(f"{m} {n} steps" if n else f"{m} missing" for m, n in found["steps"].items())
    print(f"{found['source']} ({steps})")
    for task, result in found["tasks"].items():
        print(f"  {task:12} {describe(result)}")
    for window in found["timeline"]:
        summary = "; ".join(f"{task}: {describe(result, short=True)}" for task, result in window["tasks"].items())
        print(f"  {window['start']:7.1f} - {window['end']:.1f} s  {summary}")


def describe(result: dict, short: bool = False) -> str:
    """A task's answer in words: a signed value, or the labels with their scores."""
    from ..inference.pipeline import format_answer

    if short or "value" in result:
        return format_answer(result)
    ranked = sorted(result["scores"].items(), key=lambda item: -item[1])
    return f"{format_answer(result):24} " + "  ".join(f"{label} {score:.2f}" for label, score in ranked)


def plot_figures(arguments) -> int:
    """`mm-affect plot`; figures that cannot be made are named with the reason, and it is 1 if none could."""
    from transformers.utils import logging

    from ..data.ragged import RowDataset
    from ..evaluation.plots import FigureInputs
    from ..experiments.figures.registry import draw_figures, find_figures, sample_rows

    logging.disable_progress_bar()
    names = [arguments.model, *([arguments.compare] if arguments.compare else [])]
    folders = [find_checkpoint(name) for name in names]
    loaded = [load_checkpoint(folder, attn_implementation="eager") for folder in folders]  # it keeps the weights
    corpus, split = load_split(arguments.rows, arguments.split, *(processor for _, processor in loaded))
    rows = sample_rows(RowDataset(split), arguments.samples, arguments.seed)
    title = f"{corpus.name}{' (SYNTHETIC)' if corpus.synthetic else ''}\n{arguments.split}, {len(rows)} clips"
    subjects = [FigureInputs(folder, *pair, rows, title) for folder, pair in zip(folders, loaded, strict=True)]
    drawn, left_out = draw_figures(find_figures(*subjects, seed=arguments.seed), arguments.output)
    for path in drawn:
        print(path)
    for error, figures in left_out:
        print_error(error, f"Not drawn: {', '.join(figures)}. ")
    return int(not drawn)
