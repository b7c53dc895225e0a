# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command `mm-affect`: each subcommand is a thin call into the package."""

import argparse
import json
import shlex
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path


DESCRIPTION = """\
Recognise emotion, sentiment and sarcasm from text, audio and video.

The road from clips to a checkpoint:
  mm-affect data sample corpus/                       generate the synthetic sample corpus, laid out as your own would be
  mm-affect data check corpus/                        count, and say what is wrong
  mm-affect extract corpus/ rows/                     clips to features
  mm-affect train config.json                         train every seed, select on validation, write results and card
  mm-affect evaluate runs/x --data rows/              scores for every subset of the modalities
  mm-affect predict clip.mp4 --model runs/x           labels of a raw clip
"""
MEDIA = {".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".mp4", ".mpg", ".mpeg", ".avi", ".mkv", ".mov", ".webm"}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code. Expected failures print one sentence and give 1 (interruption: 130)."""
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "run"):
        parser.print_help()
        return 2
    arguments.command_line = shlex.join(["mm-affect", *argv])
    try:
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print("mm-affect: interrupted; nothing that was complete is lost.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print_error(error)
        return 1


def print_error(error: Exception) -> None:
    """One line on stderr; what the operating system says is completed to a sentence."""
    sentence = str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f" at {error.filename}" if error.filename else ""
        sentence = (
            f"The system reports {error.strerror!r}{where}; what was complete before is kept: put that right, then "
            "run the command again."
        )
    print(f"mm-affect: {' '.join(sentence.split())}", file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """The parser of every subcommand; `arguments.run` is the function that does it."""
    parser = argparse.ArgumentParser(
        "mm-affect", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", metavar="<command>")

    data = commands.add_parser("data", help="make or check a corpus").add_subparsers(metavar="<what>", required=True)
    sample = data.add_parser("sample", help="generate the synthetic sample corpus")
    sample.add_argument("folder", type=Path, help="where to write it")
    sample.add_argument("--clips", type=int, default=300)
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--workers", type=int, default=2)
    sample.set_defaults(run=data_sample)
    check = data.add_parser("check", help="read a corpus or rows and print what they hold")
    check.add_argument("source", type=Path)
    check.add_argument("--json", action="store_true", help="print everything as JSON")
    check.set_defaults(run=data_check)

    extract = commands.add_parser("extract", help="extract features of a corpus into rows")
    extract.add_argument("source", type=Path, help="folder with a manifest")
    extract.add_argument("output", type=Path, help="folder of rows to write")
    extract.add_argument("--word-vectors", type=Path, help="GloVe-format file; default: fixed random vectors per word")
    extract.add_argument("--workers", type=int, default=2)
    extract.add_argument("--skip-errors", action="store_true", help="leave unreadable clips out (they are recorded)")
    extract.add_argument("--overwrite", action="store_true", help="replace earlier rows in the output folder")
    extract.set_defaults(run=extract_features)

    train = commands.add_parser(
        "train",
        help="train, select, measure and write a card",
        allow_abbrev=False,  # a misspelt field must not pass for a longer one
        description="Train a run. Every field of the config can be overridden, e.g. --training.epochs 3 --seeds '[0]'.",
    )
    train.add_argument("config", type=Path, help="JSON file; see examples/configs")
    train.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    train.add_argument("--overwrite", action="store_true", help="replace an earlier run in the output folder")
    for name, kind in config_fields():
        train.add_argument(f"--{name}", dest=f"set:{name}", metavar=kind, help=argparse.SUPPRESS)
    train.set_defaults(run=train_run)

    evaluate = commands.add_parser("evaluate", help="measure a checkpoint on rows, for every subset of modalities")
    evaluate.add_argument("model", type=Path, help="folder of a checkpoint")
    evaluate.add_argument("--data", type=Path, required=True, help="folder of rows")
    evaluate.add_argument("--split", default="test", choices=("train", "validation", "test"))
    evaluate.add_argument("--json", action="store_true")
    evaluate.set_defaults(run=evaluate_model)

    predict = commands.add_parser("predict", help="labels of raw clips")
    predict.add_argument("clips", nargs="*", type=Path, help="media files or folders of them")
    predict.add_argument("--model", required=True, help="folder of a checkpoint, or its name on the Hub")
    predict.add_argument("--transcript", help="what is said (one clip only)")
    predict.add_argument("--audio", type=Path, help="sound from another file (one clip only)")
    predict.add_argument("--modalities", nargs="+", metavar="M", help="look only at these: text, audio, visual")
    predict.add_argument("--window", type=float, metavar="S", help="also predict every S seconds along the clip")
    predict.add_argument("--hop", type=float, metavar="S", help="seconds between windows; default: the window")
    predict.add_argument("--json", action="store_true", help="print JSON instead of a table")
    predict.add_argument("--plot", type=Path, help="draw the time line of the first clip (PNG; needs --window)")
    predict.set_defaults(run=predict_clips)

    card = commands.add_parser("card", help="write card and plots of a run again, from its results.json")
    card.add_argument("folder", type=Path, help="output folder of a run")
    card.set_defaults(run=write_run_card)

    env = commands.add_parser("env", help="versions, and which optional parts work here")
    env.set_defaults(run=print_environment)
    return parser


def config_fields() -> list[tuple[str, str]]:
    """Dotted names and types of every field of a run's config."""
    from .runs import RunConfig

    found = []
    for f in fields(RunConfig):
        inner = fields(f.type) if is_dataclass(f.type) else ()
        found += [(f"{f.name}.{g.name}", str(getattr(g.type, "__name__", g.type))) for g in inner] or [
            (f.name, str(getattr(f.type, "__name__", f.type)))
        ]
    return found


def data_sample(arguments) -> None:
    """`mm-affect data sample`."""
    from .data import make_sample_corpus

    folder = make_sample_corpus(arguments.folder, arguments.clips, arguments.seed, arguments.workers)
    print(f"Synthetic sample corpus: {folder}")


def data_check(arguments) -> None:
    """`mm-affect data check`."""
    from .data import read_corpus

    corpus = read_corpus(arguments.source)
    if arguments.json:
        print(json.dumps(corpus, indent=1))
        return
    print(
        f"{corpus['name']}{' (SYNTHETIC)' if corpus['synthetic'] else ''}, licence: {corpus['licence'] or 'not stated'}"
    )
    print("  rows:    " + ", ".join(f"{split} {count}" for split, count in corpus["counts"].items()))
    print(f"  splits:  {corpus['split_protocol']}")
    for column in corpus["label_fields"]:
        print(f"  label:   {column['name']} ({column['problem_type']}): {', '.join(column['labels'])}")
    for modality, size in corpus["sizes"].items():
        extractor = corpus["extractors"].get(modality, {}).get("name", "unknown extractor")
        print(f"  feature: {modality}, {size} per step, {extractor}")
    print(f"  dropped: {len(corpus['dropped'])}")
    for clip in corpus["dropped"]:
        print(f"    {clip['id']}: {clip['reason']}")


def extract_features(arguments) -> None:
    """`mm-affect extract`."""
    from tqdm import tqdm

    from .extraction import default_processor, extract_corpus

    with tqdm(desc="extract", unit="clip") as bar:

        def progress(clip, total):
            bar.total = total
            bar.update()

        record = extract_corpus(
            arguments.source,
            arguments.output,
            default_processor(arguments.source, arguments.word_vectors),
            workers=arguments.workers,
            skip_errors=arguments.skip_errors,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    print(f"Rows: {arguments.output} ({', '.join(f'{split} {count}' for split, count in record['counts'].items())})")
    for clip in record["dropped"]:
        print(f"left out {clip['id']}: {clip['reason']}", file=sys.stderr)


def train_run(arguments) -> None:
    """`mm-affect train`."""
    from . import experiments
    from .results import full_subset
    from .runs import RunConfig

    given = {
        name[4:]: value for name, value in vars(arguments).items() if name.startswith("set:") and value is not None
    }
    config = RunConfig.load(arguments.config, {name: _as_json(value) for name, value in given.items()})
    results = experiments.run(config, arguments.command_line, arguments.resume, arguments.overwrite)
    print_scores({"test, " + full_subset(results): results["summary"][full_subset(results)]}, spread=True)
    for name in ("results.json", "README.md", "plots"):
        print(f"{name:13} {Path(config.output_dir) / name}")


def _as_json(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def evaluate_model(arguments) -> None:
    """`mm-affect evaluate`."""
    from .data import load, read_corpus
    from .training import evaluate_subsets

    model, processor = load_checkpoint(str(arguments.model))
    corpus, splits = read_corpus(arguments.data), load(arguments.data)
    if arguments.split not in splits:
        raise ValueError(f"{arguments.data} has no {arguments.split} split; it has {', '.join(splits)}.")
    processor.check_extractors(corpus["extractors"])
    scores = evaluate_subsets(model, processor, splits[arguments.split], corpus["label_fields"])
    if arguments.json:
        print(json.dumps(scores, indent=1).replace("NaN", "null"))
    else:
        print_scores(scores)


def load_checkpoint(name: str):
    """Model (in evaluation mode) and processor of a checkpoint of this package."""
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, AutoProcessor

    from .models.configuration import AffectConfig

    advice = "give the output folder of `mm-affect train`"
    if Path(name).exists() and not (Path(name) / "config.json").is_file():
        raise FileNotFoundError(f"{name} is not a checkpoint (it has no config.json); {advice}.")
    try:
        config = AutoConfig.from_pretrained(name)
    except OSError as error:
        where = "its config.json cannot be read" if Path(name).exists() else "no such folder, nor found on the Hub"
        raise FileNotFoundError(f"{name} is not a checkpoint ({where}); {advice}.") from error
    if not isinstance(config, AffectConfig):
        raise ValueError(
            f"{name} is a checkpoint of another architecture ({config.model_type}); give one that mm_affect made."
        )
    try:
        return AutoModel.from_pretrained(name).eval(), AutoProcessor.from_pretrained(name)
    except SafetensorError as error:
        raise ValueError(f"The weights in {name} are damaged ({error}); copy or train them again.") from error


def predict_clips(arguments) -> int:
    """`mm-affect predict`; 1 if any of several clips could not be read, the others are answered."""
    from tqdm import tqdm
    from transformers.utils import logging

    from .pipelines import AffectRecognitionPipeline

    logging.disable_progress_bar()
    clips = [file for clip in arguments.clips for file in media_files(clip)]
    if len(clips) > 1 and (arguments.transcript or arguments.audio):
        raise ValueError(f"--transcript and --audio belong to one clip; {len(clips)} were given.")
    inputs = [{"video": str(clip)} for clip in clips] or [{}]
    inputs[0] |= {"text": arguments.transcript, "audio": str(arguments.audio) if arguments.audio else None}
    if not clips and not (arguments.transcript or arguments.audio):
        raise ValueError("Nothing to predict: give a media file, a folder of them, or --transcript.")
    model, processor = load_checkpoint(arguments.model)
    recogniser = AffectRecognitionPipeline(model=model, processor=processor)
    options = {"modalities": arguments.modalities, "window": arguments.window, "hop": arguments.hop}
    answers, failures = [], []
    for clip in tqdm(inputs, disable=len(inputs) < 2, desc="predict", unit="clip"):
        try:
            answers.append(recogniser(clip, **options))
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
    from .plots import plot_timeline

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
    if "value" in result:
        return f"{result['value']:+.2f}"
    predicted = result["predicted"]
    predicted = predicted if isinstance(predicted, str) else ", ".join(predicted) or "none"
    if short:
        return predicted
    ranked = sorted(result["scores"].items(), key=lambda item: -item[1])
    return f"{predicted:24} " + "  ".join(f"{label} {score:.2f}" for label, score in ranked)


def print_scores(subsets: dict, spread: bool = False) -> None:
    """One column per subset, one line per metric over all labels; `mean ± std` for summaries over seeds."""
    from .results import format_score

    names = [name for name in next(iter(subsets.values())) if name.count(".") == 1]  # per label: in the JSON
    width = max(len(name) for name in names)
    print(" " * width + "  " + "  ".join(f"{subset:>18}" for subset in subsets))
    for name in names:
        cells = [scores[name] for scores in subsets.values()]
        shown = [format_score(cell) if spread else f"{cell:.3f}" for cell in cells]
        print(f"{name:{width}}  " + "  ".join(f"{cell:>18}" for cell in shown))


def write_run_card(arguments) -> None:
    """`mm-affect card`."""
    from .experiments import best_of, publish

    publish(arguments.folder, best_of(arguments.folder))
    print(f"Card: {arguments.folder / 'README.md'}")


def print_environment(arguments) -> None:
    """`mm-affect env`."""
    from importlib.util import find_spec

    from .results import environment

    found = environment()
    for name, version in found["versions"].items():
        print(f"{name:18} {version}")
    print(f"{'device':18} {found['device']}")
    extras = {"audio": ("soundfile", "soxr", "av"), "video": ("av", "cv2"), "metrics": ("evaluate", "sklearn"),
              "plots": ("matplotlib",), "data": ("h5py",)}  # fmt: skip
    for extra, modules in extras.items():
        missing = [module for module in modules if find_spec(module) is None]
        state = "works" if not missing else f"lacks {', '.join(missing)}: pip install 'mm_affect[{extra}]'"
        print(f"[{extra}]".ljust(18), state)


if __name__ == "__main__":
    sys.exit(main())
