# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Fine-tune a checkpoint on rows with the Trainer of transformers: a short starting point for your own training script.

    python examples/finetune.py --model demo_output/run --data demo_output/rows --output finetuned --epochs 3

The rows must come from the extractors of the checkpoint. The epoch with the lowest validation loss is kept.
"""

import argparse
import sys

from transformers import TrainingArguments, set_seed

from mm_affect.checkpoints.loading import load_checkpoint
from mm_affect.data import load, read_corpus
from mm_affect.data.ragged import RowDataset
from mm_affect.training.trainer import AffectTrainer


def finetune(model: str, data: str, output: str, epochs: int, learning_rate: float, seed: int) -> dict:
    """Fine-tune a checkpoint, save the model and its processor in `output`, and return the metrics of the best epoch."""
    set_seed(seed)
    network, processor = load_checkpoint(model)
    corpus, splits = read_corpus(data), load(data)
    processor.check_extractors(corpus.extractors)
    arguments = TrainingArguments(
        output_dir=output,
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        per_device_train_batch_size=16,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        dataloader_pin_memory=False,
        report_to="none",
        seed=seed,
    )
    trainer = AffectTrainer(
        network,
        arguments,
        RowDataset(splits["train"]),
        RowDataset(splits["validation"]),
        processor=processor,
        label_fields=corpus.label_fields,
    )
    trainer.train()
    trainer.save_model(output)
    return trainer.evaluate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder or Hub name of the checkpoint")
    parser.add_argument("--data", required=True, help="folder of rows")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    try:
        metrics = finetune(**vars(parser.parse_args()))
    except (ValueError, OSError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 1
    for name, value in metrics.items():
        if name.count(".") < 2:
            print(f"{name:36} {value:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
