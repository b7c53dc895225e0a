# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The columns of a row, and the labels of manifests and rows, checked against their label fields."""

import math
import re
from typing import TYPE_CHECKING

from ..label_field import LabelField, is_finite_number
from ..vocabulary import MODALITIES


if TYPE_CHECKING:
    import datasets


SPLITS = ("train", "validation", "test")
NO_LABEL = "none"  # cell of a row to which no class applies
MAX_INFERRED_CLASSES = 50
RANGE_SLACK = 1e-6  # a bound such as 0.1 comes back from float32 a little larger


def describe_weak_labels(field: LabelField) -> str:
    """Describe the source of the weak labels of a field, as the end of a sentence."""
    weak = field.weak
    if weak is None:
        raise ValueError(f"The labels `{field.name}` are not weak.")
    how = "values" if field.problem_type == "regression" else "probabilities" if weak.soft else "decisions"
    if weak.threshold is not None:
        thresholds = weak.threshold if isinstance(weak.threshold, tuple) else (weak.threshold,)
        how += f" above {', '.join(f'{threshold:g}' for threshold in thresholds)}"
    if weak.least_confidence:
        how += f", unknown below a confidence of {weak.least_confidence:g}"
    return (
        f"predicted by the model {weak.model} (task {weak.task}, weights {weak.weights_sha256[:12]}), whose "
        f"{weak.metric} on its own validation split is {weak.confidence:.3f}; {how}"
    )


def check_label(value, field: LabelField, where: str) -> float | int | list[float] | None:
    """Check a label; return it as a float, a class index, a list of intensities, or None for unknown.

    Args:
        value: the label.
        field: its label field.
        where: place of the row for error messages, such as "manifest.csv line 4".

    Raises:
        ValueError: the label does not fit the field.
    """
    if value is None:
        return None
    name, kind, labels = field.name, field.problem_type, field.labels
    if kind == "single_label_classification":
        if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= int(value) < len(labels):
            raise ValueError(f"{where}: `{name}` is {value!r}; expected a class index from 0 to {len(labels) - 1}.")
        return int(value)
    numbers = [value] if kind == "regression" else value
    if not hasattr(numbers, "__len__") or isinstance(numbers, str) or len(numbers) != len(labels):
        raise ValueError(f"{where}: `{name}` is {value!r}; expected {len(labels)} numbers, one for each label.")
    for number in numbers:
        if not is_finite_number(number):
            raise ValueError(
                f"{where}: `{name}` holds {number!r}; expected a finite number, or nothing if it is unknown."
            )
        low, high = (field.range if field.strict else None) or (-math.inf, math.inf)
        if not low - RANGE_SLACK <= number <= high + RANGE_SLACK:
            raise ValueError(f"{where}: `{name}` is {number:g}, outside its range [{low:g}, {high:g}].")
    numbers = [float(number) for number in numbers]
    return numbers[0] if kind == "regression" else numbers


def parse_label(cell, field: LabelField, where: str):
    """Parse a manifest cell (text, number, list of names or numbers, dict of intensities) as a label; see `check_label`."""
    name, labels = field.name, field.labels
    if is_empty(cell) or (isinstance(cell, dict) and all(is_empty(number) for number in cell.values())):
        return None
    if field.problem_type == "regression":
        return check_label(_number(cell), field, where)
    if field.problem_type == "single_label_classification":
        return _class_index(class_name(cell), field, where)
    if isinstance(cell, dict):
        missing = [label for label in labels if is_empty(cell.get(label))]
        if missing:
            raise ValueError(
                f"{where}: `{name}.{missing[0]}` has no value; fill all of `{name}.*`, or none if unknown."
            )
        return check_label([_number(cell[label]) for label in labels], field, where)
    if isinstance(cell, str):
        cell = [] if cell.strip() == NO_LABEL else [part.strip() for part in cell.split("|")]
    if not isinstance(cell, list):
        raise ValueError(f"{where}: `{name}` is {cell!r}; expected class names such as 'happy|sad', or '{NO_LABEL}'.")
    if cell and all(is_finite_number(number) for number in cell):
        return check_label(cell, field, where)
    present = {_class_index(class_name(part), field, where) for part in cell}
    return check_label([float(index in present) for index in range(len(labels))], field, where)


def infer_label_field(name: str, cells: list) -> LabelField:
    """Infer the label field of a manifest column.

    Numbers with a fraction are a regression; texts, or few whole numbers from 0 up, are classes; `happy|sad`, a list of
    names, or the columns `name.class` together are a multi-label field.

    Raises:
        ValueError: the column is ambiguous; the message asks for a declaration in corpus.json.
    """
    known = [cell for cell in cells if not is_empty(cell)]
    declare = (
        "declare the corpus' labels under `label_fields` in corpus.json (columns that it leaves out are not read)"
    )
    if not known:
        raise ValueError(f"Label column `{name}` is empty in every row: remove it, or {declare}.")
    if all(isinstance(cell, dict) for cell in known):
        return _field(name, "multi_label_classification", list(known[0]))
    if any(isinstance(cell, list) or (isinstance(cell, str) and "|" in cell) for cell in known):
        parts = [cell.split("|") if isinstance(cell, str) else cell for cell in known]
        if not all(isinstance(part, list) and all(isinstance(label, str) for label in part) for part in parts):
            raise ValueError(f"Label column `{name}` mixes lists of names with other values: {declare}.")
        return _field(
            name, "multi_label_classification", sorted({p.strip() for part in parts for p in part} - {NO_LABEL})
        )
    numbers = [_number(cell) for cell in known]
    if all(isinstance(number, float) for number in numbers):
        if any(number != math.floor(number) for number in numbers if math.isfinite(number)):
            return _field(name, "regression", [name])
        if min(numbers) < 0 or len(set(numbers)) > 10:
            raise ValueError(
                f"Label column `{name}` holds whole numbers from {min(numbers):g} to {max(numbers):g}, which may be "
                f"classes or a scale: {declare}."
            )
        return _field(name, "single_label_classification", sorted({class_name(cell) for cell in known}, key=float))
    odd = {str(cell).strip() for cell, number in zip(known, numbers) if not isinstance(number, float)}
    if len(odd) < len(set(map(str, known))) and all(
        re.fullmatch(r"[+-]?(nan|inf|infinity)", text, re.I) for text in odd
    ):
        raise ValueError(
            f"Label column `{name}` holds {min(odd)!r} among numbers; leave a cell empty if it is unknown."
        )
    names = sorted({class_name(cell) for cell in known})
    if len(names) > MAX_INFERRED_CLASSES or (len(names) == len(known) and len(known) > 10):
        raise ValueError(f"Column `{name}` holds {len(names)} different texts, too many to be classes: {declare}.")
    return _field(name, "single_label_classification", names)


def features(label_fields: list[LabelField], sizes: dict[str, int]) -> "datasets.Features":
    """Return the columns of a dataset; a missing modality has size 1 and zero steps in every row.

    There is no `labels` column if there are no label fields: Parquet has no empty struct.
    """
    import datasets

    def ragged(size: int) -> datasets.List:
        return datasets.List(datasets.List(datasets.Value("float32"), length=size))

    def label(field: LabelField):
        if field.problem_type == "single_label_classification":
            return datasets.ClassLabel(names=list(field.labels))
        if field.problem_type == "regression":
            return datasets.Value("float32")
        return datasets.List(datasets.Value("float32"), length=len(field.labels))

    columns = {name: datasets.Value("string") for name in ("id", "group", "transcript")}
    columns["spans"] = ragged(2)
    columns |= {modality: ragged(sizes.get(modality, 1)) for modality in MODALITIES}
    columns |= {name: datasets.Value("string") for name in ("audio_file", "video_file")}
    columns |= {name: datasets.Value("float32") for name in ("start", "end")}
    if label_fields:
        columns["labels"] = {field.name: label(field) for field in label_fields}
    return datasets.Features(columns)


def is_empty(cell) -> bool:
    """Return True if a manifest cell is absent, blank or NaN."""
    return (
        cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and math.isnan(cell))
    )


def class_name(cell) -> str:
    """Return the class name of a cell: 1 and 1.0 are "1", true is "true"."""
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _class_index(label: str, field: LabelField, where: str) -> int:
    if label not in field.labels:
        raise ValueError(f"{where}: `{field.name}` is {label!r}; its classes are {', '.join(field.labels)}.")
    return field.labels.index(label)


def _number(cell):
    """Return a cell as a float, or unchanged if it is not a number, so that the error message can show it."""
    if isinstance(cell, str) and re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", cell):
        return float(cell)
    return float(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else cell


def _field(name: str, problem_type: str, labels: list[str]) -> LabelField:
    return LabelField(name, problem_type, tuple(labels))
