# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What users of the package are told by a type checker: read by `mypy` in `make check`, never run.

Each line that is wrong is marked with the error that it must give: a mark that is not needed is an error as well.
"""

import torch

from mm_affect import AffectOutput, AffectPreTrainedModel, TailorConfig, TailorForAffect, Task
from mm_affect.data import CorpusRecord, load, read_corpus
from mm_affect.evaluation.metrics import get_definition
from mm_affect.training.config import RunConfig


def right(model: AffectPreTrainedModel, batch: dict[str, torch.Tensor]) -> list[str]:
    task = Task("emotion", labels=("happy", "sad"))
    output: AffectOutput = model.forward(**batch)
    pooled: torch.Tensor | None = output.pooler_output
    run: RunConfig = RunConfig.load("run.json")
    corpus: CorpusRecord = read_corpus("rows")
    TailorForAffect(TailorConfig.paper())
    return [
        task.name,
        get_definition("mae"),
        run.name,
        corpus.name,
        *load("rows"),
        *([] if pooled is None else ["pooled"]),
    ]


def wrong(output: AffectOutput) -> None:
    Task(3)  # type: ignore[arg-type]
    Task("emotion", lables=("happy",))  # type: ignore[call-arg]
    get_definition(1)  # type: ignore[arg-type]
    print(output.logits["emotion"])  # type: ignore[index]
    print(output.logit)  # type: ignore[attr-defined]
    number: int = get_definition("mae")  # type: ignore[assignment]
    read_corpus(number)  # type: ignore[arg-type]
