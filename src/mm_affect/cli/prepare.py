# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect embed`, `mm-affect transcribe`, and the visual extractors of `mm-affect extract`."""

import argparse
import sys
from pathlib import Path


def add_visual_options(extract) -> None:
    """Options of `mm-affect extract` that choose what looks at the pictures."""
    extract.add_argument(
        "--visual",
        default="faces",
        metavar="NAME",
        help="faces (default), vgg16, or the folder or Hub name of a vision encoder of transformers",
    )
    extract.add_argument("--visual-weights", metavar="FILE", help="of vgg16: a safetensors file, or a name on the Hub")
    extract.add_argument("--visual-crop", choices=("face", "frame"), help="what a network sees; default: face")
    extract.add_argument(
        "--visual-rate", type=float, default=10.0, metavar="HZ", help="frames per second; default: 10"
    )


def chosen_visual(arguments):
    """The visual extractor that the options name; None for the default one."""
    from ..features.extractors import visual_extractor

    options = (arguments.visual, arguments.visual_weights, arguments.visual_crop, arguments.visual_rate)
    return None if options == ("faces", None, None, 10.0) else visual_extractor(*options)


def add_front_commands(commands) -> None:
    """Add the commands to the parser of `mm-affect`."""
    embed = commands.add_parser("embed", help="write a model's embeddings as one stream of other rows")
    embed.add_argument("--model", required=True, help="folder of a checkpoint, or its name on the Hub")
    embed.add_argument("--rows", type=Path, required=True, help="folder of rows; it stays as it is")
    embed.add_argument("--output", type=Path, required=True, help="folder of rows to write")
    embed.add_argument("--pooled", action="store_true", help="one step per row, the fusion view, which any model has")
    embed.add_argument(
        "--as", dest="modality", default="audio", metavar="M", help="name of the stream; default: audio"
    )
    embed.add_argument("--modalities", nargs="+", metavar="M", help="look only at these: text, audio, visual")
    embed.add_argument("--overwrite", action="store_true", help="replace earlier rows in the output folder")
    embed.set_defaults(run=embed_rows_of)

    transcribe = commands.add_parser("transcribe", help="transcripts by a speech recognizer, as a corpus")
    transcribe.add_argument("source", type=Path, help="folder with a manifest, or of media files; it stays as it is")
    transcribe.add_argument("--model", required=True, help="folder or Hub name of a speech recognizer")
    transcribe.add_argument(
        "--output", type=Path, required=True, help="folder to write: manifest.jsonl, transcripts.jsonl"
    )
    transcribe.add_argument("--language", metavar="CODE", help="keep clips in this language only, such as en")
    transcribe.add_argument(
        "--least-likelihood",
        type=float,
        metavar="X",
        help="keep clips whose tokens have this mean log-likelihood at least, such as -0.5",
    )
    transcribe.set_defaults(run=transcribe_corpus)


def embed_rows_of(arguments) -> None:
    """`mm-affect embed`."""
    from accelerate import PartialState

    from ..checkpoints.loading import load_checkpoint
    from ..preparation.embedding import Embedder, embed_rows
    from ..preparation.row_rewriting import read_rows_corpus
    from ..preparation.weak_labels import select_modalities

    corpus = read_rows_corpus(arguments.rows)
    model, processor = load_checkpoint(arguments.model)
    modalities = select_modalities(processor, corpus, arguments.modalities)
    embedder = Embedder(model.to(PartialState().device), processor, modalities, arguments.pooled)

    def progress(done, total):
        print(f"\rembed: {done} of {total} shards", end="\n" if done == total else "", file=sys.stderr)

    places = (arguments.model, arguments.rows, arguments.output, arguments.modality)
    record = embed_rows(embedder, *places, arguments.overwrite, progress)
    print(
        f"Rows: {arguments.output} ({sum(count or 0 for count in record.counts.values())}; {arguments.modality}: embeddings of {embedder.size} "
        f"numbers per step, {record.extractors[arguments.modality]['steps']})"
    )


def transcribe_corpus(arguments) -> None:
    """`mm-affect transcribe`; clips that cannot be heard are named, and the others go on."""
    from tqdm import tqdm
    from transformers.utils import logging

    from ..preparation.speech_recognizers import load_recognizer
    from ..preparation.transcription import transcribe, write_manifest

    logging.disable_progress_bar()
    recognizer = load_recognizer(arguments.model)
    with tqdm(desc="transcribe", unit="clip") as bar:

        def progress(clip, total):
            bar.total = total
            bar.update()

        transcribe(recognizer, arguments.source, arguments.output, progress)
    counts, failures = write_manifest(
        arguments.source, arguments.output, arguments.language, arguments.least_likelihood
    )
    for failure in failures:
        print(f"left out {failure['id']}: {failure['error']}", file=sys.stderr)
    print(f"Manifest: {arguments.output} ({', '.join(f'{count} {what}' for what, count in counts.items())})")


def extract_features(arguments) -> None:
    """`mm-affect extract`."""
    from tqdm import tqdm

    from ..preparation.extraction.corpus import default_processor, extract_corpus

    with tqdm(desc="extract", unit="clip") as bar:

        def progress(clip, total):
            bar.total = total
            bar.update()

        record = extract_corpus(
            arguments.source,
            arguments.output,
            default_processor(arguments.source, arguments.word_vectors, chosen_visual(arguments)),
            workers=arguments.workers,
            skip_errors=arguments.skip_errors,
            overwrite=arguments.overwrite,
            progress=progress,
            resumable=arguments.resumable,
            retry_failed=arguments.retry_failed,
            most_failures=arguments.most_failures,
            shard_clips=arguments.shard_clips,
            ray=arguments.ray,
        )
    print(f"Rows: {arguments.output} ({', '.join(f'{split} {count}' for split, count in record.counts.items())})")
    for clip in record.dropped:
        print(f"left out {clip.id}: {clip.reason}", file=sys.stderr)


def add_weak_commands(commands) -> None:
    """Add the command to the parser of `mm-affect`."""
    weak = commands.add_parser("weak-labels", help="add what a model predicts to rows, as a label column")
    weak.add_argument("--model", type=Path, required=True, help="folder of the checkpoint that predicts")
    weak.add_argument("--rows", type=Path, required=True, help="folder of rows to be labeled; it stays as it is")
    weak.add_argument("--output", type=Path, required=True, help="folder of rows to write")
    weak.add_argument("--task", help="of the model; default: its only one")
    weak.add_argument("--name", help="of the new label column; default: that of the task")
    weak.add_argument("--soft", action="store_true", help="probabilities instead of decisions")
    weak.add_argument(
        "--threshold",
        type=numbers,
        metavar="P[,P,...]",
        help="probability above which a label is present, one for all or one per label; default: the model's",
    )
    weak.add_argument(
        "--least-confidence", type=float, default=0.0, metavar="P", help="less certain decisions become unknown labels"
    )
    weak.add_argument("--confidence", type=float, metavar="C", help="of the model, where no results.json tells it")
    weak.add_argument("--modalities", nargs="+", metavar="M", help="look only at these: text, audio, visual")
    weak.add_argument("--overwrite", action="store_true", help="replace earlier rows in the output folder")
    weak.set_defaults(run=label_rows)


def numbers(text: str) -> float | list[float]:
    """One number, or several with commas between them."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, nor numbers with commas between them") from None
    return found[0] if len(found) == 1 else found


def label_rows(arguments) -> None:
    """`mm-affect weak-labels`."""
    from ..checkpoints.loading import load_checkpoint
    from ..data.schema import describe_weak_labels
    from ..preparation.row_rewriting import read_rows_corpus
    from ..preparation.weak_labels import Labeler, add_weak_labels, read_label_source, select_modalities, select_task

    corpus = read_rows_corpus(arguments.rows)
    model, processor = load_checkpoint(str(arguments.model))
    task = select_task(model.config.tasks, arguments.task, arguments.threshold)
    if arguments.soft and arguments.threshold is not None:
        raise ValueError("Soft labels are probabilities, which have no threshold; leave --soft or --threshold out.")
    labeler = Labeler(
        model,
        processor,
        task,
        select_modalities(processor, corpus, arguments.modalities),
        arguments.soft,
        arguments.least_confidence,
    )
    source = read_label_source(arguments.model, task, arguments.confidence)
    field = labeler.field(arguments.name or task.name, source)

    def progress(done, total):
        print(f"\rweak labels: {done} of {total} shards", end="\n" if done == total else "", file=sys.stderr)

    record = add_weak_labels(labeler, field, arguments.rows, arguments.output, arguments.overwrite, progress)
    unknown = record.reported.get(f"unknown_{field.name}", 0)
    print(
        f"Rows: {arguments.output} ({sum(count or 0 for count in record.counts.values())}, {unknown} of them without a label)"
    )
    print(f"{field.name}: {describe_weak_labels(field)}")
