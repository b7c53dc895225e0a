# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pretrain joint embeddings by speech recognition and person identification (Khare et al. 2021).

    mm-affect data sample corpus --clips 1200 && mm-affect extract corpus --output rows
    mm-affect pretrain examples/configs/pretrain_sample.json --rows rows --output pretrained

This file is the same command as a program that Accelerate can start on several processes or GPUs, with its own configuration
(DDP, FSDP, bf16):

    accelerate launch --multi_gpu --num_processes 4 --mixed_precision bf16 examples/pretrain_multitask.py config.json

Every option of the config is a flag (`--steps 2000`). An interrupted run continues with `--resume`, and ends as if it had not been
interrupted. The folder of the run holds `run.json` (options), `log.jsonl` (one entry per line), `checkpoints/` and finally `model/`:

    AutoModel.from_pretrained("pretrained/model")                # without the decoder
    AutoModel.from_pretrained("pretrained/model", config=config, new_heads=True)  # to be tuned on the tasks of config
    AutoModelForPreTraining.from_pretrained("pretrained/model")  # all of it
    AutoProcessor.from_pretrained("pretrained/model"); TranscriptTokenizer.from_pretrained("pretrained/model/transcripts")
"""

import sys

from mm_affect.cli.main import main


if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
