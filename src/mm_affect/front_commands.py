# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect embed`, `mm-affect transcribe`, and the visual extractors of `mm-affect extract`."""

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
    from .models.extractors import visual_extractor

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

    transcribe = commands.add_parser("transcribe", help="transcripts by a speech recogniser, as a corpus")
    transcribe.add_argument("source", type=Path, help="folder with a manifest, or of media files; it stays as it is")
    transcribe.add_argument("--model", required=True, help="folder or Hub name of a speech recogniser")
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

    from .checkpoint import load_checkpoint
    from .embedding import Embedder, embed_rows
    from .row_pass import corpus_of
    from .weak_labels import readable_modalities

    corpus = corpus_of(arguments.rows)
    model, processor = load_checkpoint(arguments.model)
    modalities = readable_modalities(processor, corpus, arguments.modalities)
    embedder = Embedder(model.to(PartialState().device), processor, modalities, arguments.pooled)

    def progress(done, total):
        print(f"\rembed: {done} of {total} shards", end="\n" if done == total else "", file=sys.stderr)

    places = (arguments.model, arguments.rows, arguments.output, arguments.modality)
    record = embed_rows(embedder, *places, arguments.overwrite, progress)
    print(
        f"Rows: {arguments.output} ({sum(record['counts'].values())}; {arguments.modality}: embeddings of {embedder.size} "
        f"numbers per step, {record['extractors'][arguments.modality]['steps']})"
    )


def transcribe_corpus(arguments) -> None:
    """`mm-affect transcribe`; clips that cannot be heard are named, and the others go on."""
    from tqdm import tqdm
    from transformers.utils import logging

    from .recognisers import load_recogniser
    from .transcription import transcribe, write_manifest

    logging.disable_progress_bar()
    recogniser = load_recogniser(arguments.model)
    with tqdm(desc="transcribe", unit="clip") as bar:

        def progress(clip, total):
            bar.total = total
            bar.update()

        transcribe(recogniser, arguments.source, arguments.output, progress)
    counts, failures = write_manifest(
        arguments.source, arguments.output, arguments.language, arguments.least_likelihood
    )
    for failure in failures:
        print(f"left out {failure['id']}: {failure['error']}", file=sys.stderr)
    print(f"Manifest: {arguments.output} ({', '.join(f'{count} {what}' for what, count in counts.items())})")
