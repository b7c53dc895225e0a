# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The benchmark of the twelve models of Dai et al. (2021): their configs, and tables like Tables 3 and 6 of the paper.

Learning rates and batch sizes are those of Tables 7 (IEMOCAP) and 8 (CMU-MOSEI); the sizes of each model are those of the
preset `paper` of its config for the corpus. All other training options are the defaults of `TrainingOptions`, which follow the
same paper. Differences to the paper: its learning rate of 2e-4 for MulT is not in the grid that it describes, and is used as
printed; emotions are multi-label for every corpus, so a column with one emotion per row is read as several labels.
"""

from pathlib import Path
from typing import NamedTuple

from ..evaluation.metrics import get_definition
from ..evaluation.results import Results, format_latex_table, format_markdown_table, format_score
from ..label_field import LabelField
from ..messages import did_you_mean
from ..training.config import RunConfig


class Backbone(NamedTuple):
    """A model of the benchmark.

    Args:
        architecture: `model_type` of its config.
        model: Fields of its config; `{corpus}` stands for the corpus whose configuration is used.
        iemocap: Learning rate and batch size for IEMOCAP.
        cmu_mosei: Learning rate and batch size for CMU-MOSEI.
    """

    architecture: str
    model: dict
    iemocap: tuple[float, int]
    cmu_mosei: tuple[float, int]


def _fusion(fusion: str, encoder: str, iemocap: tuple[float, int], cmu_mosei: tuple[float, int]) -> Backbone:
    return Backbone(
        "mm_affect_fusion", {"corpus": "{corpus}", "fusion": fusion, "encoder": encoder}, iemocap, cmu_mosei
    )


CORPORA = ("cmu_mosei", "iemocap")
BACKBONES = {
    "EF-AVG": _fusion("ef", "avg", (1e-3, 64), (5e-4, 256)),
    "EF-LSTM": _fusion("ef", "lstm", (5e-4, 128), (5e-5, 32)),
    "EF-TRANS": _fusion("ef", "trans", (5e-5, 64), (5e-5, 32)),
    "LF-AVG": _fusion("lf", "avg", (1e-3, 32), (5e-4, 256)),
    "LF-LSTM": _fusion("lf", "lstm", (1e-3, 128), (5e-5, 32)),
    "LF-TRANS": _fusion("lf", "trans", (1e-4, 128), (5e-5, 64)),
    "EF-LF-AVG": _fusion("ef_lf", "avg", (5e-4, 64), (5e-4, 256)),
    "EF-LF-LSTM": _fusion("ef_lf", "lstm", (5e-4, 128), (1e-4, 32)),
    "EF-LF-TRANS": _fusion("ef_lf", "trans", (1e-4, 256), (5e-5, 64)),
    "MulT": Backbone("mm_affect_mult", {"corpus": "{corpus}"}, (2e-4, 32), (1e-4, 32)),
    "MFN": Backbone("mm_affect_mfn", {"corpus": "{corpus}"}, (1e-3, 128), (1e-4, 128)),
    "EMO-EMB": Backbone("mm_affect_emo_emb", {}, (5e-4, 64), (5e-5, 256)),
}


def benchmark_config(name: str, rows: Path, folder: Path, task: dict, corpus: str, overrides: dict) -> RunConfig:
    """Create the config of the run of one model.

    Args:
        name: Name of the model, a key of `BACKBONES`.
        rows: Folder of rows.
        folder: Folder of the benchmark; the run goes below it.
        task: Fields of the task, see `benchmark_task`.
        corpus: Corpus whose learning rate, batch size and sizes are used, one of `CORPORA`.
        overrides: Overrides of fields, see `RunConfig.load`.
    """
    backbone = BACKBONES[name]
    learning_rate, batch_size = getattr(backbone, corpus)
    model = {field: corpus if value == "{corpus}" else value for field, value in backbone.model.items()}
    fields = {
        "name": name,
        "rows": str(rows),
        "output": str(folder / "runs" / name),
        "architecture": backbone.architecture,
        "model": model,
        "tasks": [task],
        "training": {"learning_rate": learning_rate, "batch_size": batch_size},
    }
    return RunConfig.from_dict(fields, overrides)


def benchmark_task(label_fields: list[LabelField], name: str) -> dict:
    """Return the fields of the task of the benchmark for a label column; three or more classes become multi-label.

    Args:
        label_fields: Label fields of the rows.
        name: Name of the label column.

    Raises:
        ValueError: If there is no such column.
    """
    fields = {field.name: field for field in label_fields}
    if name not in fields:
        raise ValueError(f"The rows have no label {name!r}; choose another --task.{did_you_mean(name, fields)}")
    field = fields[name]
    kind, labels = field.problem_type, list(field.labels)
    if kind == "regression":
        return {"name": name, "problem_type": kind, "value_range": field.range and list(field.range)}
    kind = "multi_label_classification" if len(labels) > 2 else kind
    return {"name": name, "problem_type": kind, "labels": labels}


def score_columns(list_of_results: list[Results]) -> dict[str, dict[str, str]]:
    """Return the columns of the tables by metric, as column header -> key of the summary.

    For a multi-label task these are weighted accuracy and F1 of each label and their means; otherwise the usual metrics of
    the problem type.

    Args:
        list_of_results: Results of runs with the same task.
    """
    task = list_of_results[0].tasks[0]
    name, labels = task["name"], task["labels"]
    if task["problem_type"] == "multi_label_classification":
        return {
            metric: {label: f"{name}.{metric}.{label}" for label in labels} | {"average": f"{name}.{metric}"}
            for metric in ("wacc", "f1_binary")
        }
    metrics = ("mae", "pearson") if task["problem_type"] == "regression" else ("accuracy", "f1_macro")
    return {metric: {name: f"{name}.{metric}"} for metric in metrics}


def format_tables(list_of_results: list[Results], failures: dict[str, str], latex: bool = False) -> str:
    """Format one table per metric with mean ± standard deviation over the seeds of each model and label.

    Args:
        list_of_results: Results of each model.
        failures: Model -> error message if it was not measured; listed below the tables.
        latex: Format in LaTeX (booktabs) instead of Markdown.
    """
    comment = "% " if latex else ""
    where = list_of_results[0].corpus.title
    parts = []
    for metric, columns in score_columns(list_of_results).items():
        seeds = max(len(results.seeds) for results in list_of_results)
        parts.append(f"{comment}{metric} on the test split of {where}, mean ± standard deviation over {seeds} seeds.")
        parts.append(f"{comment}{metric}: {get_definition(metric)}")
        lines = []
        for results in list_of_results:
            scores = results.summary[results.full_subset]
            lines.append([results.name, *(format_score(scores.get(key)) for key in columns.values())])
        parts += ["", (format_latex_table if latex else format_markdown_table)(["model", *columns], lines), ""]
    parts += [f"{comment}{name} was not measured. {reason}" for name, reason in failures.items()]
    return "\n".join(parts).rstrip() + "\n"
