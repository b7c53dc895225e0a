# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The doctor of corpora: which files of which layout a folder holds, if they can be read, and which clips are dropped."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from .builder import in_tables, to_table
from .corpora.layouts import Corpus, CorpusLayout
from .corpora.registry import find_layout, get_corpus
from .record import CorpusRecord, DroppedClip


MAX_DROPPED_CLIPS = 20  # dropped clips that the printed report names


@dataclass(frozen=True)
class FileReport:
    """A file or glob pattern of a layout, and the number of files that match it."""

    path: str
    purpose: str
    required: bool
    found: int


@dataclass(frozen=True)
class LayoutReport:
    """A layout of a corpus, and which of its files a folder holds."""

    name: str
    title: str
    recognized: bool
    files: list[FileReport]


@dataclass(frozen=True)
class DoctorReport:
    """State of a folder that may hold a corpus.

    Args:
        corpus: title of the corpus.
        folder: the folder.
        license: license of the corpus.
        access: where to get the files.
        documented: documented numbers of rows, by configuration or split.
        layouts: every layout of the corpus.
        layout: name of the layout that was read, or None.
        counts: split -> number of rows that were read.
        expected: split -> documented number of rows, or None.
        dropped: clips without a row.
        reported: kind of oddity -> number of clips.
        non_finite: modality -> number of values that are not finite.
        problems: sentences; if there is none, all is well.
    """

    corpus: str
    folder: str
    license: str
    access: str
    documented: dict[str, int]
    layouts: list[LayoutReport]
    layout: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    expected: Mapping[str, int | None] = field(default_factory=dict)
    dropped: list[DroppedClip] = field(default_factory=list)
    reported: Counter = field(default_factory=Counter)
    non_finite: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict:
        """Return the JSON form."""
        counters = {"reported": dict(self.reported), "non_finite": dict(self.non_finite)}
        return asdict(replace(self, reported=Counter(), non_finite=Counter())) | counters  # `asdict` breaks counters


def examine(
    corpus: str,
    folder: str | Path,
    config: str | None = None,
    progress: Callable[[str, int], None] | None = None,
    **options,
) -> DoctorReport:
    """Examine a folder that may hold a corpus; every row is read and none is kept.

    Args:
        corpus: name of the corpus.
        folder: the folder.
        config: named configuration of the corpus.
        progress: called with a split and the number of its rows read so far.
        options: options of the layout.
    """
    known, folder = get_corpus(corpus), Path(folder)
    report = DoctorReport(
        corpus=known.title,
        folder=str(folder),
        license=known.license,
        access=known.access,
        documented=known.counts,
        layouts=[_report_layout(layout, folder) for layout in known.layouts],
        problems=[f"{path} is empty (0 bytes); copy it again." for path in _empty(known, folder)],
    )
    if folder.is_dir() and not any(layout.recognized for layout in report.layouts):
        report.problems.append(f"No layout of {known.title} is recognized: files that it needs are missing.")
        return report
    try:
        layout = find_layout(corpus, folder, config, **options)
        report = replace(report, layout=layout.name)
        record = layout.describe()
        report = replace(report, expected=record.counts, dropped=layout.dropped, reported=layout.reported)
        _read(layout, record, report, progress)
    except (ValueError, OSError, ImportError) as error:
        report.problems.append(" ".join(str(error).split()))
    return report


def format_report(report: DoctorReport) -> Iterator[str]:
    """Yield the lines of a report."""
    yield f"{report.corpus} in {report.folder}"
    for layout in report.layouts:
        if layout.recognized or report.layout is None:
            yield f"  {layout.name}: {layout.title}{'' if layout.recognized else ' - not here'}"
            for file in layout.files:
                state = f"{file.found} found" if file.found > 1 else "found" if file.found else "MISSING"
                state = "absent, not needed" if not file.found and not file.required else state
                yield f"    {state:18} {file.path}: {file.purpose}"
    if report.layout is None:
        yield f"  Where to get it: {report.access} License: {report.license}."
    else:
        yield f"  read as: {report.layout}"
    for split, count in report.counts.items():
        expected = report.expected[split]
        against = "no number is documented" if expected is None else f"{expected} expected"
        yield f"  {split:10} {count} rows, {against}{'' if expected in (None, count) else '  <-- differs'}"
    if report.documented and report.layout:
        yield "  documented: " + ", ".join(f"{name} {count:,}" for name, count in report.documented.items())
    non_finite = {f"non-finite {modality}": count for modality, count in report.non_finite.items()}
    for kind, count in [*report.reported.items(), *non_finite.items()]:
        yield f"  noted: {kind.replace('_', ' ')}: {count}"
    for reason, count in Counter(clip.reason for clip in report.dropped).most_common():
        yield f"  dropped: {count} because {reason}"
    for clip in report.dropped[:MAX_DROPPED_CLIPS]:
        yield f"    {clip.id}: {clip.reason}"
    if len(report.dropped) > MAX_DROPPED_CLIPS:
        yield f"    ... and {len(report.dropped) - MAX_DROPPED_CLIPS} more (all of them with --json)"
    for problem in report.problems:
        yield f"  PROBLEM: {problem}"
    if not report.problems:
        yield "  All is well."


def _report_layout(layout: type[CorpusLayout], folder: Path) -> LayoutReport:
    files = [
        FileReport(file.path, file.purpose, file.required, len(layout.find_files(folder, file)))
        for file in layout.files
    ]
    return LayoutReport(layout.name, layout.title, layout.matches(folder), files)


def _empty(corpus: Corpus, folder: Path) -> list[Path]:
    paths = {path for layout in corpus.layouts for file in layout.files for path in layout.find_files(folder, file)}
    return sorted(path for path in paths if path.is_file() and path.stat().st_size == 0)


def _read(
    layout: CorpusLayout, record: CorpusRecord, report: DoctorReport, progress: Callable[[str, int], None] | None
) -> None:
    """Read every row, and fill the counts and problems of the report."""
    for split, expected in record.counts.items():
        report.counts[split] = 0
        for rows in in_tables(layout.rows(split)):
            report.non_finite.update(to_table(rows, record.label_fields, record.sizes)[1])
            report.counts[split] += len(rows)
            if progress is not None:
                progress(split, report.counts[split])
        if expected not in (None, report.counts[split]) and not layout.options["allow_partial"]:
            report.problems.append(
                f"{split} has {report.counts[split]} rows, and {expected} are expected; complete the files, or "
                "accept these counts (`--allow-partial`, in Python `allow_partial=True`)."
            )
