# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command `mm-affect`: each subcommand is a thin call into the package."""

import argparse
import shlex
import sys
from difflib import get_close_matches
from pathlib import Path

from ..version import __version__
from .console import print_error
from .data import add_data_commands, data_check, data_sample
from .experiments import add_study_commands
from .inference import add_demo_command, evaluate_model, plot_figures, predict_clips
from .prepare import add_front_commands, add_visual_options, add_weak_commands, extract_features
from .publish import add_card_commands, add_export_commands, add_hub_commands, convert_checkpoint
from .train import add_run_commands


DESCRIPTION = """\
Recognize emotion, sentiment and sarcasm from text, audio and video.

The road from clips to a checkpoint:
  mm-affect data sample corpus/                       generate the synthetic sample corpus, laid out as your own would be
  mm-affect data check corpus/                        count, and say what is wrong
  mm-affect data doctor mustard folder/               the same for a published corpus, in any known layout
  mm-affect data show corpus/ clip1 --plot clip1.png  one row: words, sound, frames, features, labels
  mm-affect extract corpus/ rows/                     clips to features
  mm-affect train config.json                         train every seed, select on validation, write results and card
  mm-affect compare configs/                          the same of several configs, and one table of all
  mm-affect grid config.json --output grid/           hyper-parameters, scored on validation alone
  mm-affect benchmark rows/ --output bench/           twelve models on your rows, tables and figure
  mm-affect significance runs/x runs/y                is one run better than another?
  mm-affect embed --model runs/x --rows rows/ ...     its embeddings as a stream of other rows, for any other model
  mm-affect transcribe corpus/ --model name ...       transcripts by a speech recognizer, as a corpus
  mm-affect evaluate runs/x --data rows/              scores for every subset of the modalities
  mm-affect weak-labels --model runs/x --rows rows/   its predictions as labels of other rows, to be trained on
  mm-affect predict clip.mp4 --model runs/x           labels of a raw clip
  mm-affect demo --model runs/x                       a local page that does it, and shows why
  mm-affect reproduce model_cards/x --data rows/      a published card once more, compared with what it says
  mm-affect plot runs/x --rows rows/ --output plots/  the figures of its paper, for the architectures that have some
  mm-affect push runs/x org/name                      to the Hub; --model org/name reads it from there
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code. Expected failures print one sentence and give 1 (interruption: 130)."""
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(_unknown_words(unknown, arguments))
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


def _unknown_words(words: list[str], arguments: argparse.Namespace) -> str:
    """What was typed that no option is, and the options that may have been meant."""
    options = [name.removeprefix("set:") for name in vars(arguments)]
    flags = [word.split("=")[0].removeprefix("--") for word in words if word.startswith("--")]
    close = [match for flag in flags for match in get_close_matches(flag.replace("-", "_"), options, n=1)]
    meant = f"; did you mean {', '.join(f'--{name}' for name in close)}?" if close else ""
    return f"unrecognized arguments: {shlex.join(words)}{meant}"


def build_parser() -> argparse.ArgumentParser:
    """The parser of every subcommand; `arguments.run` is the function that does it."""
    parser = argparse.ArgumentParser(
        "mm-affect", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"mm_affect {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="<command>")

    data = commands.add_parser("data", help="make or check a corpus").add_subparsers(metavar="<what>", required=True)
    sample = data.add_parser("sample", help="generate the synthetic sample corpus")
    sample.add_argument("folder", type=Path, help="where to write it")
    sample.add_argument("--clips", type=int, default=300)
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--workers", type=int, default=2)
    sample.add_argument("--overwrite", action="store_true", help="replace an earlier sample corpus in the folder")
    sample.set_defaults(run=data_sample)
    check = data.add_parser("check", help="read a corpus or rows and print what they hold")
    check.add_argument("source", type=Path)
    check.add_argument("--json", action="store_true", help="print everything as JSON")
    check.set_defaults(run=data_check)
    add_data_commands(data)

    extract = commands.add_parser("extract", help="extract features of a corpus into rows")
    extract.add_argument("source", type=Path, help="folder with a manifest")
    extract.add_argument("output", type=Path, help="folder of rows to write")
    extract.add_argument("--word-vectors", type=Path, help="GloVe-format file; default: fixed random vectors per word")
    add_visual_options(extract)
    extract.add_argument("--workers", type=int, default=2)
    extract.add_argument("--skip-errors", action="store_true", help="leave unreadable clips out (they are recorded)")
    extract.add_argument("--overwrite", action="store_true", help="replace earlier rows in the output folder")
    extract.add_argument(
        "--resumable", action="store_true", help="keep finished shards if it stops, and go on from them"
    )
    extract.add_argument("--retry-failed", action="store_true", help="try clips again that failed in an earlier start")
    extract.add_argument("--most-failures", type=float, default=1.0, metavar="SHARE", help="stop if more clips fail")
    extract.add_argument("--shard-clips", type=int, default=1000, metavar="N", help="clips per shard; default: 1000")
    extract.add_argument("--ray", metavar="ADDRESS", help="extract on a Ray cluster; local: --workers of them here")
    extract.set_defaults(run=extract_features)

    add_run_commands(commands)
    add_study_commands(commands)
    add_weak_commands(commands)
    add_front_commands(commands)
    add_demo_command(commands)
    add_hub_commands(commands)
    add_export_commands(commands)

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

    plot = commands.add_parser("plot", help="draw the figures of an architecture's paper from a checkpoint and rows")
    plot.add_argument("model", help="folder of a checkpoint, or its name on the Hub")
    plot.add_argument("--rows", type=Path, required=True, help="folder of rows")
    plot.add_argument("--output", type=Path, required=True, help="folder for PNG and CSV files")
    plot.add_argument("--split", default="test", choices=("train", "validation", "test"))
    plot.add_argument("--samples", type=int, default=500, help="rows that are drawn, at most; default: 500")
    plot.add_argument("--seed", type=int, default=0, help="of the choice of rows, and of t-SNE")
    plot.add_argument("--compare", metavar="MODEL", help="another checkpoint, drawn beside where that tells something")
    plot.set_defaults(run=plot_figures)

    add_card_commands(commands)

    conversion = commands.add_parser("convert", help="a checkpoint of the authors' public code to a folder of ours")
    conversion.add_argument(
        "architecture", help="which public code saved it: tailor, spt, sugrm, mult, lmr_cbt, emo_emb"
    )
    conversion.add_argument("checkpoint", type=Path, help="its state dict: safetensors, or as torch.save writes it")
    conversion.add_argument("folder", type=Path, help="where to write model and processor")
    conversion.add_argument("--labels", metavar="A,B,...", help="its labels in order; default: those of the authors")
    fields_help = "fields of the config that weights do not tell, such as num_attention_heads=4"
    conversion.add_argument("--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help=fields_help)
    conversion.set_defaults(run=convert_checkpoint)

    env = commands.add_parser("env", help="versions, and which optional parts work here")
    env.set_defaults(run=print_environment)
    return parser


def print_environment(arguments) -> None:
    """`mm-affect env`."""
    from importlib.util import find_spec

    from ..evaluation.results import Environment

    found = Environment.current()
    for name, version in found.versions.items():
        print(f"{name:18} {version}")
    print(f"{'device':18} {found.device}")
    extras = {"audio": ("soundfile", "soxr", "av"), "video": ("av", "cv2"), "metrics": ("evaluate", "sklearn"),
              "plots": ("matplotlib",), "data": ("h5py",), "demo": ("gradio", "av", "cv2"),
              "onnx": ("onnx", "onnxscript", "onnxruntime"), "ray": ("ray",)}  # fmt: skip
    for extra, modules in extras.items():
        missing = [module for module in modules if find_spec(module) is None]
        state = "works" if not missing else f"lacks {', '.join(missing)}: pip install 'mm_affect[{extra}]'"
        print(f"[{extra}]".ljust(18), state)


if __name__ == "__main__":
    sys.exit(main())
