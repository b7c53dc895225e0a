# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect extract`, `transcribe`, `embed` and `weak-labels`: commands that write rows, or a corpus to make rows of."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .console import clip_progress, count_rows, disable_library_progress, format_counts, shard_progress
from .options import (
    add_modalities_option,
    add_model_option,
    add_output_option,
    add_overwrite_option,
    add_rows_option,
    add_workers_option,
)


if TYPE_CHECKING:
    from ..features.faces import FaceDescriptor
    from ..features.log_mel import LogMelExtractor
    from ..features.speech_encoder import SpeechEncoder
    from ..features.vgg16 import VGG16Extractor
    from ..features.vision_encoder import VisionEncoder


# extract ----------------------------------------------------------------------------------------------------------


def add_extract_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect extract`."""
    parser.add_argument("corpus", type=Path, help="folder with a manifest")
    add_output_option(parser, help="folder of rows to write")
    add_overwrite_option(parser)
    add_workers_option(parser)
    parser.add_argument(
        "--word-vectors", type=Path, metavar="FILE", help="in GloVe's format; default: fixed random vectors per word"
    )
    _add_audio_options(parser)
    _add_visual_options(parser)
    job = parser.add_argument_group("large corpora")
    job.add_argument(
        "--resume", action="store_true", help="keep finished shards if interrupted, and continue from them"
    )
    job.add_argument("--skip-errors", action="store_true", help="leave unreadable clips out and record them")
    job.add_argument("--retry-failed", action="store_true", help="retry clips that failed in an earlier start")
    job.add_argument(
        "--most-failures", type=float, default=1.0, metavar="FRACTION", help="stop if a larger fraction of clips fails"
    )
    job.add_argument("--shard-clips", type=int, default=1000, metavar="N", help="clips per shard; default: 1000")
    job.add_argument("--ray", metavar="ADDRESS", help="extract on a Ray cluster; local: --workers processes here")
    parser.set_defaults(run=extract_features)


def _add_audio_options(parser: argparse.ArgumentParser) -> None:
    audio = parser.add_argument_group("audio features")
    audio.add_argument(
        "--audio",
        default="log_mel",
        metavar="NAME",
        help="log_mel (default), or the folder or Hub name of a speech encoder of transformers",
    )
    audio.add_argument(
        "--audio-layers",
        type=parse_layers,
        metavar="N[,N,...]",
        help="hidden layers of a speech encoder, concatenated; default: the last one",
    )
    audio.add_argument(
        "--audio-pooling",
        choices=("frames", "mean"),
        help="steps of a speech encoder: its frames (default), or their mean over the clip, or over each 20 s of it",
    )


def parse_layers(text: str) -> list[int]:
    """Return the numbers of layers with commas between them."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a layer, nor layers with commas between them") from None


def _audio_extractor(arguments: argparse.Namespace) -> "LogMelExtractor | SpeechEncoder | None":
    """Return the audio extractor that the options name; None for the default one."""
    from ..features.extractors import build_audio_extractor

    options = (arguments.audio, arguments.audio_layers, arguments.audio_pooling)
    return None if options == ("log_mel", None, None) else build_audio_extractor(*options)


def _add_visual_options(parser: argparse.ArgumentParser) -> None:
    visual = parser.add_argument_group("visual features")
    visual.add_argument(
        "--visual",
        default="faces",
        metavar="NAME",
        help="faces (default), vgg16, or the folder or Hub name of a vision encoder of transformers",
    )
    visual.add_argument("--visual-weights", metavar="FILE", help="of vgg16: a safetensors file, or a name on the Hub")
    visual.add_argument("--visual-crop", choices=("face", "frame"), help="part that a network sees; default: face")
    visual.add_argument("--visual-rate", type=float, default=10.0, metavar="HZ", help="frames per second; default: 10")


def _visual_extractor(arguments: argparse.Namespace) -> "FaceDescriptor | VGG16Extractor | VisionEncoder | None":
    """Return the visual extractor that the options name; None for the default one."""
    from ..features.extractors import build_visual_extractor

    options = (arguments.visual, arguments.visual_weights, arguments.visual_crop, arguments.visual_rate)
    return None if options == ("faces", None, None, 10.0) else build_visual_extractor(*options)


def extract_features(arguments: argparse.Namespace) -> None:
    """Extract features of a corpus into rows."""
    from tqdm import tqdm

    from ..preparation.extraction.corpus import default_processor, extract_corpus

    with tqdm(desc="extract", unit="clip") as bar:
        record = extract_corpus(
            arguments.corpus,
            arguments.output,
            default_processor(
                arguments.corpus, arguments.word_vectors, _visual_extractor(arguments), _audio_extractor(arguments)
            ),
            workers=arguments.workers,
            skip_errors=arguments.skip_errors,
            overwrite=arguments.overwrite,
            progress=clip_progress(bar),
            resumable=arguments.resume,
            retry_failed=arguments.retry_failed,
            most_failures=arguments.most_failures,
            shard_clips=arguments.shard_clips,
            ray=arguments.ray,
        )
    print(f"Rows: {arguments.output} ({format_counts(record.counts)})")
    for clip in record.dropped:
        print(f"left out {clip.id}: {clip.reason}", file=sys.stderr)


# transcribe -------------------------------------------------------------------------------------------------------


def add_transcribe_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect transcribe`."""
    parser.add_argument("corpus", type=Path, help="folder with a manifest, or of media files; it stays as it is")
    add_model_option(parser, help="folder or Hub name of a speech recognizer")
    add_output_option(parser, help="folder to write: manifest.jsonl, transcripts.jsonl")
    parser.add_argument("--language", metavar="CODE", help="keep clips in this language only, such as en")
    parser.add_argument(
        "--least-likelihood",
        type=float,
        metavar="X",
        help="keep clips whose tokens have at least this mean log-likelihood, such as -0.5",
    )
    parser.set_defaults(run=transcribe_corpus)


def transcribe_corpus(arguments: argparse.Namespace) -> None:
    """Transcribe a corpus; clips that cannot be read are named, and the others are kept."""
    from tqdm import tqdm

    from ..preparation.speech_recognizers import load_recognizer
    from ..preparation.transcription import transcribe, write_manifest

    disable_library_progress()
    recognizer = load_recognizer(arguments.model)
    with tqdm(desc="transcribe", unit="clip") as bar:
        transcribe(recognizer, arguments.corpus, arguments.output, clip_progress(bar))
    counts, failures = write_manifest(
        arguments.corpus, arguments.output, arguments.language, arguments.least_likelihood
    )
    for failure in failures:
        print(f"left out {failure['id']}: {failure['error']}", file=sys.stderr)
    print(f"Manifest: {arguments.output} ({', '.join(f'{count} {name}' for name, count in counts.items())})")


# embed ------------------------------------------------------------------------------------------------------------


def add_embed_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect embed`."""
    add_model_option(parser)
    add_rows_option(parser, help="folder of rows; it stays as it is")
    add_output_option(parser, help="folder of rows to write")
    add_overwrite_option(parser)
    add_modalities_option(parser)
    parser.add_argument("--pooled", action="store_true", help="one step per row, the fusion view, which any model has")
    parser.add_argument(
        "--as",
        dest="modality",
        default="audio",
        metavar="M",
        help="modality that the embeddings become; default: audio",
    )
    parser.set_defaults(run=write_embeddings)


def write_embeddings(arguments: argparse.Namespace) -> None:
    """Write the embeddings of a model as one modality of other rows."""
    from accelerate import PartialState

    from ..checkpoints.loading import load_checkpoint
    from ..preparation.embedding import Embedder, embed_rows
    from ..preparation.row_rewriting import read_rows_corpus
    from ..preparation.weak_labels import select_modalities

    corpus = read_rows_corpus(arguments.rows)
    model, processor = load_checkpoint(arguments.model)
    modalities = select_modalities(processor, corpus, arguments.modalities)
    embedder = Embedder(model.to(PartialState().device), processor, modalities, arguments.pooled)
    places = (arguments.model, arguments.rows, arguments.output, arguments.modality)
    record = embed_rows(embedder, *places, arguments.overwrite, shard_progress("embed"))
    print(
        f"Rows: {arguments.output} ({count_rows(record.counts)}; {arguments.modality}: embeddings of {embedder.size} "
        f"numbers per step, {record.extractors[arguments.modality]['steps']})"
    )


# weak labels ------------------------------------------------------------------------------------------------------


def add_weak_labels_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect weak-labels`."""
    add_model_option(parser, help="folder of the checkpoint that predicts")
    add_rows_option(parser, help="folder of rows to be labeled; it stays as it is")
    add_output_option(parser, help="folder of rows to write")
    add_overwrite_option(parser)
    add_modalities_option(parser)
    parser.add_argument("--task", help="task of the model; default: its only one")
    parser.add_argument("--name", help="name of the new label column; default: that of the task")
    parser.add_argument("--soft", action="store_true", help="probabilities instead of decisions")
    parser.add_argument(
        "--threshold",
        type=parse_numbers,
        metavar="P[,P,...]",
        help="probability above which a label is present, one for all or one per label; default: the model's",
    )
    parser.add_argument(
        "--least-confidence", type=float, default=0.0, metavar="P", help="less certain decisions become unknown labels"
    )
    parser.add_argument(
        "--confidence", type=float, metavar="C", help="confidence of the model, if it has no results.json"
    )
    parser.set_defaults(run=label_rows)


def parse_numbers(text: str) -> float | list[float]:
    """Return one number, or several with commas between them."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, nor numbers with commas between them") from None
    return numbers[0] if len(numbers) == 1 else numbers


def label_rows(arguments: argparse.Namespace) -> None:
    """Add the predictions of a model to rows as a label column."""
    from ..checkpoints.loading import load_checkpoint
    from ..data.schema import describe_weak_labels
    from ..preparation.row_rewriting import read_rows_corpus
    from ..preparation.weak_labels import Labeler, add_weak_labels, read_label_source, select_modalities, select_task

    corpus = read_rows_corpus(arguments.rows)
    model, processor = load_checkpoint(arguments.model)
    task = select_task(model.config.tasks, arguments.task, arguments.threshold)
    if arguments.soft and arguments.threshold is not None:
        raise ValueError("Soft labels are probabilities without a threshold; leave --soft or --threshold out.")
    modalities = select_modalities(processor, corpus, arguments.modalities)
    labeler = Labeler(model, processor, task, modalities, arguments.soft, arguments.least_confidence)
    source = read_label_source(Path(arguments.model), task, arguments.confidence)
    field = labeler.build_field(arguments.name or task.name, source)
    progress = shard_progress("weak labels")
    record = add_weak_labels(labeler, field, arguments.rows, arguments.output, arguments.overwrite, progress)
    unknown = record.reported.get(f"unknown_{field.name}", 0)
    print(f"Rows: {arguments.output} ({count_rows(record.counts)}, {unknown} of them without a label)")
    print(f"{field.name}: {describe_weak_labels(field)}")
