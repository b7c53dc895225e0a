# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The results of one run over its seeds, with everything needed to repeat it, and their file results.json.

Layout of results.json:

    format, version   "mm_affect results", 1
    name              name of the run
    model             {"architecture", "parameters"}, with "pretrained" if training started from pretrained weights
    config            the resolved configuration of the run
    tasks             label fields: {"name", "problem_type", "labels", "range"}, with "weak" if a model predicted the labels
    corpus            {"name", "synthetic", "license", "counts": {split: n}, "manifest_hash", "split_protocol",
                      "extractors": {modality: description}}, with "auxiliary" if the run trained on further corpora:
                      [{"name", "synthetic", "license", "counts", "manifest_hash"}], with "labels_used" if it used only
                      a fraction of the training labels: {column: {"known", "used"}}, and with "hub_dataset" if the
                      user named the Hub dataset that contains the test split
    seeds             {seed: {"epochs", "seconds", "best_epoch", "validation": {"task.metric": value},
                      "test": {subset: {"task.metric": value}}}}
    summary           {subset: {"task.metric": {"mean", "std", "n"}}}, always `summarize(seeds)`
    best              {"seed", "selected_by", "validation", "intervals": {"task.metric": [low, high]}}: the seed with
                      the best validation score, and 95 % confidence intervals of its test scores with all modalities
                      (`significance.compute_intervals`); absent from files of older runs
    versions, device  the fields of `Environment`
    command, seconds, date
    notes             Markdown for the card; absent when empty

A subset names the modalities given to the model, such as "text+audio+visual", "text+visual" or "audio". An undefined
value is null. Tables and cards are generated from these files, never edited by hand.
"""

import json
import math
import os
import platform
import statistics
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import Any, Self

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
BEST = ("seed", "selected_by", "validation", "intervals")


# Content of a results file


@dataclass(frozen=True)
class _Record:
    """A JSON object whose keys are the fields; a field with a default is omitted when it is empty."""

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Build the record from its JSON object."""
        return cls(**{key.name: content[key.name] for key in fields(cls) if key.name in content})

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the record."""
        values = {key: getattr(self, key.name) for key in fields(self)}
        return {
            key.name: value
            for key, value in values.items()
            if value or (key.default is MISSING and key.default_factory is MISSING)
        }


@dataclass(frozen=True)
class ModelRecord(_Record):
    """Class name and number of parameters of the model, and the pretrained weights that training started from."""

    architecture: str
    parameters: int
    pretrained: dict[str, Any] | None = None


@dataclass(frozen=True)
class CorpusSummary(_Record):
    """The corpus that the run was trained and tested on.

    Args:
        name: name of the corpus.
        synthetic: True if the corpus was generated.
        license: its license, None if the corpus states none.
        counts: number of utterances per split.
        manifest_hash: hash of the source files.
        split_protocol: how the splits were made.
        extractors: description of the feature extractor of each modality.
        auxiliary: further corpora that were trained on, with name, synthetic, license, counts and manifest_hash.
        labels_used: per label column the number of known and of used training labels.
        hub_dataset: Hub dataset that contains the test split.
    """

    name: str
    synthetic: bool
    license: str | None
    counts: dict[str, int | None]
    manifest_hash: str | None
    split_protocol: dict[str, Any] | str | None
    extractors: dict[str, dict[str, Any]]
    auxiliary: list[dict[str, Any]] = field(default_factory=list)
    labels_used: dict[str, dict[str, int]] = field(default_factory=dict)
    hub_dataset: str | None = None

    @property
    def title(self) -> str:
        """The name, marked if the corpus is synthetic."""
        return self.name + " (SYNTHETIC)" * self.synthetic


@dataclass(frozen=True)
class SeedResult(_Record):
    """Scores of one seed on the validation split and, per subset of the modalities, on the test split."""

    epochs: float
    best_epoch: float
    validation: dict[str, float | None]
    test: dict[str, dict[str, float | None]]
    seconds: float


@dataclass(frozen=True)
class Score(_Record):
    """Mean and sample standard deviation of a metric over `n` seeds; `interval` is the 95 % interval of a single seed."""

    mean: float | None
    std: float | None
    n: int
    interval: list[float] | None = None


UNMEASURED = Score(None, None, 0)


@dataclass(frozen=True)
class BestSeed(_Record):
    """The seed with the best validation score, and the 95 % intervals of its test scores with all modalities."""

    seed: str
    selected_by: str
    validation: float
    intervals: dict[str, list[float]]


@dataclass(frozen=True)
class Environment:
    """Versions of the software, and a description of the device that contains no host name."""

    versions: dict[str, str]
    device: str

    @classmethod
    def current(cls, device: str | None = None) -> Self:
        """Return the environment of this process.

        Args:
            device: torch device; default: "cuda" if available, else "cpu".
        """
        import torch

        from ..version import __version__

        versions = {"python": platform.python_version(), "mm_affect": __version__}
        for package in PACKAGES:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = "not installed"
        machine = f"{os.cpu_count()} CPU cores ({_processor()}), {platform.system()}"
        if (device or ("cuda" if torch.cuda.is_available() else "cpu")).startswith("cuda"):
            return cls(versions, f"{torch.cuda.get_device_name(device or 'cuda')}; {machine}")
        return cls(versions, f"CPU, {torch.get_num_threads()} threads; {machine}")


def _processor() -> str:
    information = Path("/proc/cpuinfo")  # the platform module knows no model name on Linux
    for line in information.read_text().splitlines() if information.is_file() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Results:
    """The content of results.json; see the module's documentation for the fields.

    `summary` is computed from `seeds`.
    """

    name: str
    model: ModelRecord
    config: dict[str, Any]
    tasks: list[dict[str, Any]]
    corpus: CorpusSummary
    seeds: dict[str, SeedResult]
    environment: Environment
    command: str
    seconds: float
    date: str
    best: BestSeed | None = None
    notes: str = ""

    @cached_property
    def summary(self) -> dict[str, dict[str, Score]]:
        """Test scores over the seeds, per subset of the modalities and metric."""
        return summarize(self.seeds)

    @property
    def full_subset(self) -> str:
        """The subset with all modalities of the model."""
        return next(subset for subset in SUBSETS if subset in self.summary)

    def get_scores(self, subset: str, best: bool = False) -> dict[str, Score]:
        """Return the test scores of a subset of the modalities.

        Args:
            subset: one of `SUBSETS`.
            best: return the scores of the best seed, with their intervals, instead of the summary over the seeds.

        Raises:
            ValueError: `best` is requested, but the results do not name the best seed.
        """
        if not best:
            return self.summary.get(subset, {})
        if self.best is None:
            raise ValueError(f"The results of {self.name} do not name their best seed; train the run again.")
        intervals = self.best.intervals if subset == self.full_subset else {}
        scores = self.seeds[self.best.seed].test.get(subset, {})
        return {key: Score(value, None, 1, intervals.get(key)) for key, value in scores.items()}

    @classmethod
    def from_dict(cls, content: Any, where: str = "results") -> Self:
        """Build results from the content of a results file.

        Args:
            content: parsed JSON.
            where: where the content comes from, for error messages.

        Raises:
            ValueError: something is missing or inconsistent.
        """
        _check_layout(content, where)
        seeds = {seed: SeedResult.from_dict(run) for seed, run in content["seeds"].items()}
        results = cls(
            name=content["name"],
            model=ModelRecord.from_dict(content["model"]),
            config=content["config"],
            tasks=content["tasks"],
            corpus=CorpusSummary.from_dict(content["corpus"]),
            seeds=seeds,
            environment=Environment(content["versions"], content["device"]),
            command=content["command"],
            seconds=content["seconds"],
            date=content["date"],
            best=BestSeed.from_dict(content["best"]) if "best" in content else None,
            notes=content.get("notes", ""),
        )
        if content["summary"] != results.to_dict()["summary"]:
            raise ValueError(
                f"{where} has a `summary` that does not match its `seeds`; recompute it with `summarize`."
            )
        return results

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the results file."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "model": self.model.to_dict(),
            "config": self.config,
            "tasks": self.tasks,
            "corpus": self.corpus.to_dict(),
            "seeds": {seed: run.to_dict() for seed, run in self.seeds.items()},
            "summary": {
                subset: {key: score.to_dict() for key, score in scores.items()}
                for subset, scores in self.summary.items()
            },
            **({"best": self.best.to_dict()} if self.best else {}),
            "command": self.command,
            "seconds": self.seconds,
            "date": self.date,
            "versions": self.environment.versions,
            "device": self.environment.device,
            **({"notes": self.notes} if self.notes else {}),
        }


def summarize(seeds: dict[str, SeedResult]) -> dict[str, dict[str, Score]]:
    """Compute mean, sample standard deviation (n - 1 degrees of freedom) and n of every test metric over the seeds.

    Undefined values do not count in n. The standard deviation of fewer than two values and the mean of none are None.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for run in seeds.values():
        for subset, scores in run.test.items():
            for key, value in scores.items():
                known = [] if value is None or not math.isfinite(value) else [float(value)]
                values.setdefault(subset, {}).setdefault(key, []).extend(known)
    return {
        subset: {
            key: Score(
                statistics.fmean(numbers) if numbers else None,
                statistics.stdev(numbers) if len(numbers) > 1 else None,
                len(numbers),
            )
            for key, numbers in scores.items()
        }
        for subset, scores in values.items()
    }


# Tables


def format_score(score: Score | None) -> str:
    """Format a score for a table.

    Returns `0.744 ± 0.012`, `0.744` for one seed, `0.744 [0.720, 0.769]` with an interval, and `–` if nothing was measured.
    """
    if score is None or score.mean is None:
        return "–"
    if score.interval is not None:
        low, high = score.interval
        return f"{score.mean:.3f} [{low:.3f}, {high:.3f}]"
    return f"{score.mean:.3f}" + ("" if score.std is None else f" ± {score.std:.3f}")


def format_markdown_table(header: list[str], rows: list[list]) -> str:
    """Return a table in GitHub Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def format_latex_table(header: list[str], rows: list[list]) -> str:
    """Return a LaTeX table with booktabs rules; the first column is left-aligned, the others are right-aligned."""
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


def write_results(path: str | Path, results: Results) -> None:
    """Check the results and write them atomically as strict JSON; NaN and infinity become null.

    Raises:
        ValueError: the results are inconsistent; nothing is written.
    """
    content = _to_plain(results.to_dict())
    Results.from_dict(content, str(path))
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_results(path: str | Path) -> Results:
    """Read and check a results file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or not a results file of this version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no results file {path}; `mm-affect train` writes one.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file ({error}); run `mm-affect train` again.") from error
    return Results.from_dict(content, str(path))


def _check_layout(results: Any, where: str) -> None:
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise ValueError(f"{where} does not hold results of mm_affect: its `format` is not {FORMAT!r}.")
    if results.get("version") != VERSION:
        raise ValueError(f"{where} has version {results.get('version')!r} of the results format; this is {VERSION}.")
    for key, expected in (REQUIRED | ({"best": BEST} if "best" in results else {})).items():
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


def _to_plain(value: Any) -> Any:
    """Convert to JSON values: numpy scalars and arrays to numbers and lists, keys to strings, non-finite numbers to None."""
    if isinstance(value, dict):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
