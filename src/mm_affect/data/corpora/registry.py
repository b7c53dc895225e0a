# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The published corpora by name, and the detection of the layout that a folder holds.

Importing this module is cheap: the module of a corpus is imported when the corpus is asked for.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from ...messages import did_you_mean
from .layouts import Corpus, CorpusLayout


CORPORA = ("cmu_mosei", "cmu_mosi", "iemocap", "mustard", "voxceleb2", "ict_mmmo")  # each is the name of a module
READER_VERSION = 1  # incremented when the readers produce different rows from the same files
HASHED_FILE_BYTES = 2**20  # the fingerprint covers the contents of smaller files


def get_corpus(name: str) -> Corpus:
    """Return the corpus `name`. Raises `ValueError` if there is none."""
    if name not in CORPORA:
        raise ValueError(f"There is no corpus {name!r}.{did_you_mean(name, CORPORA)}")
    return import_module(f".{name}", __package__).CORPUS


def find_layout(corpus: str, folder: str | Path, config: str | None = None, **options) -> CorpusLayout:
    """Detect the layout in which a folder holds a corpus.

    If a folder holds several layouts, complete ones take precedence, then the order in which the corpus lists them.

    Args:
        corpus: name of the corpus.
        folder: folder of the corpus, or one of the files of a layout.
        config: named configuration of the corpus; by default the first one whose layout is found.
        options: options of the layout. `layout` selects a layout by its name.

    Raises:
        FileNotFoundError: if the folder does not exist.
        PermissionError: if it cannot be read.
        ValueError: if no layout matches (the message lists the expected files and says where to get them), or if the
            configuration or an option is unknown.
    """
    known, path = get_corpus(corpus), Path(folder)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. {known.access}")
    home = path.parent if path.is_file() else path
    if not os.access(home, os.R_OK | os.X_OK):
        raise PermissionError(f"{home} is not readable for this user; change its permissions, or copy the files.")
    if config is not None and config not in known.configs:
        raise ValueError(f"{known.title} has no configuration {config!r}; known: {', '.join(known.configs)}.")
    requested = options.pop("layout", None)
    if requested is not None and requested not in {layout.name for layout in known.layouts}:
        names = ", ".join(layout.name for layout in known.layouts)
        raise ValueError(f"{known.title} has no layout {requested!r}; known: {names}.")
    candidates = [
        layout for layout in known.layouts if layout.matches(home) and (path == home or _includes(layout, path))
    ]
    candidates.sort(key=lambda layout: not _is_complete(layout, home))
    for settings in [known.configs[config]] if config is not None else known.configs.values():
        allowed = {name for name in (settings.get("layout"), requested) if name is not None}
        for layout in candidates:
            if allowed <= {layout.name}:
                return layout(home, {key: value for key, value in settings.items() if key != "layout"} | options)
    raise ValueError(
        _no_match_message(known, home, path, requested or (known.configs[config].get("layout") if config else None))
    )


def _includes(layout: type[CorpusLayout], path: Path) -> bool:
    return any(path in layout.find_files(path.parent, file) for file in layout.files)


def _is_complete(layout: type[CorpusLayout], home: Path) -> bool:
    return all(layout.find_files(home, file) for file in layout.files if file.required)


def _no_match_message(known: Corpus, home: Path, path: Path, requested: str | None) -> str:
    """List the files of every layout that are present and missing, and say where to get the corpus."""
    asked = f" that can be read as {requested}" if requested else ""
    lines = [f"{path} holds no layout of {known.title}{asked}; looked for:"]
    for layout in known.layouts:
        if requested in (None, layout.name):
            exists = {file.path: bool(layout.find_files(home, file)) for file in layout.files}
            present = ", ".join(name for name, there in exists.items() if there) or "nothing"
            missing = ", ".join(name for name, there in exists.items() if not there) or "nothing"
            lines.append(f"  {layout.name}: found {present}; missing {missing}")
    return "\n".join([*lines, f"License: {known.license}. {known.access}"])


def fingerprint(layout: CorpusLayout) -> str:
    """Return a sha256 of the layout, its options, and the paths, sizes and modification times of its files.

    The contents of small files that the layout names are included, so that a repaired file never yields the cached rows
    of the broken one.
    """
    digest = hashlib.sha256(
        json.dumps([READER_VERSION, layout.name, sorted((k, str(v)) for k, v in layout.options.items())]).encode()
    )
    tops = {path for file in layout.files for path in layout.find_files(layout.folder, file)}
    tops |= {Path(v) for v in layout.options.values() if isinstance(v, str | Path) and os.path.isfile(v)}
    for top in sorted(tops):
        for path, state in _walk_files(top):
            digest.update(f"{path}\t{state.st_size}\t{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        if top.is_file() and top.stat().st_size < HASHED_FILE_BYTES:
            digest.update(top.read_bytes())
    return digest.hexdigest()


def _walk_files(top: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Iterate over the files at or below `top` in a fixed order, holding one folder in memory at a time."""
    if top.is_file():
        yield str(top), top.stat()
        return
    for folder, subfolders, names in os.walk(top):
        subfolders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                yield path, os.stat(path)
