# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Model cards: results.json, and notes, through one template into a README.md for the Hub."""

import json
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml

from ..data.corpora.registry import CORPORA, get_corpus
from ..data.licenses import license_of_card, slug
from ..data.schema import describe_weak_labels
from ..data.splits import describe_protocol
from ..files import write_atomically
from ..label_field import LabelField
from .metrics import get_definition, get_primary_metric
from .results import SUBSETS, CorpusSummary, Results, Score, format_markdown_table, format_score


TEMPLATE = Path(__file__).parents[1] / "templates" / "model_card.md"
EVALUATIONS = Path(".eval_results") / "mm_affect.yaml"


def write_card(results: Results, folder: str | Path) -> Path:
    """Write `folder/README.md` from the results of a run and return its path.

    Where the folder holds the checkpoint, the card shows what its own example prints. Where the results name a data set of the
    Hub (`corpus.hub_dataset`), `folder/.eval_results/mm_affect.yaml` reports the scores to it; the Hub knows no such report on
    data that it does not hold, so there is none otherwise. The card's notes are those in the results, then those of a person in
    `folder/notes.md`, as far as they are.
    """
    folder = Path(folder)
    notes = [results.notes]
    if (folder / "notes.md").is_file():
        notes.append((folder / "notes.md").read_text(encoding="utf-8"))
    modalities, extractors = results.full_subset.split("+"), results.corpus.extractors or {}
    raw_input = all(m in extractors for m in modalities)
    said = raw_input and "text" in modalities
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
        said=said,
        example=example_output(folder, said) if (folder / "model.safetensors").is_file() else "",
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
            folder / EVALUATIONS, yaml.safe_dump(_evaluations(results), sort_keys=False, allow_unicode=True)
        )
    return folder / "README.md"


def example_output(folder: Path, said: bool) -> str:
    """What the card's example prints with the checkpoint in the folder; `said`: its clip is a transcript, else features."""
    import torch
    from transformers import AutoModel, AutoProcessor

    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    features = {modality: [[1.0] * size] * 8 for modality, size in processor.feature_sizes.items()}
    with torch.no_grad():
        logits = model(**processor([{"transcript": "what a lovely day"} if said else features])).logits
    return "\n".join(f"{task} {[round(v, 2) for v in values.flatten().tolist()]}" for task, values in logits.items())


def describe_start(start: dict) -> str:
    """What training started from (`results.model.pretrained`): which weights, which parts are new, and which left out."""
    revision = f", revision {start['revision'][:12]}" if start["revision"] else ""
    told = f"{start['taken']:,} weights from {start['name']} (sha256 {start['weights_sha256'][:12]}{revision})"
    for kind, words in (("new", "made anew"), ("dropped", "left out")):
        if start[kind]:
            told += f"; {words}: {', '.join(part.removeprefix('heads.') for part in start[kind])}"
    differing = [f"{name} was {there} and is {here}" for name, (there, here) in start["settings"].items()]
    return told + "." + (f" Settings that differ: {'; '.join(differing)}." if differing else "")


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
    return ModelCardData(
        model_name=results.name,
        library_name="mm_affect",
        tags=["mm_affect", "multimodal", "affect-recognition", *subset.split("+")]
        + (["synthetic-data"] if corpus.synthetic else []),
        eval_results=evaluations or None,
        **_license([corpus.license, *(other["license"] for other in corpus.auxiliary)]),
    )


def _evaluations(results: Results) -> list[dict]:
    """The scores as the Hub lists them beside a data set: `task_id` is the key of the metric."""
    subset = results.full_subset
    return eval_result_entries_to_yaml(
        [
            EvalResultEntry(
                dataset_id=results.corpus.hub_dataset,
                task_id=key,
                value=score.mean,
                date=results.date,
                notes=f"test split, {subset.replace('+', ' + ')}, mean of {score.n} seeds: {format_score(score)}",
            )
            for key, score in _primary_scores(results, subset).items()
            if score is not None and score.mean is not None
        ]
    )


def _license(licenses: list[str | None]) -> dict[str, str]:
    """Weights follow the licenses of their corpora; where there is none they are Apache-2.0, like the software."""
    return license_of_card(" and ".join(dict.fromkeys(filter(None, licenses))) or "apache-2.0")


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
        shown = f"`{key.split('.')[1]}` {format_score(score)} ({better} is better)"
        rows.append([task["name"], task["problem_type"].replace("_", " "), ", ".join(task["labels"]), shown])
    return format_markdown_table(["task", "kind", "labels", "test score"], rows)


def _task_tables(results: Results, task: dict) -> dict[str, str]:
    """One table of the metrics of a whole task, and one of those of its single labels, if it has such."""
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
    """The corpora that were trained on beside the target; empty without any."""
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
        ["seconds in all", f"{results.seconds:.1f}"],
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
