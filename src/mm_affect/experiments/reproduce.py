# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A published card once more: train as its results.json says, and compare what is measured here with what was published.

A card is made again the way it was made: one of `mm-affect train` from the config in its results, on rows that are checked to
be its own; one of a program in `benchmarks/` by that program, in a copy of the checkout, so that nothing of yours is replaced.
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

from scipy import stats

from ..checkpoints.hub import pull_file
from ..evaluation.metrics import get_primary_metric
from ..evaluation.results import Results, Score, format_markdown_table, format_score, read_results
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
Verdict: `each seed equal` if it gives the published value to the last digit, as it does on the same machine with the same
versions. Otherwise the mean here must lie where the mean of other seeds would with a chance of 95 %, if nothing else differed:
within t(0.975, n - 1) s sqrt(1/n + 1/k) of the published mean, of n seeds with deviation s, for k seeds here."""


@dataclass
class ComparisonRow:
    """One line of the comparison: a metric of one seed, or its mean over the seeds, which carries the verdict."""

    metric: str
    seeds: str
    published: str
    here: str
    difference: float | None
    verdict: str = ""


# the card ---------------------------------------------------------------------------------------------------------


def read_card_results(card: str) -> Results:
    """The results of a card: a folder with results.json, that file, or a model on the Hub (named as for `hub.pull`).

    Raises:
        OSError, ValueError: there is no such card, or it has no results.
    """
    path = Path(card)
    if not path.exists():
        try:
            return read_results(pull_file(card, "results.json"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{card} is not a card (no such folder, nor on the Hub): {error}") from error
    if path.is_dir() and not (path / "results.json").is_file():
        raise FileNotFoundError(
            f"{card} has no results.json, so it publishes no results that could be reproduced; name a card that has one."
        )
    return read_results(path / "results.json" if path.is_dir() else path)


def find_data_differences(card: dict, corpus: dict) -> list[str]:
    """In what these rows (`corpus`: their corpus.json, with `auxiliary` ones) are not those of the card; empty: in nothing.

    Names and counts of every split are compared. The hash is not: large files count in it by their time of change, so that a true
    copy has another (`compare_hashes`).
    """
    pairs = [(card, corpus), *zip(card.get("auxiliary", []), corpus.get("auxiliary", []), strict=False)]
    found = []
    for theirs, ours in pairs:
        if theirs["name"] != ours["name"]:
            found.append(f"the corpus is {ours['name']}, and the card's is {theirs['name']}")
        for split in dict.fromkeys([*theirs["counts"], *ours["counts"]]):
            counts = [side["counts"].get(split, 0) for side in (ours, theirs)]
            if counts[0] != counts[1]:
                found.append(f"{ours['name']} has {counts[0]:,} rows in {split}, and the card's has {counts[1]:,}")
    return found


def compare_hashes(card: dict, corpus: dict) -> str:
    """What the hashes of the two say of the data."""
    theirs, ours = card["manifest_hash"], corpus["manifest_hash"]
    if not theirs or not ours:
        return "A hash of the data was not recorded on both sides: names and counts agree, contents were not compared."
    if theirs == ours:
        return "The data is that of the card, by its hash."
    return (
        "The data has another hash than the card's: it was changed or made anew, or it is a copy (files above 1 MB count by their "
        "time of change)."
    )


def find_environment_differences(card: Results, here: Results) -> list[str]:
    """Versions, device and fields of the config that are not as when the card was made, in words."""
    found = [
        f"{name} {theirs} → {here.environment.versions.get(name, 'not recorded')}"
        for name, theirs in card.environment.versions.items()
        if here.environment.versions.get(name) != theirs
    ]
    if card.environment.device != here.environment.device:
        found.append(f"device {card.environment.device} → {here.environment.device}")
    ours = flatten(here.config)
    return found + [
        f"config {name} {json.dumps(value)} → {json.dumps(ours.get(name))}"
        for name, value in flatten(card.config).items()
        if name not in ("rows", "output_dir", "seeds") and ours.get(name) != value
    ]


def flatten(config: dict, prefix: str = "") -> dict:
    """The fields of a config by their dotted names, such as `training.epochs`."""
    found = {}
    for name, value in config.items():
        found |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


# the run ----------------------------------------------------------------------------------------------------------


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
    changes = (
        {"output_dir": str(output / "run")} | ({"rows": rows} if rows else {}) | ({"seeds": seeds} if seeds else {})
    )
    config = RunConfig.from_dict(card.config, changes)
    _check_data(card, read_corpora(config.rows, config.auxiliary).to_dict(), config.rows)
    run(config, card.command)
    return read_results(Path(config.output_dir) / "results.json")  # as the card was read: undefined scores are None


def _check_data(card: Results, corpus: dict, where: str) -> None:
    differences = find_data_differences(card.corpus.to_dict(), corpus)
    if differences:
        raise ValueError(
            f"{where} is not the data of {card.name}: {'; '.join(differences)}. Name the rows that it was trained on."
        )
    print(compare_hashes(card.corpus.to_dict(), corpus), file=sys.stderr)


def _rerun_program(card: Results, output: Path, realdata: str | None, seeds: list[int] | None) -> Results:
    """Run `python benchmarks/...` in a copy of this checkout's programs and configs, where it also keeps its cards."""
    _, program, *options = shlex.split(card.command)
    if Path(program).parent != Path("benchmarks") or not Path(program).is_file():  # a card may come from anybody
        raise FileNotFoundError(
            f"{card.name} was made by `{card.command}`, and there is no {program} here; run this in a checkout of mm_affect."
        )
    outside = next((word for word in options if _leads_outside(word)), None)
    if outside is not None:
        raise ValueError(
            f"{card.name} was made by `{card.command}`, and {outside} names a file that may be outside the checkout; if you "
            "trust it, run the command yourself."
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
    """Whether a word of a command, or what stands behind its `=`, is an absolute path, or has `..` in it."""
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
        raise FileExistsError(f"{output} is not empty; name a new folder for what is trained.")
    output.mkdir(parents=True, exist_ok=True)
    return rerun(card, output, rows, realdata, seeds)


# the comparison ---------------------------------------------------------------------------------------------------


def compare(card: Results, here: Results, every: bool = False) -> list[ComparisonRow]:
    """Published scores beside those measured here, with all the modalities, per seed and over seeds.

    `every`: all metrics; default: the primary metric of each task.
    """
    subset, lines = card.full_subset, []
    metrics = [f"{task['name']}.{get_primary_metric(task)[0]}" for task in card.tasks]
    if every:
        metrics += [name for name in card.summary[subset] if name not in metrics]
    for metric in metrics:
        scores_of_seeds = {seed: found.test.get(subset, {}) for seed, found in card.seeds.items()}
        published = {seed: scores[metric] for seed, scores in scores_of_seeds.items() if metric in scores}
        found = {seed: scores.test.get(subset, {}).get(metric) for seed, scores in here.seeds.items()}
        lines += [
            ComparisonRow(
                metric,
                f"seed {seed}",
                _format_value(published.get(seed)),
                _format_value(value),
                _difference(value, published.get(seed)),
            )
            for seed, value in found.items()
        ]
        lines.append(_compare_means(metric, *(side.summary.get(subset, {}).get(metric) for side in (card, here))))
        lines[-1].verdict = _verdict(published, found)
    return lines


def _compare_means(metric: str, published: Score | None, here: Score | None) -> ComparisonRow:
    counts = [0 if score is None else score.n for score in (published, here)]
    difference = _difference(here and here.mean, published and published.mean)
    return ComparisonRow(
        metric, f"{counts[0]} and {counts[1]} seeds", format_score(published), format_score(here), difference
    )


def _verdict(published: dict, here: dict) -> str:
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
    """The comparison as a GitHub table."""
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
    """Whether the primary metric of every task is as published; other metrics are shown, and do not decide."""
    primary = {f"{task['name']}.{get_primary_metric(task)[0]}" for task in card.tasks}
    return all(line.verdict in REPRODUCED for line in lines if line.verdict and line.metric in primary)
