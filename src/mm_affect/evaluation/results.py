# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""results.json: the measured result of one run over its seeds, with what is needed to repeat it.

    format, version   "mm_affect results", 1
    name              of the run
    model             {"architecture", "parameters"}
    config            the resolved configuration of the run
    tasks             label fields: {"name", "problem_type", "labels", "range"}, with "weak" if a model predicted the labels
    corpus            {"name", "synthetic", "license", "counts": {split: n}, "manifest_hash", "split_protocol",
                      "extractors": {modality: description}}, with "auxiliary" if other corpora were trained on, too:
                      [{"name", "synthetic", "license", "counts", "manifest_hash"}], with "labels_used" if a
                      share of the training labels was: {column: {"known", "used"}}, and with "hub_dataset" if a
                      person named the data set of the Hub that the test split is of
    seeds             {seed: {"epochs", "seconds", "best_epoch", "validation": {"task.metric": value},
                      "test": {subset: {"task.metric": value}}}}
    summary           {subset: {"task.metric": {"mean", "std", "n"}}}, always `summarize(seeds)`
    best              {"seed", "selected_by", "validation", "intervals": {"task.metric": [low, high]}}: the seed that
                      validation preferred, and 95 % intervals of its test scores with all modalities
                      (`significance.intervals`); missing in results of before there were any
    versions, device  of `environment()`
    command, seconds, date
    notes             Markdown for the card; missing unless a program that makes cards has something to say

A subset names the modalities that the model was given, such as "text+audio+visual", "text+visual" or "audio". An
undefined value is null. Tables and cards are made from these files, never typed.
"""

import json
import math
import os
import platform
import statistics
from importlib import metadata
from itertools import combinations
from pathlib import Path

from ..files import write_atomically
from ..vocabulary import MODALITIES


FORMAT, VERSION = "mm_affect results", 1
SUBSETS = tuple("+".join(subset) for size in (3, 2, 1) for subset in combinations(MODALITIES, size))
PACKAGES = ("torch", "transformers", "datasets", "accelerate", "numpy")
REQUIRED: dict[str, type | tuple] = {
    "format": str,
    "version": int,
    "name": str,
    "model": ("architecture", "parameters"),
    "config": dict,
    "tasks": list,
    "corpus": ("name", "synthetic", "license", "counts", "manifest_hash", "split_protocol", "extractors"),
    "seeds": dict,
    "summary": dict,
    "versions": dict,
    "command": str,
    "device": str,
    "seconds": (int, float),
    "date": str,
}


# Numbers


def summarize(seeds: dict) -> dict:
    """Mean, sample standard deviation (over n - 1) and n of every test metric over the seeds.

    Undefined values are left out of n; the deviation of one value, and the mean of none, is None.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for run in seeds.values():
        for subset, scores in run["test"].items():
            for key, value in scores.items():
                known = [] if value is None or not math.isfinite(value) else [float(value)]
                values.setdefault(subset, {}).setdefault(key, []).extend(known)
    return {
        subset: {
            key: {
                "mean": statistics.fmean(numbers) if numbers else None,
                "std": statistics.stdev(numbers) if len(numbers) > 1 else None,
                "n": len(numbers),
            }
            for key, numbers in scores.items()
        }
        for subset, scores in values.items()
    }


def scores_of(results: dict, subset: str, best: bool = False) -> dict[str, dict]:
    """The summary of a subset; or, in the same form, the scores of the seed that validation preferred, with `interval`.

    Raises:
        ValueError: the results do not say which seed that is.
    """
    if not best:
        return results["summary"].get(subset, {})
    if "best" not in results:
        raise ValueError(f"The results of {results['name']} do not name their best seed; train the run again.")
    intervals = results["best"]["intervals"] if subset == full_subset(results) else {}
    scores = results["seeds"][results["best"]["seed"]]["test"].get(subset, {})
    return {key: {"mean": value, "std": None, "n": 1, "interval": intervals.get(key)} for key, value in scores.items()}


def full_subset(results: dict) -> str:
    """The subset of all the modalities that the model has."""
    return next(subset for subset in SUBSETS if subset in results["summary"])


def format_score(score: dict | None) -> str:
    """`0.744 ± 0.012`, without the deviation for one seed, `0.744 [0.720, 0.769]` with an interval, and a dash where nothing was
    measured."""
    if score is None or score["mean"] is None:
        return "–"
    if score.get("interval") is not None:
        low, high = score["interval"]
        return f"{score['mean']:.3f} [{low:.3f}, {high:.3f}]"
    return f"{score['mean']:.3f}" + ("" if score["std"] is None else f" ± {score['std']:.3f}")


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A GitHub table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def latex_table(header: list[str], rows: list[list[str]]) -> str:
    """A LaTeX table with the rules of booktabs, names in the first column and numbers in the others."""
    special = {character: f"\\{character}" for character in "&%$#_{}"} | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "–": "--",
    }
    escape = str.maketrans(special)
    lines = [" & ".join(str(cell).translate(escape) for cell in line) + r" \\" for line in [header, *rows]]
    columns = "l" + "r" * (len(header) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


# Files


def write_results(path: str | Path, results: dict) -> None:
    """Check the results and write them as strict JSON, atomically; NaN and infinity become null."""
    results = _plain({"format": FORMAT, "version": VERSION} | results)
    check_results(results, str(path))
    write_atomically(path, json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_results(path: str | Path) -> dict:
    """The checked content of a results file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no results file {path}; `mm-affect train` writes one.")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file ({error}); run `mm-affect train` again.") from error
    check_results(results, str(path))
    return results


def check_results(results: dict, where: str = "results") -> None:
    """Raise a ValueError that says what is missing or wrong in these results."""
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise ValueError(f"{where} does not hold results of mm_affect: its `format` is not {FORMAT!r}.")
    if results.get("version") != VERSION:
        raise ValueError(f"{where} has version {results.get('version')!r} of the results format; this is {VERSION}.")
    for key, expected in REQUIRED.items():
        if key not in results:
            raise ValueError(f"{where} has no `{key}`.")
        inner = expected if isinstance(expected, tuple) and isinstance(expected[0], str) else ()
        if not isinstance(results[key], dict if inner else expected):
            raise ValueError(f"{where} has a `{key}` of type {type(results[key]).__name__}.")
        missing = [name for name in inner if name not in results[key]]
        if missing:
            raise ValueError(f"{where} has no {', '.join(f'`{key}.{name}`' for name in missing)}.")
    for task in results["tasks"]:
        missing = [name for name in ("name", "problem_type", "labels", "range") if name not in task]
        if missing:
            raise ValueError(f"{where} has a task without {', '.join(missing)}.")
        if "." in task["name"]:
            raise ValueError(
                f"{where} has a task {task['name']!r}; a dot separates task and metric, so use another name."
            )
    if not results["seeds"] or not results["tasks"]:
        raise ValueError(f"{where} has no seeds or no tasks; a result needs at least one of each.")
    for seed, run in results["seeds"].items():
        missing = [name for name in ("epochs", "seconds", "best_epoch", "validation", "test") if name not in run]
        if missing:
            raise ValueError(f"{where} has a seed {seed} without {', '.join(missing)}.")
        unknown = [subset for subset in run["test"] if subset not in SUBSETS]
        if unknown or not run["test"]:
            raise ValueError(f"{where} has a seed {seed} tested on {unknown}; expected some of {', '.join(SUBSETS)}.")
    if results["summary"] != summarize(results["seeds"]):
        raise ValueError(f"{where} has a `summary` that is not the summary of its `seeds`; make it with `summarize`.")


def _plain(value):
    """JSON values: numpy scalars and arrays become numbers and lists, keys strings, non-finite numbers None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


# Circumstances


def environment(device: str | None = None) -> dict:
    """`versions` of the software and the `device` in words; "cuda" if there is one, unless `device` says otherwise."""
    from ..version import __version__

    versions = {"python": platform.python_version(), "mm_affect": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    machine = f"{os.cpu_count()} CPU cores ({_processor()}), {platform.system()}"

    import torch

    if (device or ("cuda" if torch.cuda.is_available() else "cpu")).startswith("cuda"):
        return {"versions": versions, "device": f"{torch.cuda.get_device_name(device or 'cuda')}; {machine}"}
    return {"versions": versions, "device": f"CPU, {torch.get_num_threads()} threads; {machine}"}


def _processor() -> str:
    information = Path("/proc/cpuinfo")  # the platform module knows no model name on Linux
    for line in information.read_text().splitlines() if information.is_file() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
