# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Reproduce a published card: repeat its run, and compare the scores with the published ones.

A card of `mm-affect train` is reproduced from the config in its results, on rows that are checked to be the same. A card of a
program in `benchmarks/` is reproduced by that program in a copy of the checkout, so that none of your files are replaced.
"""

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from ..checkpoints.hub import pull_file
from ..evaluation.metrics import get_primary_metric
from ..evaluation.results import UNMEASURED, Results, Score, format_markdown_table, format_score, read_results
from ..training.config import RunConfig
from ..training.joint_corpora import read_corpora
from ..training.run import run


EQUAL, WITHIN, OUTSIDE, UNKNOWN, ABSENT = (
    "each seed equal",
    "within the spread",
    "OUTSIDE the spread",
    "unequal, spread unknown",
    "not published",
)
REPRODUCED = (EQUAL, WITHIN)
RULE = """\
Verdict: `each seed equal` if every value equals the published one to the last digit, as on the same machine with the same
versions. Otherwise the mean here must lie in the 95 % prediction interval for the mean of other seeds: within
t(0.975, n - 1) s sqrt(1/n + 1/k) of the published mean, for n published seeds with standard deviation s and k seeds here."""


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the comparison: a metric of one seed, or its mean over the seeds with the verdict."""

    metric: str
    seeds: str
    published: str
    here: str
    difference: float | None
    verdict: str = ""


# Card


def read_card_results(card: str) -> Results:
    """Read the results of a card.

    Args:
        card: A folder with results.json, that file, or the name of a model on the Hub (see `hub.pull`).

    Raises:
        OSError: If there are no results.
        ValueError: If there is no such card, or its results are invalid.
    """
    path = Path(card)
    if not path.exists():
        try:
            return read_results(pull_file(card, "results.json"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{card} is not a card (no such folder, and not on the Hub): {error}") from error
    if path.is_dir() and not (path / "results.json").is_file():
        raise FileNotFoundError(
            f"{card} has no results.json, so there are no results to reproduce; give a card with results.json."
        )
    return read_results(path / "results.json" if path.is_dir() else path)


def find_data_differences(card: dict, corpus: dict) -> list[str]:
    """List the differences between the rows of a card and rows here, in corpus names and in row counts per split.

    Hashes are not compared: they include the modification time of large files, so an exact copy has another hash (see
    `compare_hashes`).

    Args:
        card: `corpus` of the card's results.
        corpus: Identity of the rows here, see `RunCorpora.identify`.
    """
    pairs = [(card, corpus), *zip(card.get("auxiliary", []), corpus.get("auxiliary", []), strict=False)]
    differences = []
    for theirs, ours in pairs:
        if theirs["name"] != ours["name"]:
            differences.append(f"the corpus is {ours['name']}, and the card's is {theirs['name']}")
        for split in dict.fromkeys([*theirs["counts"], *ours["counts"]]):
            counts = [side["counts"].get(split, 0) for side in (ours, theirs)]
            if counts[0] != counts[1]:
                differences.append(
                    f"{ours['name']} has {counts[0]:,} rows in {split}, and the card's has {counts[1]:,}"
                )
    return differences


def compare_hashes(card: dict, corpus: dict) -> str:
    """Describe whether the hashes of the rows of a card and of rows here are the same."""
    theirs, ours = card["manifest_hash"], corpus["manifest_hash"]
    if not theirs or not ours:
        return "A hash of the data was not recorded on both sides: names and counts agree, contents were not compared."
    if theirs == ours:
        return "The data is that of the card: the hashes are equal."
    return (
        "The data has another hash than the card's: it was changed or written again, or it is a copy (hashes include the "
        "modification time of files above 1 MB)."
    )


def find_environment_differences(card: Results, here: Results) -> list[str]:
    """List the versions, the device and the config fields that differ between the run of a card and the run here."""
    differences = [
        f"{name} {theirs} → {here.environment.versions.get(name, 'not recorded')}"
        for name, theirs in card.environment.versions.items()
        if here.environment.versions.get(name) != theirs
    ]
    if card.environment.device != here.environment.device:
        differences.append(f"device {card.environment.device} → {here.environment.device}")
    ours = flatten(here.config)
    return differences + [
        f"config {name} {json.dumps(value)} → {json.dumps(ours.get(name))}"
        for name, value in flatten(card.config).items()
        if name not in ("rows", "output", "seeds") and ours.get(name) != value
    ]


def flatten(config: dict, prefix: str = "") -> dict:
    """Return the fields of a config by their dotted names, such as `training.epochs`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


# Run


def rerun(
    card: Results,
    output: Path,
    rows: str | None = None,
    realdata: str | None = None,
    seeds: list[int] | None = None,
) -> Results:
    """Repeat the run of a card below `output` and return its results.

    Args:
        card: results of the card.
        output: folder for what is trained.
        rows: folder of the rows; default: that in the card's config.
        realdata: for a card that a program in `benchmarks/` made, the folder of the real data; default: `MM_AFFECT_REALDATA`,
            or `../shared/realdata` beside the checkout.
        seeds: only these; default: those of the card.

    Raises:
        ValueError: the run cannot be repeated, or the option for the folder of the data is that of the other kind of card.
    """
    by_program = card.command.startswith("python benchmarks/")
    if rows if by_program else realdata:
        wrong, right = ("rows", "realdata") if by_program else ("realdata", "rows")
        raise ValueError(f"{card.name} was made by `{card.command}`; give --{right} instead of --{wrong}.")
    if by_program:
        return _rerun_program(card, output, realdata, seeds)
    changes = {"output": str(output / "run")} | ({"rows": rows} if rows else {}) | ({"seeds": seeds} if seeds else {})
    config = RunConfig.from_dict(card.config, changes)
    _check_data(card, read_corpora(config.rows, config.auxiliary).identify(), config.rows)
    run(config, card.command)
    return read_results(Path(config.output) / "results.json")  # as the card was read: undefined scores are None


def _check_data(card: Results, corpus: dict, where: str) -> None:
    differences = find_data_differences(card.corpus.to_dict(), corpus)
    if differences:
        raise ValueError(
            f"{where} is not the data of {card.name}: {'; '.join(differences)}. Give the rows that it was trained on."
        )
    print(compare_hashes(card.corpus.to_dict(), corpus), file=sys.stderr)


def _rerun_program(card: Results, output: Path, realdata: str | None, seeds: list[int] | None) -> Results:
    """Run `python benchmarks/...` in a copy of the programs and configs of this checkout, where it writes its cards."""
    _, program, *options = shlex.split(card.command)
    if (
        Path(program).parent != Path("benchmarks") or not Path(program).is_file()
    ):  # a card may come from an untrusted source
        raise FileNotFoundError(
            f"{card.name} was made by `{card.command}`, but there is no {program} here; run this in a checkout of mm_affect."
        )
    outside = next((word for word in options if _leads_outside(word)), None)
    if outside is not None:
        raise ValueError(
            f"{card.name} was made by `{card.command}`, and {outside} may be a file outside the checkout. If you trust the "
            "card, run the command yourself."
        )
    for folder in ("benchmarks", "examples"):
        shutil.copytree(folder, output / folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for path in (output / "examples").rglob("*.json") if seeds else ():
        config = json.loads(path.read_text(encoding="utf-8"))
        if "seeds" in config:
            path.write_text(json.dumps(config | {"seeds": seeds}), encoding="utf-8")
    package = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    }
    real = realdata or os.environ.get("MM_AFFECT_REALDATA") or Path("..", "shared", "realdata")
    environment["MM_AFFECT_REALDATA"] = str(Path(real).resolve())  # the copy lies elsewhere
    print(f"Running in {output}: {card.command}", file=sys.stderr)
    code = subprocess.run([sys.executable, program, *options], cwd=output, env=environment).returncode
    if code:
        raise ValueError(f"`{card.command}` ended with exit code {code}; what it printed above says why.")
    here = read_results(output / "model_cards" / card.name / "results.json")
    _check_data(card, here.corpus.to_dict(), f"What {program} read")
    return here


def _leads_outside(word: str) -> bool:
    """Return True if a word of a command, or the value after its `=`, is an absolute path or contains `..`."""
    return ".." in word or any(Path(part).is_absolute() for part in word.split("="))


def reproduce(
    card: Results,
    output: str | Path | None = None,
    rows: str | None = None,
    realdata: str | None = None,
    seeds: list[int] | None = None,
) -> Results:
    """Repeat the run of a card as `rerun`, in a temporary folder unless `output`, an empty or new one, is given."""
    if output is None:
        with tempfile.TemporaryDirectory(prefix="mm_affect_reproduce_") as folder:
            return rerun(card, Path(folder), rows, realdata, seeds)
    output = Path(output).resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} is not empty; give a new folder.")
    output.mkdir(parents=True, exist_ok=True)
    return rerun(card, output, rows, realdata, seeds)


# Comparison


def compare(card: Results, here: Results, every: bool = False) -> list[ComparisonRow]:
    """Compare published scores with scores here, with all modalities, per seed and over the seeds.

    Args:
        card: Results of the card.
        here: Results of the run here.
        every: Compare all metrics instead of the primary metric of each task.
    """
    subset = card.full_subset
    lines: list[ComparisonRow] = []
    metrics = [f"{task['name']}.{get_primary_metric(task)[0]}" for task in card.tasks]
    if every:
        metrics += [name for name in card.summary[subset] if name not in metrics]
    for metric in metrics:
        published_scores = {seed: result.test.get(subset, {}) for seed, result in card.seeds.items()}
        published = {seed: scores[metric] for seed, scores in published_scores.items() if metric in scores}
        measured = {seed: result.test.get(subset, {}).get(metric) for seed, result in here.seeds.items()}
        lines += [
            ComparisonRow(
                metric,
                f"seed {seed}",
                _format_value(published.get(seed)),
                _format_value(value),
                _difference(value, published.get(seed)),
            )
            for seed, value in measured.items()
        ]
        means = (results.summary.get(subset, {}).get(metric, UNMEASURED) for results in (card, here))
        lines.append(_compare_means(metric, _decide(published, measured), *means))
    return lines


def _compare_means(metric: str, verdict: str, published: Score, here: Score) -> ComparisonRow:
    return ComparisonRow(
        metric,
        f"{published.n} and {here.n} seeds",
        format_score(published),
        format_score(here),
        _difference(here.mean, published.mean),
        verdict,
    )


def _decide(published: dict[str, float | None], here: dict[str, float | None]) -> str:
    """Return the verdict on a metric from its values per seed."""
    if not published:
        return ABSENT
    if all(seed in published and published[seed] == value for seed, value in here.items()):
        return EQUAL
    known = [[value for value in side.values() if value is not None] for side in (published, here)]
    n, k = map(len, known)
    if n < 2 or not k:
        return UNKNOWN if k else OUTSIDE
    width = stats.t.ppf(0.975, n - 1) * statistics.stdev(known[0]) * (1 / n + 1 / k) ** 0.5
    return WITHIN if abs(statistics.fmean(known[1]) - statistics.fmean(known[0])) <= width else OUTSIDE


def _difference(here: float | None, published: float | None) -> float | None:
    return None if here is None or published is None else here - published


def _format_value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def format_comparison(lines: list[ComparisonRow]) -> str:
    """Format the comparison as a Markdown table."""
    rows = [
        [
            f"`{line.metric}`",
            line.seeds,
            line.published,
            line.here,
            "–" if line.difference is None else f"{line.difference:+.4f}",
            line.verdict,
        ]
        for line in lines
    ]
    return format_markdown_table(["metric", "", "published", "here", "difference", "verdict"], rows)


def is_reproduced(card: Results, lines: list[ComparisonRow]) -> bool:
    """Return True if the primary metric of every task is reproduced; other metrics do not count."""
    primary = {f"{task['name']}.{get_primary_metric(task)[0]}" for task in card.tasks}
    return all(line.verdict in REPRODUCED for line in lines if line.verdict and line.metric in primary)
