# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect data doctor`, `data show`, `data align` and `data statistics`."""

import json
import sys
from pathlib import Path


def add_data_commands(commands) -> None:
    """Add the four commands to the parser of `mm-affect data`."""
    from ..data.alignment import REDUCERS
    from .corpus_program import add_layout_arguments

    doctor = commands.add_parser("doctor", help="what a folder holds of a corpus, and what is wrong with it")
    doctor.add_argument("corpus", help="cmu_mosei, cmu_mosi, iemocap, mustard, voxceleb2 ...")
    doctor.add_argument("folder", type=Path)
    add_layout_arguments(doctor)
    doctor.add_argument("--json", action="store_true", help="print everything, every dropped clip too, as JSON")
    doctor.set_defaults(run=data_doctor)
    show = commands.add_parser("show", help="print or draw one row")
    show.add_argument("source", help="folder of rows, own corpus, or the name of a corpus (with --data-dir)")
    show.add_argument("id", help="id of the row")
    show.add_argument("--data-dir", type=Path, help="the folder of the corpus that is named")
    add_layout_arguments(show)
    show.add_argument("--plot", type=Path, help="draw frames, sound, words and features (PNG)")
    show.set_defaults(run=data_show)
    align = commands.add_parser("align", help="rows to rows with one step of sound and picture for each word")
    align.add_argument("rows", type=Path, help="folder of rows that `mm-affect extract` wrote, of words with `spans`")
    align.add_argument("output", type=Path, help="folder of rows to write")
    align.add_argument("--reducer", default="mean", choices=REDUCERS, help="of the frames of a word; default: mean")
    align.add_argument("--overwrite", action="store_true", help="replace earlier rows in the output folder")
    align.set_defaults(run=data_align)
    statistics = commands.add_parser("statistics", help="samples of each class, and how labels correlate")
    statistics.add_argument("rows", type=Path, help="folder of rows, or own corpus")
    statistics.add_argument(
        "--output", type=Path, metavar="TABLES.md", help="write the tables there, and beside it each of them as CSV"
    )
    statistics.set_defaults(run=data_statistics)


def data_doctor(arguments) -> int:
    """`mm-affect data doctor`; 1 if there is a problem."""
    from ..data.doctor import examine, format_report
    from .corpus_program import layout_options

    def progress(split, count):
        if sys.stderr.isatty():
            print(f"\r{split}: {count} rows", end="", file=sys.stderr)

    report = examine(arguments.corpus, arguments.folder, progress=progress, **layout_options(arguments))
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    print(json.dumps(report.to_dict(), indent=1) if arguments.json else "\n".join(format_report(report)))
    return 1 if report.problems else 0


def data_show(arguments) -> None:
    """`mm-affect data show`."""
    from ..data.show import find_row, format_row
    from .corpus_program import layout_options

    options = layout_options(arguments) if arguments.data_dir is not None else {}
    row, corpus, split = find_row(arguments.source, arguments.id, arguments.data_dir, **options)
    print("\n".join(format_row(row, corpus, split)))
    if arguments.plot is not None:
        from ..evaluation.row_plot import plot_row

        print(f"Plot: {plot_row(row, corpus, arguments.plot)}")


def data_align(arguments) -> None:
    """`mm-affect data align`."""
    from ..data.align_rows import NO_TIMES, align_rows

    record = align_rows(arguments.rows, arguments.output, arguments.reducer, arguments.overwrite)
    counts = ", ".join(f"{split} {count}" for split, count in record.counts.items())
    left_out = sum(clip.reason == NO_TIMES for clip in record.dropped)
    print(f"Rows: {arguments.output} ({counts}; {left_out} left out because they have {NO_TIMES})")


def data_statistics(arguments) -> None:
    """`mm-affect data statistics`."""
    from ..data.statistics import as_csv, in_cells, label_statistics, statistics_tables
    from ..evaluation.results import format_markdown_table
    from ..files import write_atomically

    output = arguments.output
    if output is not None and output.suffix != ".md":
        raise ValueError(f"--output is {output}; expected a file name that ends in .md.")
    tables = statistics_tables(label_statistics(arguments.rows))
    shown = {}
    for name, table in tables.items():
        header, *lines = in_cells(table)
        shown[name] = format_markdown_table(header, lines)
    text = f"Samples per class\n\n{shown['counts']}\n\nPearson correlation\n\n{shown['correlations']}"
    print(text)
    if output is not None:
        write_atomically(output, text + "\n")
        for name, table in tables.items():
            write_atomically(output.with_name(f"{output.stem}_{name}.csv"), as_csv(table))


def data_sample(arguments) -> None:
    """`mm-affect data sample`."""
    from ..data import make_sample_corpus

    options = {"workers": arguments.workers, "overwrite": arguments.overwrite}
    folder = make_sample_corpus(arguments.folder, arguments.clips, arguments.seed, **options)
    print(f"Synthetic sample corpus: {folder}")


def data_check(arguments) -> None:
    """`mm-affect data check`."""
    from ..data import read_corpus
    from ..data.schema import describe_weak_labels
    from ..data.splits import describe_protocol

    corpus = read_corpus(arguments.source)
    if arguments.json:
        print(json.dumps(corpus.to_dict(), indent=1))
        return
    print(f"{corpus.name}{' (SYNTHETIC)' if corpus.synthetic else ''}, license: {corpus.license or 'not stated'}")
    print("  rows:    " + ", ".join(f"{split} {count}" for split, count in corpus.counts.items()))
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
