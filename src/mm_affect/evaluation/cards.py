# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Model cards: results.json and notes, rendered by one template as the README.md of a Hub repository."""

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml

from ..data.corpora.registry import CORPORA, get_corpus
from ..data.licenses import make_license_fields, slug
from ..data.schema import describe_weak_labels
from ..data.splits import describe_protocol
from ..files import write_atomically
from ..label_field import LabelField
from .metrics import get_definition, get_primary_metric
from .results import SUBSETS, CorpusSummary, Results, Score, format_markdown_table, format_score


TEMPLATE = Path(__file__).parents[1] / "templates" / "model_card.md"
EVALUATION_FILE = Path(".eval_results") / "mm_affect.yaml"


def write_card(results: Results, folder: str | Path) -> Path:
    """Write `folder/README.md` from the results of a run and return its path.

    If the folder holds the checkpoint, the card includes the output of its usage example. If the results name a Hub dataset
    (`corpus.hub_dataset`), the scores are also written to `folder/.eval_results/mm_affect.yaml`, which the Hub lists beside that
    dataset. The notes of the card are those in the results, followed by `folder/notes.md` if it exists.

    Args:
        results: results of the run.
        folder: folder of the checkpoint or of the card.
    """
    folder = Path(folder)
    notes = [results.notes]
    if (folder / "notes.md").is_file():
        notes.append((folder / "notes.md").read_text(encoding="utf-8"))
    modalities, extractors = results.full_subset.split("+"), results.corpus.extractors or {}
    raw_input = all(m in extractors for m in modalities)
    has_transcript = raw_input and "text" in modalities
    card = ModelCard.from_template(
        _front_matter(results),
        template_path=str(TEMPLATE),
        name=results.name,
        model=results.model,
        corpus=results.corpus,
        start=describe_start(results.model.pretrained) if results.model.pretrained else "",
        synthetic=results.corpus.synthetic,
        modalities=" + ".join(modalities),
        modality_names=modalities,
        raw_input=raw_input,
        has_transcript=has_transcript,
        example=run_example(folder, has_transcript) if (folder / "model.safetensors").is_file() else "",
        notes="\n\n".join(notes).strip(),
        seeds=list(results.seeds),
        best=results.best,
        command=results.command,
        config=json.dumps(results.config, indent=2, ensure_ascii=False),
        tasks=[_task_tables(results, task) for task in results.tasks],
        tasks_table=_tasks_table(results),
        weak={
            task["name"]: describe_weak_labels(LabelField.from_dict(task))
            for task in results.tasks
            if task.get("weak")
        },
        subset_table=_subset_table(results),
        corpus_table=_corpus_table(results.corpus),
        auxiliary_table=_auxiliary_table(results.corpus.auxiliary),
        extractor_table=_extractor_table(extractors, modalities),
        run_table=_run_table(results),
        seed_table=_seed_table(results),
        definition_table=_definition_table(results),
    )
    write_atomically(folder / "README.md", str(card).rstrip() + "\n")
    if results.corpus.hub_dataset:
        write_atomically(
            folder / EVALUATION_FILE,
            yaml.safe_dump(
                _make_evaluation_entries(results, results.corpus.hub_dataset), sort_keys=False, allow_unicode=True
            ),
        )
    return folder / "README.md"


def run_example(folder: Path, has_transcript: bool) -> str:
    """Run the usage example of the card with the checkpoint in the folder and return its output.

    Args:
        folder: folder of the checkpoint.
        has_transcript: True if the input of the example is a transcript, False if it is features.
    """
    import torch
    from transformers import AutoModel, AutoProcessor

    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    features = {modality: [[1.0] * size] * 8 for modality, size in processor.feature_sizes.items()}
    with torch.no_grad():
        logits = model(**processor([{"transcript": "what a lovely day"} if has_transcript else features])).logits
    return "\n".join(f"{task} {[round(v, 2) for v in values.flatten().tolist()]}" for task, values in logits.items())


def describe_start(start: dict) -> str:
    """Describe the checkpoint that training started from (`results.model.pretrained`), and the new and the unused parts."""
    revision = f", revision {start['revision'][:12]}" if start["revision"] else ""
    description = f"{start['taken']:,} weights from {start['name']} (sha256 {start['weights_sha256'][:12]}{revision})"
    for kind, title in (("new", "newly initialized"), ("dropped", "not used")):
        if start[kind]:
            description += f"; {title}: {', '.join(part.removeprefix('heads.') for part in start[kind])}"
    differing = [f"{name} was {there}, now {here}" for name, (there, here) in start["settings"].items()]
    return description + "." + (f" Different settings: {'; '.join(differing)}." if differing else "")


def _front_matter(results: Results) -> ModelCardData:
    corpus, subset = results.corpus, results.full_subset
    evaluations = [
        EvalResult(
            task_type="affect-recognition",
            task_name="Affect recognition",
            dataset_type=slug(corpus.name),
            dataset_name=corpus.title,
            dataset_split="test",
            metric_type=key,
            metric_name=f"{key}, mean of {score.n} seeds, {subset}",
            metric_value=score.mean,
        )
        for key, score in _primary_scores(results, subset).items()
        if score is not None and score.mean is not None
    ]
    license_fields: dict[str, Any] = make_license_fields(
        _combine_licenses([corpus.license, *(other["license"] for other in corpus.auxiliary)])
    )
    return ModelCardData(
        model_name=results.name,
        library_name="mm_affect",
        tags=["mm_affect", "multimodal", "affect-recognition", *subset.split("+")]
        + (["synthetic-data"] if corpus.synthetic else []),
        eval_results=evaluations or None,
        **license_fields,
    )


def _make_evaluation_entries(results: Results, hub_dataset: str) -> list[dict]:
    """Return the scores in the Hub's format for evaluation results; `task_id` is the key of the metric."""
    subset = results.full_subset
    return eval_result_entries_to_yaml(
        [
            EvalResultEntry(
                dataset_id=hub_dataset,
                task_id=key,
                value=score.mean,
                date=results.date,
                notes=f"test split, {subset.replace('+', ' + ')}, mean of {score.n} seeds: {format_score(score)}",
            )
            for key, score in _primary_scores(results, subset).items()
            if score is not None and score.mean is not None
        ]
    )


def _combine_licenses(licenses: list[str | None]) -> str:
    """Join the licenses of the corpora; Apache-2.0, like the software, if there are none."""
    return " and ".join(dict.fromkeys(filter(None, licenses))) or "apache-2.0"


def _primary_scores(results: Results, subset: str) -> dict[str, Score | None]:
    keys = [f"{task['name']}.{get_primary_metric(task)[0]}" for task in results.tasks]
    return {key: results.summary[subset].get(key) for key in keys}


def _scores_of_task(results: Results, task: dict) -> dict[str, Score]:
    prefix = f"{task['name']}."
    scores = results.summary[results.full_subset]
    return {key.removeprefix(prefix): score for key, score in scores.items() if key.startswith(prefix)}


# Tables


def _tasks_table(results: Results) -> str:
    scores, rows = _primary_scores(results, results.full_subset), []
    for task, (key, score) in zip(results.tasks, scores.items(), strict=True):
        better = "higher" if get_primary_metric(task)[1] else "lower"
        cell = f"`{key.split('.')[1]}` {format_score(score)} ({better} is better)"
        rows.append([task["name"], task["problem_type"].replace("_", " "), ", ".join(task["labels"]), cell])
    return format_markdown_table(["task", "kind", "labels", "test score"], rows)


def _task_tables(results: Results, task: dict) -> dict[str, str]:
    """Return the table of the metrics of a task and, if there are values per label, the table of its labels."""
    scores = _scores_of_task(results, task)
    header = ["metric", "mean ± std", "seeds"]
    rows = [[f"`{key}`", format_score(s), s.n] for key, s in scores.items() if "." not in key]
    if results.best is not None:
        best = results.get_scores(results.full_subset, best=True)
        header.append(f"seed {results.best.seed}, best on validation")
        names = [key for key in scores if "." not in key]
        rows = [[*row, format_score(best.get(f"{task['name']}.{key}"))] for row, key in zip(rows, names, strict=True)]
    tables = {"name": task["name"], "table": format_markdown_table(header, rows)}
    metrics = list(dict.fromkeys(key.split(".", 1)[0] for key in scores if "." in key))
    if metrics:
        rows = [[label, *(format_score(scores.get(f"{m}.{label}")) for m in metrics)] for label in task["labels"]]
        tables["label_table"] = format_markdown_table(["label", *(f"`{m}`" for m in metrics)], rows)
    return tables


def _subset_table(results: Results) -> str:
    subsets = [subset for subset in SUBSETS if subset in results.summary]
    rows = [[s.replace("+", " + "), *map(format_score, _primary_scores(results, s).values())] for s in subsets]
    return format_markdown_table(["modalities", *(f"`{key}`" for key in _primary_scores(results, subsets[0]))], rows)


def _corpus_table(corpus: CorpusSummary) -> str:
    rows = [
        ["corpus", corpus.name],
        ["license", corpus.license or "none stated"],
        ["utterances", ", ".join(f"{split} {count:,}" for split, count in corpus.counts.items())],
        ["split protocol", describe_protocol(corpus.split_protocol)],
        ["manifest hash", f"`{corpus.manifest_hash}`" if corpus.manifest_hash else "none"],
    ]
    access = next((known.access for known in map(get_corpus, CORPORA) if corpus.name.startswith(known.title)), None)
    if access:
        rows.insert(2, ["how to get it", access])
    for name, count in corpus.labels_used.items():
        rows.append([f"training labels used, `{name}`", f"{count['used']:,} of {count['known']:,}"])
    return format_markdown_table(["", ""], rows)


def _auxiliary_table(corpora: list[dict]) -> str:
    """Return the table of the auxiliary corpora, empty if there are none."""
    rows = [
        [corpus["name"] + (" (SYNTHETIC)" if corpus["synthetic"] else ""), corpus["license"] or "none stated",
         f"{corpus['counts']['train']:,}", f"`{corpus['manifest_hash']}`" if corpus["manifest_hash"] else "none"]
        for corpus in corpora
    ]  # fmt: skip
    return format_markdown_table(["corpus", "license", "training utterances", "manifest hash"], rows) if rows else ""


def _extractor_table(extractors: dict, modalities: list[str]) -> str:
    rows = []
    for modality in modalities:
        description = extractors.get(modality)
        if description:
            rate = description.get("rate", "–")
            pace = description.get("steps", "one per word" if rate is None else f"{rate} per second")
            facts = [description.get(fact, "–") for fact in ("name", "version", "size")]
            rows.append([modality, *facts, pace])
        else:
            rows.append([modality, "none recorded", "–", "–", "–"])
    return format_markdown_table(["modality", "extractor", "version", "size", "steps"], rows)


def _run_table(results: Results) -> str:
    rows = [
        ["device", results.environment.device],
        ["total seconds", f"{results.seconds:.1f}"],
        ["date", results.date],
    ]
    rows += [[package, version] for package, version in results.environment.versions.items()]
    return format_markdown_table(["", ""], rows)


def _seed_table(results: Results) -> str:
    keys, subset = list(_primary_scores(results, results.full_subset)), results.full_subset
    rows = []
    for seed, run in results.seeds.items():
        measured = [scores.get(key) for key in keys for scores in (run.validation, run.test.get(subset, {}))]
        row = [seed, run.epochs, run.best_epoch, f"{run.seconds:.1f}"]
        rows.append(row + ["–" if score is None else f"{score:.3f}" for score in measured])
    scores = [f"`{key}` {split}" for key in keys for split in ("validation", "test")]
    return format_markdown_table(["seed", "epochs", "best epoch", "seconds", *scores], rows)


def _definition_table(results: Results) -> str:
    keys = [key.split(".", 1)[0] for task in results.tasks for key in _scores_of_task(results, task)]
    return format_markdown_table(
        ["metric", "definition"], [[f"`{key}`", get_definition(key)] for key in dict.fromkeys(keys)]
    )
