# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every corpus by its name: which copy a folder holds is found out, and its rows become a DatasetDict."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import datasets

from ...messages import did_you_mean
from ..builder import AffectBuilder
from . import cmu_mosei, cmu_mosi, ict_mmmo, iemocap, mustard, voxceleb2
from .layouts import Copy, Corpus


CORPORA: dict[str, Corpus] = {
    module.CORPUS.name: module.CORPUS for module in (cmu_mosei, cmu_mosi, iemocap, mustard, voxceleb2, ict_mmmo)
}
READERS = 1  # raised when readers change what rows they make of the same files
SMALL = 2**20  # bytes of a file whose contents are part of the fingerprint

logger = logging.getLogger(__name__)


def get_corpus(name: str) -> Corpus:
    """The corpus of that name; raises `ValueError` with the nearest name."""
    if name not in CORPORA:
        raise ValueError(f"There is no corpus {name!r}.{did_you_mean(name, CORPORA)}")
    return CORPORA[name]


def find_copy(corpus: str, folder: str | Path, config: str | None = None, **options) -> Copy:
    """The copy of `corpus` that `folder` holds (or the one that a file of it belongs to), with its options.

    Where a folder holds several, complete ones come first, in the order of the corpus; the option `copy` names another.
    Raises `ValueError` that says what was looked for and whom to ask, or `FileNotFoundError` if there is no such folder.
    """
    known, path = get_corpus(corpus), Path(folder)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. {known.access}")
    home = path.parent if path.is_file() else path
    if not os.access(home, os.R_OK | os.X_OK):
        raise PermissionError(f"{home} may not be read by this user; change its permissions, or copy the files.")
    if config is not None and config not in known.configs:
        raise ValueError(f"{known.title} has no configuration {config!r}; known: {', '.join(known.configs)}.")
    asked = options.pop("copy", None)
    if asked is not None and asked not in {copy.name for copy in known.copies}:
        raise ValueError(
            f"{known.title} has no copy {asked!r}; known: {', '.join(copy.name for copy in known.copies)}."
        )
    recognized = [copy for copy in known.copies if copy.recognize(home) and (path == home or _reads(copy, path))]
    recognized.sort(key=lambda copy: not _is_complete(copy, home))
    for settings in [known.configs[config]] if config is not None else known.configs.values():
        wanted = {name for name in (settings.get("copy"), asked) if name is not None}
        for copy in recognized:
            if wanted <= {copy.name}:
                return copy(home, {key: value for key, value in settings.items() if key != "copy"} | options)
    raise ValueError(
        _nothing_found(known, home, path, asked or (known.configs[config].get("copy") if config else None))
    )


def _reads(copy: type[Copy], path: Path) -> bool:
    return any(path in copy.find(path.parent, wanted) for wanted in copy.wanted)


def _is_complete(copy: type[Copy], home: Path) -> bool:
    return all(copy.find(home, wanted) for wanted in copy.wanted if wanted.required)


def _nothing_found(known: Corpus, home: Path, path: Path, asked: str | None) -> str:
    """What is there and what is missing of every copy, and whom to ask."""
    lines = [f"{path} holds no copy of {known.title} that can be read{f' as {asked}' if asked else ''}; looked for:"]
    for copy in known.copies:
        if asked in (None, copy.name):
            states = [(wanted, bool(copy.find(home, wanted))) for wanted in copy.wanted]
            found = [wanted.path for wanted, there in states if there]
            missing = [wanted.path for wanted, there in states if not there]
            lines.append(
                f"  {copy.name}: found {', '.join(found) or 'nothing'}; missing {', '.join(missing) or 'nothing'}"
            )
    return "\n".join([*lines, f"License: {known.license}. {known.access}"])


def fingerprint(copy: Copy) -> str:
    """sha256 of which copy is read, with which options, and of the paths, sizes and times of change of its files.

    Contents too of small files that the copy names, so that a repaired file never yields what the broken one held.
    """
    found = hashlib.sha256(
        json.dumps([READERS, copy.name, sorted((k, str(v)) for k, v in copy.options.items())]).encode()
    )
    named = {path for wanted in copy.wanted for path in copy.find(copy.folder, wanted)}
    named |= {Path(v) for v in copy.options.values() if isinstance(v, str | Path) and os.path.isfile(v)}
    for top in sorted(named):
        for path, state in _files(top):
            found.update(f"{path}\t{state.st_size}\t{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        if top.is_file() and top.stat().st_size < SMALL:
            found.update(top.read_bytes())
    return found.hexdigest()


def _files(top: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file at or below `top`, in a fixed order, one folder in memory at a time."""
    if top.is_file():
        yield str(top), top.stat()
        return
    for folder, below, names in os.walk(top):
        below.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                yield path, os.stat(path)


class CorpusBuilder(AffectBuilder):
    """The builder of a copy. What the copy says of itself is kept in the cache, so that a file is not read twice."""

    def __init__(self, copy: Copy, corpus: str, cache_dir: str | Path | None = None):
        self.copy = copy
        hashed = fingerprint(copy)
        cache = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
        self._described = cache / "mm_affect_copies" / f"{corpus}-{hashed}.json"
        super().__init__(
            data_dir=str(copy.folder.resolve()),
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name=corpus,
            manifest_hash=hashed,
            allow_partial=copy.options["allow_partial"],
        )
        self.dropped, self.reported = copy.dropped, copy.reported

    def describe(self) -> dict:
        if not self._described.is_file():
            self._described.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._described.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(self.copy.describe() | {"copy": self.copy.name}), encoding="utf-8")
            os.replace(temporary, self._described)
        return json.loads(self._described.read_text(encoding="utf-8"))

    def read_rows(self, split: str) -> Iterator[dict]:
        return self.copy.rows(split)

    def as_splits(self) -> datasets.DatasetDict:
        """The prepared splits that have rows; a partial copy may lack some."""
        counts = self.record["counts"]
        if not any(counts.values()):
            raise ValueError(
                f"{self.copy.folder} holds no rows of {self.record['name']}; see what was dropped with the doctor."
            )
        return datasets.DatasetDict({split: self.as_dataset(split) for split, count in counts.items() if count})


def load_corpus(
    name: str,
    data_dir: str | Path,
    config: str | None = None,
    allow_partial: bool = False,
    cache_dir: str | Path | None = None,
    streaming: bool = False,
    **options,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    """The splits of the copy of a corpus that `data_dir` holds: a folder, or one of its files.

    `options` are those of the copy, and `copy` chooses one where there are several. Raises `ValueError` if a split has
    another number of rows than is documented, unless `allow_partial`. What was dropped and what is odd is logged; all of
    it is in `corpus.json` of the cached data set.
    """
    copy = find_copy(name, data_dir, config, allow_partial=allow_partial, **options)
    builder = CorpusBuilder(copy, name, cache_dir)
    if streaming:
        return datasets.IterableDatasetDict({s: builder.as_streaming_dataset(s) for s in builder.describe()["counts"]})
    builder.download_and_prepare()
    _tell(builder.record)
    return builder.as_splits()


def _tell(record: dict) -> None:
    """Log what was read, as far as it is not simply all there."""
    reasons = Counter(clip["reason"] for clip in record["dropped"])
    odd = [f"{count} dropped because {reason}" for reason, count in reasons.items()]
    odd += [f"{count} {kind.replace('_', ' ')}" for kind, count in record["reported"].items()]
    if odd:
        counts = ", ".join(f"{split} {count}" for split, count in record["counts"].items())
        logger.warning("%s (%s): %s; %s.", record["name"], record["copy"], counts, "; ".join(odd))
