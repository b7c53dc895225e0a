# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect evaluate`, `plot`, `predict` and `demo`: commands that use a checkpoint."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import disable_library_progress, print_error, print_scores
from .options import (
    CHECKPOINT_HELP,
    add_json_option,
    add_modalities_option,
    add_model_option,
    add_output_option,
    add_rows_option,
    add_seed_option,
    add_split_option,
)


if TYPE_CHECKING:
    from ..data.record import CorpusRecord


# evaluate ---------------------------------------------------------------------------------------------------------


def add_evaluate_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect evaluate`."""
    add_model_option(parser)
    add_rows_option(parser)
    add_split_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=evaluate_model)


def evaluate_model(arguments: argparse.Namespace) -> None:
    """Measure a checkpoint with every subset of the modalities."""
    from ..checkpoints.loading import load_checkpoint
    from ..evaluation.evaluator import evaluate_subsets

    model, processor = load_checkpoint(arguments.model)
    corpus, rows = load_split(arguments.rows, arguments.split, processor)
    scores = evaluate_subsets(model, processor, rows, corpus.label_fields)
    if arguments.json:
        print(json.dumps(scores, indent=1).replace("NaN", "null"))
    else:
        print_scores(scores)


def load_split(folder: Path, split: str, *processors: Any) -> tuple["CorpusRecord", Any]:
    """Return the record of a corpus and the rows of one split, after checking that these processors can read them."""
    from ..data.loading import load, read_corpus

    corpus, splits = read_corpus(folder), load(folder)
    if split not in splits:
        raise ValueError(f"{folder} has no {split} split; it has {', '.join(splits)}.")
    for processor in processors:
        processor.check_extractors(corpus.extractors)
    return corpus, splits[split]


# plot -------------------------------------------------------------------------------------------------------------


def add_plot_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect plot`."""
    add_model_option(parser)
    add_rows_option(parser)
    add_output_option(parser, help="folder of PNG and CSV files")
    add_split_option(parser)
    parser.add_argument(
        "--clips", type=int, default=500, metavar="N", help="number of rows that are drawn, at most; default: 500"
    )
    add_seed_option(parser)
    parser.add_argument("--compare", metavar="MODEL", help="another checkpoint, drawn beside it where it applies")
    parser.set_defaults(run=plot_figures)


def plot_figures(arguments: argparse.Namespace) -> int:
    """Draw the figures of an architecture's paper; those that cannot be drawn are named, and it returns 1 if none can."""
    from ..checkpoints.loading import find_checkpoint, load_checkpoint
    from ..data.ragged import RowDataset
    from ..evaluation.plots import FigureInputs
    from ..experiments.figures.registry import draw_figures, find_figures, sample_rows

    disable_library_progress()
    names = [arguments.model, *([arguments.compare] if arguments.compare else [])]
    folders = [find_checkpoint(name) for name in names]
    loaded = [load_checkpoint(folder, attn_implementation="eager") for folder in folders]  # it keeps the weights
    corpus, split = load_split(arguments.rows, arguments.split, *(processor for _, processor in loaded))
    dataset = RowDataset(split)
    rows = sample_rows(dataset, arguments.clips, arguments.seed)
    title = f"{corpus.name}{' (SYNTHETIC)' if corpus.synthetic else ''}\n{arguments.split}, {len(rows)} clips"
    inputs, *compared = (
        FigureInputs(folder, model, processor, rows, title)
        for folder, (model, processor) in zip(folders, loaded, strict=True)
    )
    figures = find_figures(inputs, compared[0] if compared else None, arguments.seed)
    drawn, failed = draw_figures(figures, arguments.output)
    for path in drawn:
        print(path)
    for error, names in failed:
        print_error(error, f"Not drawn: {', '.join(names)}. ")
    return int(not drawn)


# predict ----------------------------------------------------------------------------------------------------------


def add_predict_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect predict`."""
    parser.add_argument("clips", nargs="*", type=Path, help="media files or folders of them")
    add_model_option(parser)
    add_modalities_option(parser)
    parser.add_argument("--transcript", metavar="TEXT", help="transcript of the clip (one clip only)")
    parser.add_argument("--audio", type=Path, metavar="FILE", help="audio from another file (one clip only)")
    parser.add_argument("--window", type=float, metavar="S", help="also predict every S seconds along the clip")
    parser.add_argument("--hop", type=float, metavar="S", help="seconds between windows; default: the window")
    add_json_option(parser)
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="draw the timeline of the first clip; needs --window"
    )
    parser.set_defaults(run=predict_clips)


def predict_clips(arguments: argparse.Namespace) -> int:
    """Predict the labels of clips; returns 1 if any of several clips could not be read, the others are predicted."""
    from tqdm import tqdm

    from ..checkpoints.loading import load_checkpoint
    from ..inference.pipeline import AffectRecognitionPipeline

    disable_library_progress()
    inputs = read_clips(arguments)
    model, processor = load_checkpoint(arguments.model)
    recognizer = AffectRecognitionPipeline(model=model, processor=processor)
    options = {"modalities": arguments.modalities, "window": arguments.window, "hop": arguments.hop}
    answers, failures = [], []
    for clip in tqdm(inputs, disable=len(inputs) < 2, desc="predict", unit="clip"):
        try:
            answers.append(recognizer(clip, **options))
        except (ValueError, OSError) as error:
            if len(inputs) == 1:
                raise
            failures.append(error)
    for failure in failures:
        print_error(failure)
    if arguments.plot and answers:
        plot_first_timeline(answers[0], arguments.plot)
    if arguments.json:
        print(json.dumps(answers if len(inputs) > 1 else answers[0], indent=1))
    else:
        for answer in answers:
            print_answer(answer)
    return int(bool(failures))


def read_clips(arguments: argparse.Namespace) -> list[dict[str, str | None]]:
    """Return the inputs of the pipeline that a command line names, one dict per clip."""
    clips = [file for clip in arguments.clips for file in list_media_files(clip)]
    if len(clips) > 1 and (arguments.transcript or arguments.audio):
        raise ValueError(f"--transcript and --audio belong to one clip; {len(clips)} were given.")
    if not clips and not (arguments.transcript or arguments.audio):
        raise ValueError("Nothing to predict: give a media file, a folder of them, or --transcript.")
    inputs: list[dict[str, str | None]] = [{"video": str(clip)} for clip in clips] or [{}]
    inputs[0] |= {"text": arguments.transcript, "audio": str(arguments.audio) if arguments.audio else None}
    return inputs


def list_media_files(clip: Path) -> list[Path]:
    """Return the file itself, or the media files of a folder in alphabetical order."""
    from ..features.media import MEDIA

    if not clip.is_dir():
        return [clip]
    files = sorted(file for file in clip.iterdir() if file.suffix.lower() in MEDIA)
    if not files:
        raise ValueError(f"{clip} holds no media files ({', '.join(sorted(MEDIA))}).")
    return files


def plot_first_timeline(answer: dict[str, Any], path: Path) -> None:
    """Draw the timeline of one answer."""
    from ..evaluation.plots import plot_timeline

    if not answer["timeline"]:
        raise ValueError("--plot draws the timeline, which needs --window.")
    windows = [
        {
            "start": window["start"],
            "end": window["end"],
            "scores": {
                task: result.get("scores") or {task: result["value"]} for task, result in window["tasks"].items()
            },
        }
        for window in answer["timeline"]
    ]
    plot_timeline(windows, path)


def print_answer(answer: dict[str, Any]) -> None:
    """Print one answer as a small table, with its timeline."""
    steps = ", ".join(f"{m} {n} steps" if n else f"{m} missing" for m, n in answer["steps"].items())
    print(f"{answer['source']} ({steps})")
    for task, result in answer["tasks"].items():
        print(f"  {task:12} {format_result(result)}")
    for window in answer["timeline"]:
        summary = "; ".join(f"{task}: {format_result(result, short=True)}" for task, result in window["tasks"].items())
        print(f"  {window['start']:7.1f} - {window['end']:.1f} s  {summary}")


def format_result(result: dict[str, Any], short: bool = False) -> str:
    """Return a task's answer as text: a signed value, or the labels with their scores."""
    from ..inference.pipeline import format_answer

    if short or "value" in result:
        return format_answer(result)
    ranked = sorted(result["scores"].items(), key=lambda item: -item[1])
    return f"{format_answer(result):24} " + "  ".join(f"{label} {score:.2f}" for label, score in ranked)


# demo -------------------------------------------------------------------------------------------------------------


def add_demo_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect demo`."""
    add_model_option(parser, help=f"{CHECKPOINT_HELP}; default: demo_output/run", required=False)
    parser.add_argument(
        "--samples", type=Path, metavar="CORPUS", help="clips to pick from; default: demo_output/corpus, if it exists"
    )
    parser.add_argument("--port", type=int, metavar="N", help="default: the first free port from 7860 on")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.set_defaults(run=open_page)


def open_page(arguments: argparse.Namespace) -> None:
    """Open the demo page."""
    from ..inference.demo.serve import open_demo

    disable_library_progress()
    open_demo(arguments.model, arguments.samples, arguments.port, browser=not arguments.no_browser)
