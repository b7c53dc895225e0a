# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Loading of checkpoints of mm_affect from a folder or from the Hub."""

from functools import cache
from pathlib import Path


def find_checkpoint(name: str | Path) -> Path:
    """Return the local folder of a checkpoint, downloading it from the Hub if necessary.

    Within a process, a name on the Hub always refers to the same commit.

    Args:
        name: folder, or name on the Hub, optionally followed by `@revision`.

    Raises:
        ValueError: there is neither a folder nor a Hub repository of this name.
    """
    return Path(name) if Path(name).exists() else _pulled(str(name))


@cache
def _pulled(name: str) -> Path:
    from .hub import pull

    try:
        return pull(name)
    except (ValueError, OSError) as error:
        raise ValueError(f"{name} is not a checkpoint (neither a folder nor on the Hub): {error}") from error


def load_checkpoint(name: str | Path, **options):
    """Load model and processor of a checkpoint; the model is in evaluation mode.

    Args:
        name: see `find_checkpoint`.
        options: options of `from_pretrained`.

    Raises:
        FileNotFoundError: this is not a checkpoint, or a file is missing.
        ValueError: the architecture is not of mm_affect, or the weights are damaged.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, AutoProcessor

    from ..models.configuration import AffectConfig

    folder, advice = find_checkpoint(name), "use the output folder of `mm-affect train`"
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{name} is not a checkpoint (it has no config.json); {advice}.")
    try:
        config = AutoConfig.from_pretrained(folder)
    except OSError as error:
        raise FileNotFoundError(f"{name} is not a checkpoint (its config.json cannot be read); {advice}.") from error
    if not isinstance(config, AffectConfig):
        raise ValueError(
            f"{name} is a checkpoint of another architecture ({config.model_type}); use a checkpoint of mm_affect."
        )
    processor = AutoProcessor.from_pretrained(folder)
    if not processor.modalities:  # the result of `AutoProcessor` for a folder without a processor
        raise FileNotFoundError(f"{name} has no processor (it has no processor_config.json); {advice}.")
    pretrained = (config.architectures or [""])[0].endswith(
        "ForPreTraining"
    )  # these have more parts than `AutoModel` loads
    try:
        model = (AutoModelForPreTraining if pretrained else AutoModel).from_pretrained(
            folder, config=config, **options
        )
    except SafetensorError as error:
        raise ValueError(f"The weights in {name} are damaged ({error}); copy the files or train again.") from error
    return model.eval(), processor
