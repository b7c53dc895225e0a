# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several corpora as one: training rows of a target and of auxiliary corpora, with labels in the words of the first that
has them. Validation and test rows are the target's alone.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..data import RowReader, load, read_corpus
from ..data.record import CorpusRecord
from ..features.processor import AffectProcessor
from ..label_field import LabelField


RECORDED = ("name", "synthetic", "license", "counts", "manifest_hash")  # of an auxiliary corpus, in results


@dataclass(frozen=True)
class RunCorpus:
    """The corpora of a run.

    Args:
        target: record of the target corpus.
        training_fields: label fields of the training rows, those of auxiliary corpora included.
        auxiliary: values of the records of auxiliary corpora that results keep.
        labels_used: label column -> known and used labels of the training rows, if only a fraction of them is used.
        pretrained: description of the pretrained weights, if the run starts from some.
    """

    target: CorpusRecord
    training_fields: list[LabelField]
    auxiliary: list[dict] = field(default_factory=list)
    labels_used: dict[str, dict[str, int]] | None = None
    pretrained: dict | None = None

    def to_dict(self) -> dict:
        """Return what results keep of the corpora."""
        names = ("name", "synthetic", "license", "counts", "manifest_hash", "split_protocol")
        auxiliary = {"auxiliary": self.auxiliary} if self.auxiliary else {}
        labels_used = {} if self.labels_used is None else {"labels_used": self.labels_used}
        return {name: getattr(self.target, name) for name in names} | auxiliary | labels_used


def read_corpora(data: str, auxiliary: list[str]) -> RunCorpus:
    """Read the records of the target corpus and of the auxiliary corpora."""
    target = read_corpus(data)
    records = [read_corpus(folder).to_dict() for folder in auxiliary]
    return RunCorpus(target, target.label_fields, [{name: record[name] for name in RECORDED} for record in records])


def join_corpora(
    data: str, auxiliary: list[str], columns: set[str] | None = None, target: Sequence | None = None
) -> tuple[dict, list[LabelField]]:
    """The target's splits with `JointRows` for training, and the label fields of all corpora.

    Args:
        data, auxiliary: folders of rows, the target's and the others'.
        columns: the label columns that are read; default: all.
        target: the training rows of the target; default: all of them.

    Raises:
        ValueError: a corpus has no training rows, or none of the columns; an id is in two corpora; or two corpora have
            different labels under one name.
    """
    folders = [data, *auxiliary]
    splits = {folder: load(folder) for folder in folders}
    if len(splits) < len(folders):
        raise ValueError(f"A corpus is named twice in `rows` and `auxiliary` ({', '.join(folders)}); name each once.")
    check_ids(splits)
    fields, owners, parts = {}, {}, []
    for folder in folders:
        own = {f.name: f for f in read_corpus(folder).label_fields if columns is None or f.name in columns}
        if not own and folder != data:
            raise ValueError(f"No task reads the labels of {folder}, so it would teach nothing; leave it out.")
        if "train" not in splits[folder]:
            raise ValueError(f"{folder} has no train split; it has {', '.join(splits[folder])}.")
        for name, column in own.items():
            if name in fields:
                check_matching_labels(column, fields[name], folder, owners[name])
            fields.setdefault(name, column)
            owners.setdefault(name, folder)
        whole = target is None or folder != data
        parts.append((RowReader(splits[folder]["train"]) if whole else target, own))
    return dict(splits[data]) | {"train": JointRows(parts, fields)}, list(fields.values())


class JointRows(Sequence):
    """Rows of several corpora, one after the other; labels in the order of classes of `fields`.

    Args:
        parts: of each corpus its rows, and its label fields by name.
        fields: the fields of all of them, by name; a label that a corpus does not have is unknown.
    """

    def __init__(self, parts: list[tuple[Sequence, dict]], fields: dict):
        self.rows = [rows for rows, _ in parts]
        self.sizes = [len(rows) for rows in self.rows]
        self.starts = [sum(self.sizes[:i]) for i in range(len(parts))]
        self.orders = [{name: _order(column, fields[name]) for name, column in own.items()} for _, own in parts]

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"Row {index} of {len(self)} rows.")
        part = bisect_right(self.starts, index) - 1
        row = self.rows[part][index - self.starts[part]]
        given = row["labels"]
        return row | {"labels": {name: _in_order(given[name], order) for name, order in self.orders[part].items()}}


def _order(column: LabelField, common: LabelField) -> list[int] | None:
    """Return the index in `column` of each class of `common`; None if they are in one order already."""
    return None if column.labels == common.labels else [column.labels.index(name) for name in common.labels]


def _in_order(label, order: list[int] | None):
    if label is None or order is None:
        return label
    return [label[i] for i in order] if isinstance(label, list) else order.index(label)


def check_matching_labels(column: LabelField, known: LabelField, folder: str, owner: str) -> None:
    """Refuse two fields of one name that mean different things, or come from different sources."""
    name, advice = column.name, "name one of the columns otherwise, or read the corpora in separate runs"
    if column.problem_type != known.problem_type or sorted(column.labels) != sorted(known.labels):
        kinds = [f"{f.problem_type.replace('_', ' ')} ({', '.join(f.labels)})" for f in (known, column)]
        raise ValueError(f"The labels {name!r} are {kinds[0]} in {owner} and {kinds[1]} in {folder}; {advice}.")
    if column.range and known.range and column.range != known.range:
        raise ValueError(
            f"The labels {name!r} range over {list(known.range)} in {owner} and {list(column.range)} in {folder}; "
            f"{advice}."
        )
    if column.weak != known.weak:
        kinds = [f"predicted by {f.weak.model}" if f.weak else "strong" for f in (known, column)]
        difference = " (by other weights, or with other options)" if kinds[0] == kinds[1] else ""
        raise ValueError(
            f"The labels {name!r} are {kinds[0]} in {owner} and {kinds[1]} in {folder}{difference}, and are never mixed; "
            "give weak labels a name of their own with `mm-affect weak-labels --name`."
        )


def check_ids(splits: dict[str, dict]) -> None:
    """Refuse corpora that share an id, whatever the split: what is trained on would be tested on."""
    owners = {}
    for folder, parts in splits.items():
        ids = {id for rows in parts.values() for id in rows.data.column("id").to_pylist()}
        for other, known in owners.items():
            if ids & known:
                raise ValueError(
                    f"{len(ids & known)} ids are both in {other} and in {folder}, such as {min(ids & known)!r}; take "
                    "these rows out of one of them, or give them other ids if they are other clips."
                )
        owners[folder] = ids


def check_features(processor: AffectProcessor, target: CorpusRecord, folder: str) -> None:
    """Refuse an auxiliary corpus whose features are not those that the processor of the run reads.

    Raises:
        ValueError: a modality is missing, or was made in another way, another size or another alignment.
    """
    corpus = read_corpus(Path(folder))
    for modality, size in processor.feature_sizes.items():
        if modality not in corpus.sizes:
            raise ValueError(
                f"{folder} has no {modality} features, which the run reads; leave it out, or narrow `modalities`."
            )
        if corpus.sizes[modality] != size:
            raise ValueError(
                f"The {modality} features of {folder} have {corpus.sizes[modality]} numbers per step, those of the "
                f"target {size}; extract both in the same way."
            )
    try:
        processor.check_extractors(corpus.extractors)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    if corpus.alignment != target.alignment:
        raise ValueError(
            f"The rows of {folder} and of the target are not aligned to words in the same way; align both with "
            "`mm-affect data align`."
        )
