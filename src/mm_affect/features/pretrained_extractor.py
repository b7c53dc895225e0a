# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Base of extractors that run a pretrained network.

The weights stay in their files. A description identifies them by name and sha256, so it is the same on every machine;
a local file is searched for in the folder that the environment variable `MM_AFFECT_WEIGHTS` names.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, Self

from torch import nn

from .pretrained_files import compute_sha256, resolve_path


class PretrainedExtractor:
    """An extractor with a network, which is loaded on first use and left out of pickles.

    A subclass has `name`, `version`, `options` (the arguments of its constructor besides the weights), `_files`, which
    returns the files that decide the features, and `_load`, which returns the network. `extractor.network.to("cuda")`
    moves the network.

    Args:
        weights: a path, or a name on the Hub.

    Raises:
        ValueError: there are no such weights.
    """

    name: str
    version: int
    options: tuple[str, ...]  # in the description, in addition to the weights

    def __init__(self, weights: str | Path):
        self.weights = Path(weights).resolve().name if resolve_path(weights).exists() else str(weights)
        self._paths = self._files(weights)
        self._sha256 = compute_sha256(self._paths)

    @cached_property
    def network(self) -> Any:
        """Return the network, loaded on first use."""
        return self._load()

    def _files(self, weights: str | Path) -> list[Path]:
        raise NotImplementedError

    def _load(self) -> nn.Module:
        raise NotImplementedError

    def __getstate__(self) -> dict:
        """Without the network, which is read again where it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "network"}

    @property
    def size(self) -> int:
        """Return the number of features per step."""
        return self.network.size

    def describe(self) -> dict:
        """Return everything that decides the features, as JSON values; weights are identified by their hash."""
        described = {"name": self.name, "version": self.version, "size": self.size}
        return described | {key: getattr(self, key) for key in (*self.options, "weights")} | {"sha256": self._sha256}

    @classmethod
    def from_description(cls, description: dict, weights: str | Path | None = None) -> Self:
        """Return the extractor of a description.

        Args:
            description: result of `describe`.
            weights: current location of the weights; default: the one in the description.

        Raises:
            ValueError: weights are missing or differ, or this version cannot compute those features.
        """
        lacking = [key for key in (*cls.options, "weights", "sha256") if key not in description]
        if lacking:
            raise ValueError(
                f"The description of {cls.name} features has no `{lacking[0]}`; give one made by `describe()`."
            )
        extractor = cls(weights or description["weights"], **{key: description[key] for key in cls.options})
        for key, here in (extractor.describe() | {"weights": description["weights"]}).items():
            if description.get(key) != here:
                raise ValueError(
                    f"The description asks for {cls.name} features with {key} {description.get(key)!r}; this has {here!r}. "
                    "Give the weights that the features were made with, or extract them again."
                )
        return extractor


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that an option has one of its values.

    Raises:
        ValueError: it has another value.
    """
    if value not in choices:
        raise ValueError(f"`{name}` is {value!r}; expected one of {', '.join(choices)}.")
