# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The output folder of a run: who may write into it, and whether what it holds still matches the config and the rows."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from ..evaluation.results import Results, read_results
from ..files import write_atomically
from . import warm_start
from .config import RunConfig
from .joint_corpora import RunCorpora, read_corpora


CONFIG_FILE = "run.json"
INPUTS_FILE = "rows.json"


def claim_output(config: RunConfig, corpora: RunCorpora, resume: bool, overwrite: bool) -> Path:
    """Create the output folder of a run and write its config and the identity of its inputs into it.

    Args:
        config: Config of the run.
        corpora: Records of its corpora.
        resume: Keep what an interrupted run with the same config and inputs left.
        overwrite: Delete the output of an earlier run.

    Raises:
        FileExistsError: If the folder is not the output of a run, or neither `resume` nor `overwrite` is given.
        ValueError: If a run cannot be resumed because its config or inputs have changed.
    """
    output = Path(config.output)
    inputs = identify_inputs(config, corpora)
    if output.exists() and any(output.iterdir() if output.is_dir() else [output]):
        if not (output / CONFIG_FILE).is_file():
            raise FileExistsError(
                f"{output} exists and is not the output of a run; it is left alone: choose another folder (--output)."
            )
        if resume:
            check_unchanged(config, inputs)
        elif overwrite:
            shutil.rmtree(output)
        else:
            raise FileExistsError(
                f"{output} holds an earlier run; add --resume to continue it, --overwrite to replace it (in Python `resume=True`, "
                "`overwrite=True`), or choose another folder."
            )
    output.mkdir(parents=True, exist_ok=True)
    config.save(output / CONFIG_FILE)
    write_atomically(output / INPUTS_FILE, json.dumps(inputs, indent=1))
    return output


def identify_inputs(config: RunConfig, corpora: RunCorpora) -> dict:
    """Return what identifies the rows of a run and the weights that its training starts from."""
    identity = corpora.identify()
    if config.pretrained is not None:
        identity["pretrained"] = warm_start.find_checkpoint(config.pretrained).sha256()
    return identity


def check_unchanged(config: RunConfig, inputs: dict) -> None:
    """Check that the run in the output folder has the same config, except for added seeds, and the same inputs.

    Args:
        config: Config of the run.
        inputs: Identity of its inputs, see `identify_inputs`.

    Raises:
        ValueError: If one of them has changed.
    """
    config_file, inputs_file = (Path(config.output) / name for name in (CONFIG_FILE, INPUTS_FILE))
    if replace(RunConfig.load(config_file), seeds=config.seeds) != config:
        raise ValueError(
            f"{config_file} differs from this config, so the run can neither be resumed nor reused; use its own "
            "config, or replace the run (`--overwrite`, in Python `overwrite=True`)."
        )
    if not inputs_file.is_file() or json.loads(inputs_file.read_text()) != inputs:
        raise ValueError(
            f"{' or '.join(filter(None, (config.rows, config.pretrained)))} has changed since the run in "
            f"{config.output} began, so it can neither be resumed nor "
            "reused; replace it (`--overwrite`, in Python `overwrite=True`)."
        )


def read_finished(config: RunConfig) -> Results | None:
    """Return the results of a run if it is already finished with this config, these seeds and these rows.

    Raises:
        ValueError: If its output folder holds a run with another config or other inputs.
    """
    output = Path(config.output)
    if not all((output / name).is_file() for name in (CONFIG_FILE, "results.json")):
        return None
    check_unchanged(config, identify_inputs(config, read_corpora(config.rows, config.auxiliary)))
    results = read_results(output / "results.json")
    return results if list(results.seeds) == [str(seed) for seed in config.seeds] else None
