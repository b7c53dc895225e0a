# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The doctor of corpora: which files of which layout are there, whether they can be read, and what would be dropped."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from .builder import in_tables, to_table
from .corpora.layouts import Corpus, CorpusLayout
from .corpora.registry import find_layout, get_corpus


SHOWN = 20  # dropped clips that the report in words names


def examine(
    corpus: str,
    folder: str | Path,
    config: str | None = None,
    progress: Callable[[str, int], None] | None = None,
    **options,
) -> dict:
    """Everything that can be found out about a folder that may hold `corpus`; reads every row and keeps none.

    Returns `corpus`, `folder`, `license`, `access`, `documented`; `layouts`: for each layout `name`, `title`,
    `recognized` and `files` (`path`, `purpose`, `required`, `found`: how many); `layout`, the layout that is read, or
    None; `counts` and `expected` per split, `dropped`, `reported`, `non_finite`; and `problems`, sentences: without
    one all is well.
    `progress` is called with a split and the rows read of it so far.
    """
    known, folder = get_corpus(corpus), Path(folder)
    report = {
        "corpus": known.title,
        "folder": str(folder),
        "license": known.license,
        "access": known.access,
        "documented": known.counts,
        "layouts": [_look_for(layout, folder) for layout in known.layouts],
        "layout": None,
        "counts": {},
        "expected": {},
        "dropped": [],
        "reported": {},
        "non_finite": {},
        "problems": [f"{path} is empty (0 bytes); copy it again." for path in _empty(known, folder)],
    }
    if folder.is_dir() and not any(layout["recognized"] for layout in report["layouts"]):
        report["problems"].append(f"No layout of {known.title} is recognized: files that it needs are missing.")
        return report
    try:
        layout = find_layout(corpus, folder, config, **options)
        report["layout"] = layout.name
        _read(layout, report, progress)
    except (ValueError, OSError, ImportError) as error:
        report["problems"].append(" ".join(str(error).split()))
    return report


def in_words(report: dict) -> Iterator[str]:
    """The lines of a report."""
    yield f"{report['corpus']} in {report['folder']}"
    for layout in report["layouts"]:
        if layout["recognized"] or report["layout"] is None:
            yield f"  {layout['name']}: {layout['title']}{'' if layout['recognized'] else ' - not here'}"
            for file in layout["files"]:
                state = f"{file['found']} found" if file["found"] > 1 else "found" if file["found"] else "MISSING"
                state = "absent, not needed" if not file["found"] and not file["required"] else state
                yield f"    {state:18} {file['path']}: {file['purpose']}"
    if report["layout"] is None:
        yield f"  Where to get it: {report['access']} License: {report['license']}."
    else:
        yield f"  read as: {report['layout']}"
    for split, count in report["counts"].items():
        expected = report["expected"][split]
        against = "no number is documented" if expected is None else f"{expected} expected"
        yield f"  {split:10} {count} rows, {against}{'' if expected in (None, count) else '  <-- differs'}"
    if report["documented"] and report["layout"]:
        yield "  documented: " + ", ".join(f"{name} {count:,}" for name, count in report["documented"].items())
    for kind, count in [
        *report["reported"].items(),
        *(("non-finite " + m, n) for m, n in report["non_finite"].items()),
    ]:
        yield f"  noted: {kind.replace('_', ' ')}: {count}"
    reasons = Counter(clip["reason"] for clip in report["dropped"])
    for reason, count in reasons.most_common():
        yield f"  dropped: {count} because {reason}"
    for clip in report["dropped"][:SHOWN]:
        yield f"    {clip['id']}: {clip['reason']}"
    if len(report["dropped"]) > SHOWN:
        yield f"    ... and {len(report['dropped']) - SHOWN} more (all of them with --json)"
    for problem in report["problems"]:
        yield f"  PROBLEM: {problem}"
    if not report["problems"]:
        yield "  All is well."


def _look_for(layout: type[CorpusLayout], folder: Path) -> dict:
    files = [
        {"path": w.path, "purpose": w.purpose, "required": w.required, "found": len(layout.find_files(folder, w))}
        for w in layout.files
    ]
    return {"name": layout.name, "title": layout.title, "recognized": layout.matches(folder), "files": files}


def _empty(corpus: Corpus, folder: Path) -> list[Path]:
    found = {
        path for layout in corpus.layouts for wanted in layout.files for path in layout.find_files(folder, wanted)
    }
    return sorted(path for path in found if path.is_file() and path.stat().st_size == 0)


def _read(layout: CorpusLayout, report: dict, progress: Callable[[str, int], None] | None) -> None:
    described = layout.describe()
    report["expected"] = described["counts"]
    report["dropped"], report["reported"] = layout.dropped, layout.reported
    non_finite = report["non_finite"] = Counter()
    for split, expected in described["counts"].items():
        report["counts"][split] = 0
        for rows in in_tables(layout.rows(split)):
            non_finite.update(to_table(rows, described["label_fields"], described["sizes"])[1])
            report["counts"][split] += len(rows)
            if progress is not None:
                progress(split, report["counts"][split])
        if expected not in (None, report["counts"][split]) and not layout.options["allow_partial"]:
            report["problems"].append(
                f"{split} has {report['counts'][split]} rows, and {expected} are expected; complete the files, or read "
                "it with allow_partial."
            )
