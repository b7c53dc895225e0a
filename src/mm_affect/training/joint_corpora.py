# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Joint training on a target corpus and auxiliary corpora, with the classes of each label in the order of the first corpus.

Only the target corpus is validated and tested on.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets

from ..data import RowReader, load, read_corpus
from ..data.record import CorpusRecord
from ..features.processor import AffectProcessor
from ..label_field import LabelField


RECORDED = ("name", "synthetic", "license", "counts", "manifest_hash")  # of an auxiliary corpus, in results


@dataclass(frozen=True)
class RunCorpora:
    """Records of the corpora of a run.

    Args:
        target: Record of the target corpus.
        auxiliary: Values of the records of the auxiliary corpora that results keep.
    """

    target: CorpusRecord
    auxiliary: list[dict]

    def identify(self) -> dict:
        """Return what identifies the rows: names, counts and hashes."""
        identity = {name: getattr(self.target, name) for name in ("name", "counts", "manifest_hash")}
        return identity | ({"auxiliary": self.auxiliary} if self.auxiliary else {})


def read_corpora(target: str, auxiliary: list[str]) -> RunCorpora:
    """Read the records of the target corpus and of the auxiliary corpora from their folders."""
    records = [read_corpus(folder).to_dict() for folder in auxiliary]
    return RunCorpora(read_corpus(target), [{name: record[name] for name in RECORDED} for record in records])


class JointRows(Sequence[dict]):
    """Rows of several corpora, one corpus after the other, with their labels in a common order of classes.

    Args:
        parts: Rows of each corpus, and its label fields by name.
        fields: Common label fields, by name; a label that a corpus lacks is unknown.
    """

    def __init__(self, parts: list[tuple[Sequence[dict], dict[str, LabelField]]], fields: dict[str, LabelField]):
        self.rows = [rows for rows, _ in parts]
        self.sizes = [len(rows) for rows in self.rows]
        self.starts = [sum(self.sizes[:i]) for i in range(len(parts))]
        self.orders = [{name: _class_order(field, fields[name]) for name, field in own.items()} for _, own in parts]

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, index: int) -> dict:  # type: ignore[override]  # rows are read one by one, without slices
        if not 0 <= index < len(self):
            raise IndexError(f"Row {index} of {len(self)} rows.")
        part = bisect_right(self.starts, index) - 1
        row = self.rows[part][index - self.starts[part]]
        labels = row["labels"]
        return row | {"labels": {name: _reorder(labels[name], order) for name, order in self.orders[part].items()}}


def join_corpora(
    target: str, auxiliary: list[str], columns: set[str] | None, target_rows: Sequence[dict]
) -> tuple[JointRows, list[LabelField]]:
    """Join the training rows of a target corpus and of auxiliary corpora.

    Args:
        target: Folder of the target corpus.
        auxiliary: Folders of the auxiliary corpora.
        columns: Label columns that are read; None: all.
        target_rows: Training rows of the target corpus.

    Returns:
        The rows, and the label fields of all corpora.

    Raises:
        ValueError: If a corpus has no training rows or none of the columns, an id occurs in two corpora, or two corpora have
            different labels of the same name.
    """
    folders = [target, *auxiliary]
    splits = {folder: load(folder) for folder in folders}
    if len(splits) < len(folders):
        raise ValueError(f"A corpus is named twice in `rows` and `auxiliary` ({', '.join(folders)}); name each once.")
    check_ids(splits)
    fields: dict[str, LabelField] = {}
    owners: dict[str, str] = {}
    parts: list[tuple[Sequence[dict], dict[str, LabelField]]] = []
    for folder in folders:
        own = {f.name: f for f in read_corpus(folder).label_fields if columns is None or f.name in columns}
        if not own and folder != target:
            raise ValueError(f"No task reads the labels of {folder}; remove it from `auxiliary`.")
        if "train" not in splits[folder]:
            raise ValueError(f"{folder} has no train split; it has {', '.join(splits[folder])}.")
        for name, field in own.items():
            if name in fields:
                check_matching_labels(field, fields[name], folder, owners[name])
            fields.setdefault(name, field)
            owners.setdefault(name, folder)
        parts.append((target_rows if folder == target else RowReader(splits[folder]["train"]), own))
    return JointRows(parts, fields), list(fields.values())


def _class_order(field: LabelField, common: LabelField) -> list[int] | None:
    """Return the index in `field` of each class of `common`; None if their orders are the same."""
    return None if field.labels == common.labels else [field.labels.index(name) for name in common.labels]


def _reorder(label, order: list[int] | None):
    """Return a label in the common order of classes."""
    if label is None or order is None:
        return label
    return [label[i] for i in order] if isinstance(label, list) else order.index(label)


def check_matching_labels(field: LabelField, known: LabelField, folder: str, owner: str) -> None:
    """Check that two label fields of the same name have the same meaning and the same source.

    Args:
        field: Label field of one corpus.
        known: Label field of another.
        folder: Folder of the one corpus, for the error message.
        owner: Folder of the other.

    Raises:
        ValueError: If they differ in problem type, classes, range, or source of weak labels.
    """
    name, advice = field.name, "rename one of the columns, or read the corpora in separate runs"
    if field.problem_type != known.problem_type or sorted(field.labels) != sorted(known.labels):
        kinds = [f"{f.problem_type.replace('_', ' ')} ({', '.join(f.labels)})" for f in (known, field)]
        raise ValueError(f"The labels {name!r} are {kinds[0]} in {owner} and {kinds[1]} in {folder}; {advice}.")
    if field.range and known.range and field.range != known.range:
        raise ValueError(
            f"The labels {name!r} have the range {list(known.range)} in {owner} and {list(field.range)} in {folder}; "
            f"{advice}."
        )
    if field.weak != known.weak:
        kinds = [f"predicted by {f.weak.model}" if f.weak else "strong" for f in (known, field)]
        difference = " (by other weights, or with other options)" if kinds[0] == kinds[1] else ""
        raise ValueError(
            f"The labels {name!r} are {kinds[0]} in {owner} and {kinds[1]} in {folder}{difference}; labels of different "
            "sources are not mixed. Give weak labels their own name with `mm-affect weak-labels --name`."
        )


def check_ids(splits: dict[str, datasets.DatasetDict]) -> None:
    """Check that corpora share no ids in any split, so that no test row is trained on.

    Args:
        splits: Folder of a corpus -> its splits.

    Raises:
        ValueError: If two corpora share an id.
    """
    owners: dict[str, set[str]] = {}
    for folder, parts in splits.items():
        ids = {id for rows in parts.values() for id in rows.data.column("id").to_pylist()}
        for other, known in owners.items():
            if ids & known:
                raise ValueError(
                    f"{len(ids & known)} ids are both in {other} and in {folder}, such as {min(ids & known)!r}. Remove "
                    "these rows from one of them, or change their ids if the clips differ."
                )
        owners[folder] = ids


def check_features(processor: AffectProcessor, target: CorpusRecord, folder: str) -> None:
    """Check that an auxiliary corpus has the features that the processor of the run reads.

    Args:
        processor: Processor of the run.
        target: Record of the target corpus.
        folder: Folder of the auxiliary corpus.

    Raises:
        ValueError: If a modality is missing, or its extractor, size or alignment differs.
    """
    corpus = read_corpus(Path(folder))
    for modality, size in processor.feature_sizes.items():
        if modality not in corpus.sizes:
            raise ValueError(
                f"{folder} has no {modality} features, which the run reads; remove it from `auxiliary`, or remove the "
                "modality from `modalities`."
            )
        if corpus.sizes[modality] != size:
            raise ValueError(
                f"The {modality} features of {folder} have the size {corpus.sizes[modality]}, those of the target {size}; "
                "extract both with the same extractors."
            )
    try:
        processor.check_extractors(corpus.extractors)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    if corpus.alignment != target.alignment:
        raise ValueError(
            f"The rows of {folder} and of the target have different word alignments; align both with "
            "`mm-affect data align`."
        )
