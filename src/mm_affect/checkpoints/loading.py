# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A checkpoint of ours, by its folder or by its name on the Hub: where it is, and what it holds."""

from functools import cache
from pathlib import Path


def find_checkpoint(name: str | Path) -> Path:
    """The folder itself, or that of the Hub's repository of this name, with `@revision` behind it if not the newest.

    A name on the Hub stays the same commit as long as the process runs.

    Raises:
        ValueError: there is neither.
    """
    return Path(name) if Path(name).exists() else _pulled(str(name))


@cache
def _pulled(name: str) -> Path:
    from .hub import pull

    try:
        return pull(name)
    except (ValueError, OSError) as error:
        raise ValueError(f"{name} is not a checkpoint (no such folder, nor on the Hub): {error}") from error


def load_checkpoint(name: str | Path, **options):
    """Model, evaluating, and processor of a checkpoint of ours that is whole.

    Args:
        name: as of `find_checkpoint`.
        options: as of `from_pretrained`.

    Raises:
        FileNotFoundError, ValueError: it is none, or something is missing or damaged.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, AutoProcessor

    from ..models.configuration import AffectConfig

    folder, advice = find_checkpoint(name), "give the output folder of `mm-affect train`"
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{name} is not a checkpoint (it has no config.json); {advice}.")
    try:
        config = AutoConfig.from_pretrained(folder)
    except OSError as error:
        raise FileNotFoundError(f"{name} is not a checkpoint (its config.json cannot be read); {advice}.") from error
    if not isinstance(config, AffectConfig):
        raise ValueError(
            f"{name} is a checkpoint of another architecture ({config.model_type}); give one that mm_affect made."
        )
    processor = AutoProcessor.from_pretrained(folder)
    if not processor.modalities:  # what `AutoProcessor` makes of a folder without one
        raise FileNotFoundError(f"{name} has no processor (it has no processor_config.json); {advice}.")
    pretrained = (config.architectures or [""])[0].endswith("ForPreTraining")  # with more parts than `AutoModel` reads
    try:
        model = (AutoModelForPreTraining if pretrained else AutoModel).from_pretrained(
            folder, config=config, **options
        )
    except SafetensorError as error:
        raise ValueError(f"The weights in {name} are damaged ({error}); copy or train them again.") from error
    return model.eval(), processor
