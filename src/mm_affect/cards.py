# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Model cards: results.json, and the notes of a person, through one template into a README.md for the Hub."""

import json
import re
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .data.schema import weak_in_words
from .data.splits import protocol_in_words
from .metrics import definition, primary_metric
from .results import (
    MODALITIES,
    SUBSETS,
    check_results,
    format_score,
    full_subset,
    markdown_table,
    scores_of,
    write_atomically,
)


TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
HUB_LICENCES = (
    *("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "odbl", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0"),
)


def write_card(results: dict, folder: str | Path, notes: str | None = None) -> Path:
    """Write `folder/README.md` from the results of a run and return its path.

    `notes` is the Markdown of a person; unless given, `folder/notes.md` is taken where there is one.
    """
    check_results(results)
    folder = Path(folder)
    if notes is None and (folder / "notes.md").is_file():
        notes = (folder / "notes.md").read_text(encoding="utf-8")
    modalities = full_subset(results).split("+")
    card = ModelCard.from_template(
        _front_matter(results),
        template_path=str(TEMPLATE),
        name=results["name"],
        model=results["model"],
        corpus=results["corpus"],
        start=start_in_words(results["model"]["pretrained"]) if "pretrained" in results["model"] else "",
        synthetic=results["corpus"]["synthetic"],
        modalities=" + ".join(modalities),
        modality_names=modalities,
        raw_input=all(m in (results["corpus"]["extractors"] or {}) for m in modalities),
        notes=(notes or "").strip(),
        seeds=list(results["seeds"]),
        best=results.get("best"),
        command=results["command"],
        config=json.dumps(results["config"], indent=2, ensure_ascii=False),
        tasks=[_task_tables(results, task) for task in results["tasks"]],
        tasks_table=_tasks_table(results),
        weak={task["name"]: weak_in_words(task) for task in results["tasks"] if task.get("weak")},
        subset_table=_subset_table(results),
        corpus_table=_corpus_table(results["corpus"]),
        auxiliary_table=_auxiliary_table(results["corpus"].get("auxiliary", [])),
        extractor_table=_extractor_table(results["corpus"]["extractors"]),
        run_table=_run_table(results),
        seed_table=_seed_table(results),
        definition_table=_definition_table(results),
    )
    write_atomically(folder / "README.md", str(card).rstrip() + "\n")
    return folder / "README.md"


def start_in_words(start: dict) -> str:
    """What training started from (`results["model"]["pretrained"]`): which weights, which parts are new, and which left out."""
    revision = f", revision {start['revision'][:12]}" if start["revision"] else ""
    told = f"{start['taken']:,} weights from {start['name']} (sha256 {start['weights_sha256'][:12]}{revision})"
    for kind, words in (("new", "made anew"), ("dropped", "left out")):
        if start[kind]:
            told += f"; {words}: {', '.join(part.removeprefix('heads.') for part in start[kind])}"
    differing = [f"{name} was {there} and is {here}" for name, (there, here) in start["settings"].items()]
    return told + "." + (f" Settings that differ: {'; '.join(differing)}." if differing else "")


def _front_matter(results: dict) -> ModelCardData:
    corpus, subset = results["corpus"], full_subset(results)
    suffix = " (SYNTHETIC)" if corpus["synthetic"] else ""
    evaluations = [
        EvalResult(
            task_type="affect-recognition",
            task_name="Affect recognition",
            dataset_type=_slug(corpus["name"]),
            dataset_name=corpus["name"] + suffix,
            dataset_split="test",
            metric_type=key,
            metric_name=f"{key}, mean of {score['n']} seeds, {subset}",
            metric_value=score["mean"],
        )
        for key, score in _primary_scores(results, subset).items()
        if score is not None and score["mean"] is not None
    ]
    return ModelCardData(
        model_name=results["name"],
        library_name="mm_affect",
        tags=["mm_affect", "multimodal", "affect-recognition", *subset.split("+")]
        + (["synthetic-data"] if corpus["synthetic"] else []),
        eval_results=evaluations or None,
        **_licence([corpus["licence"], *(other["licence"] for other in corpus.get("auxiliary", []))]),
    )


def _licence(licences: list[str | None]) -> dict[str, str]:
    """Weights follow the licences of their corpora; where there is none they are Apache-2.0, like the software."""
    licence = " and ".join(dict.fromkeys(filter(None, licences)))
    if not licence:
        return {"license": "apache-2.0"}
    identifier = licence.strip().lower().replace(" ", "-")
    if identifier in HUB_LICENCES:
        return {"license": identifier}
    return {"license": "other", "license_name": _slug(licence)}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")[:60] or "unnamed"


def _primary_scores(results: dict, subset: str) -> dict[str, dict | None]:
    keys = [f"{task['name']}.{primary_metric(task)[0]}" for task in results["tasks"]]
    return {key: results["summary"][subset].get(key) for key in keys}


def _scores_of_task(results: dict, task: dict) -> dict[str, dict]:
    prefix = f"{task['name']}."
    scores = results["summary"][full_subset(results)]
    return {key.removeprefix(prefix): score for key, score in scores.items() if key.startswith(prefix)}


# Tables


def _tasks_table(results: dict) -> str:
    rows = [[t["name"], t["problem_type"].replace("_", " "), ", ".join(t["labels"])] for t in results["tasks"]]
    return markdown_table(["task", "kind", "labels"], rows)


def _task_tables(results: dict, task: dict) -> dict[str, str]:
    """One table of the metrics of a whole task, and one of those of its single labels, if it has such."""
    scores = _scores_of_task(results, task)
    header = ["metric", "mean ± std", "seeds"]
    rows = [[f"`{key}`", format_score(s), s["n"]] for key, s in scores.items() if "." not in key]
    if "best" in results:
        best = scores_of(results, full_subset(results), best=True)
        header.append(f"seed {results['best']['seed']}, best on validation")
        names = [key for key in scores if "." not in key]
        rows = [[*row, format_score(best.get(f"{task['name']}.{key}"))] for row, key in zip(rows, names, strict=True)]
    tables = {"name": task["name"], "table": markdown_table(header, rows)}
    metrics = list(dict.fromkeys(key.split(".", 1)[0] for key in scores if "." in key))
    if metrics:
        rows = [[label, *(format_score(scores.get(f"{m}.{label}")) for m in metrics)] for label in task["labels"]]
        tables["label_table"] = markdown_table(["label", *(f"`{m}`" for m in metrics)], rows)
    return tables


def _subset_table(results: dict) -> str:
    subsets = [subset for subset in SUBSETS if subset in results["summary"]]
    rows = [[s.replace("+", " + "), *map(format_score, _primary_scores(results, s).values())] for s in subsets]
    return markdown_table(["modalities", *(f"`{key}`" for key in _primary_scores(results, subsets[0]))], rows)


def _corpus_table(corpus: dict) -> str:
    rows = [
        ["corpus", corpus["name"]],
        ["licence", corpus["licence"] or "none stated"],
        ["utterances", ", ".join(f"{split} {count:,}" for split, count in corpus["counts"].items())],
        ["split protocol", protocol_in_words(corpus["split_protocol"])],
        ["manifest hash", f"`{corpus['manifest_hash']}`" if corpus["manifest_hash"] else "none"],
    ]
    for name, count in corpus.get("labels_used", {}).items():
        rows.append([f"training labels used, `{name}`", f"{count['used']:,} of {count['known']:,}"])
    return markdown_table(["", ""], rows)


def _auxiliary_table(corpora: list[dict]) -> str:
    """The corpora that were trained on beside the target; empty without any."""
    rows = [
        [corpus["name"] + (" (SYNTHETIC)" if corpus["synthetic"] else ""), corpus["licence"] or "none stated",
         f"{corpus['counts']['train']:,}", f"`{corpus['manifest_hash']}`" if corpus["manifest_hash"] else "none"]
        for corpus in corpora
    ]  # fmt: skip
    return markdown_table(["corpus", "licence", "training utterances", "manifest hash"], rows) if rows else ""


def _extractor_table(extractors: dict | None) -> str:
    rows = []
    for modality in MODALITIES:
        description = (extractors or {}).get(modality)
        if description:
            rate = description.get("rate", "–")
            pace = description.get("steps", "one per word" if rate is None else f"{rate} per second")
            facts = [description.get(fact, "–") for fact in ("name", "version", "size")]
            rows.append([modality, *facts, pace])
        else:
            rows.append([modality, "none", "–", "–", "–"])
    return markdown_table(["modality", "extractor", "version", "size", "steps"], rows)


def _run_table(results: dict) -> str:
    rows = [["device", results["device"]], ["seconds in all", f"{results['seconds']:.1f}"], ["date", results["date"]]]
    rows += [[package, version] for package, version in results["versions"].items()]
    return markdown_table(["", ""], rows)


def _seed_table(results: dict) -> str:
    keys, subset = list(_primary_scores(results, full_subset(results))), full_subset(results)
    rows = []
    for seed, run in results["seeds"].items():
        row = [seed, run["epochs"], run["best_epoch"], f"{run['seconds']:.1f}"]
        for key in keys:
            for scores in (run["validation"], run["test"].get(subset, {})):
                row.append("–" if scores.get(key) is None else f"{scores[key]:.3f}")
        rows.append(row)
    scores = [f"`{key}` {split}" for key in keys for split in ("validation", "test")]
    return markdown_table(["seed", "epochs", "best epoch", "seconds", *scores], rows)


def _definition_table(results: dict) -> str:
    keys = [key.split(".", 1)[0] for task in results["tasks"] for key in _scores_of_task(results, task)]
    return markdown_table(["metric", "definition"], [[f"`{key}`", definition(key)] for key in dict.fromkeys(keys)])
