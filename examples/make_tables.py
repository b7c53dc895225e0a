# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Write the cards in model_cards/ and the results table of README.md from the results.json files (`make cards`)."""

from pathlib import Path

from mm_affect.evaluation.cards import write_card
from mm_affect.evaluation.metrics import get_primary_metric
from mm_affect.evaluation.results import Results, format_markdown_table, format_score, read_results


ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: made by `make cards` -->", "<!-- end of results -->"


def format_row(results: Results) -> list[str]:
    """Return the table row of a run: the primary metric of its first task with all of its modalities."""
    task = results.tasks[0]
    metric = f"{task['name']}.{get_primary_metric(task)[0]}"
    score = format_score(results.summary[results.full_subset][metric])
    modalities = results.full_subset.replace("+", " + ")
    return [results.name, results.corpus.title, modalities, metric, score, str(len(results.seeds))]


def main() -> None:
    """Write the cards, then replace the table of the README."""
    rows = []
    for path in sorted(ROOT.glob("model_cards/*/results.json")):
        results = read_results(path)
        write_card(results, path.parent)
        rows.append(format_row(results))
    table = format_markdown_table(["run", "corpus", "modalities", "metric", "test, mean ± std", "seeds"], rows)
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    print(f"Wrote {len(rows)} cards and their table in README.md")


if __name__ == "__main__":
    main()
