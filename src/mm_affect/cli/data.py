# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect data sample`, `check`, `doctor`, `show`, `align` and `statistics`."""

import argparse
import json
import sys
from pathlib import Path

from .console import format_counts
from .options import (
    add_json_option,
    add_layout_options,
    add_output_option,
    add_overwrite_option,
    add_rows_option,
    add_seed_option,
    add_table_option,
    add_workers_option,
    check_table_name,
    read_layout_options,
)


# sample -----------------------------------------------------------------------------------------------------------


def add_data_sample_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect data sample`."""
    parser.add_argument("corpus", type=Path, help="folder to write")
    parser.add_argument("--clips", type=int, default=300, metavar="N", help="number of clips; default: 300")
    add_seed_option(parser)
    add_workers_option(parser)
    add_overwrite_option(parser)
    parser.set_defaults(run=generate_sample)


def generate_sample(arguments: argparse.Namespace) -> None:
    """Generate the synthetic sample corpus."""
    from ..data.synthetic.corpus import make_sample_corpus

    options = {"workers": arguments.workers, "overwrite": arguments.overwrite}
    print(
        f"Synthetic sample corpus: {make_sample_corpus(arguments.corpus, arguments.clips, arguments.seed, **options)}"
    )


# check ------------------------------------------------------------------------------------------------------------


def add_data_check_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect data check`."""
    parser.add_argument("corpus", type=Path, help="folder of a corpus, or of rows")
    add_json_option(parser)
    parser.set_defaults(run=check_corpus)


def check_corpus(arguments: argparse.Namespace) -> None:
    """Read a corpus or rows and print what they hold."""
    from ..data.loading import read_corpus
    from ..data.schema import describe_weak_labels
    from ..data.splits import describe_protocol

    corpus = read_corpus(arguments.corpus)
    if arguments.json:
        print(json.dumps(corpus.to_dict(), indent=1))
        return
    print(f"{corpus.name}{' (SYNTHETIC)' if corpus.synthetic else ''}, license: {corpus.license or 'not stated'}")
    print(f"  rows:    {format_counts(corpus.counts)}")
    print(f"  splits:  {describe_protocol(corpus.split_protocol)}")
    for column in corpus.label_fields:
        print(f"  label:   {column.name} ({column.problem_type}): {', '.join(column.labels)}")
        if column.weak is not None:
            print(f"           weak: {describe_weak_labels(column)}")
    for modality, size in corpus.sizes.items():
        extractor = corpus.extractors.get(modality, {}).get("name", "unknown extractor")
        print(f"  feature: {modality}, {size} per step, {extractor}")
    print(f"  dropped: {len(corpus.dropped)}")
    for clip in corpus.dropped:
        print(f"    {clip.id}: {clip.reason}")


# doctor -----------------------------------------------------------------------------------------------------------


def add_data_doctor_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect data doctor`."""
    parser.add_argument("name", help="cmu_mosei, cmu_mosi, iemocap, mustard, voxceleb2 ...")
    parser.add_argument("folder", type=Path, help="folder with the files of the corpus")
    add_layout_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=examine_corpus)


def examine_corpus(arguments: argparse.Namespace) -> int:
    """Print what a folder holds of a published corpus; returns 1 if there is a problem."""
    from ..data.doctor import examine, format_report

    def progress(split: str, count: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{split}: {count} rows", end="", file=sys.stderr)

    report = examine(arguments.name, arguments.folder, progress=progress, **read_layout_options(arguments))
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    print(json.dumps(report.to_dict(), indent=1) if arguments.json else "\n".join(format_report(report)))
    return 1 if report.problems else 0


# show -------------------------------------------------------------------------------------------------------------


def add_data_show_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect data show`."""
    parser.add_argument("corpus", help="folder of a corpus or of rows, or the name of a corpus (with --data-dir)")
    parser.add_argument("id", help="id of the row")
    parser.add_argument("--data-dir", type=Path, metavar="FOLDER", help="folder with the files of a named corpus")
    add_layout_options(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw frames, waveform, transcript and features")
    parser.set_defaults(run=show_row)


def show_row(arguments: argparse.Namespace) -> None:
    """Print one row, and draw it with `--plot`."""
    from ..data.show import find_row, format_row

    options = read_layout_options(arguments) if arguments.data_dir is not None else {}
    row, corpus, split = find_row(arguments.corpus, arguments.id, arguments.data_dir, **options)
    print("\n".join(format_row(row, corpus, split)))
    if arguments.plot is not None:
        from ..evaluation.row_plot import plot_row

        print(f"Plot: {plot_row(row, corpus, arguments.plot)}")


# align ------------------------------------------------------------------------------------------------------------


def add_data_align_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect data align`."""
    add_rows_option(parser, help="folder of rows that `mm-affect extract` wrote, with `spans` of the words")
    add_output_option(parser, help="folder of rows to write: one audio and one visual step per word")
    parser.add_argument(
        "--reducer",
        default="mean",
        metavar="NAME",
        help="combination of the frames of a word: mean, max, first or last; default: mean",
    )
    add_overwrite_option(parser)
    parser.set_defaults(run=align_with_words)


def align_with_words(arguments: argparse.Namespace) -> None:
    """Align the audio and visual features of rows with their words."""
    from ..data.align_rows import NO_TIMES, align_rows
    from ..data.alignment import REDUCERS
    from ..messages import did_you_mean

    if arguments.reducer not in REDUCERS:
        raise ValueError(f"--reducer is {arguments.reducer!r}.{did_you_mean(arguments.reducer, REDUCERS)}")
    record = align_rows(arguments.rows, arguments.output, arguments.reducer, arguments.overwrite)
    dropped = sum(clip.reason == NO_TIMES for clip in record.dropped)
    print(
        f"Rows: {arguments.output} ({format_counts(record.counts)}; {dropped} left out because they have {NO_TIMES})"
    )


# statistics -------------------------------------------------------------------------------------------------------


def add_data_statistics_arguments(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the arguments of `mm-affect data statistics`."""
    parser.add_argument("corpus", type=Path, help="folder of a corpus, or of rows")
    add_table_option(parser, help="write the tables to this file, and each of them as CSV beside it")
    parser.set_defaults(run=print_statistics)


def print_statistics(arguments: argparse.Namespace) -> None:
    """Print samples per class and correlations of labels."""
    from ..data.statistics import format_cells, format_csv, label_statistics, statistics_tables
    from ..evaluation.results import format_markdown_table
    from ..files import write_atomically

    check_table_name(arguments.output)
    tables = statistics_tables(label_statistics(arguments.corpus))
    markdown = {}
    for name, table in tables.items():
        header, *lines = format_cells(table)
        markdown[name] = format_markdown_table(header, lines)
    text = f"Samples per class\n\n{markdown['counts']}\n\nPearson correlation\n\n{markdown['correlations']}"
    print(text)
    if arguments.output is not None:
        write_atomically(arguments.output, text + "\n")
        for name, table in tables.items():
            write_atomically(arguments.output.with_name(f"{arguments.output.stem}_{name}.csv"), format_csv(table))
