# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Torch file of HHMPN (Zhang et al. 2021), `train_valid_test.pt`: CMU-MOSEI with the presence of six emotions.

TAILOR and CARAT read the same file. It was written by torch.save: a dict split -> `src-text`, `src-visual`, `src-audio`
(clips, steps, features) and `tgt`, a list of label tokens per clip between begin (2) and end (3). `dict["tgt"]` maps each
emotion to its token; if a file lacks it, the order in a comment of TAILOR's code is assumed. The file has no intensities
and no clip ids, so nothing can be joined to it.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ...vocabulary import EMOTIONS
from .layouts import LayoutFile
from .split_pickle import SplitPickleLayout, to_text


FILE = "train_valid_test.pt"
BEGIN, END, SPECIAL = 2, 3, 4  # tokens below SPECIAL are padding, unknown, begin and end
SYNONYMS = {  # name in files and papers -> our name
    "happiness": "happy", "joy": "happy", "sadness": "sad", "angry": "anger", "surprised": "surprise",
    "disgusted": "disgust", "fearful": "fear",
}  # fmt: skip


class HhmpnLayout(SplitPickleLayout):
    """Layout of the HHMPN file. Subclasses set `about` and `counts`."""

    name = "hhmpn"
    title = "the torch file of HHMPN and TAILOR (train_valid_test.pt)"
    files = (LayoutFile(FILE, "word-aligned features and the emotions that are present"),)
    array_keys = {"text": "src-text", "audio": "src-audio", "visual": "src-visual"}
    needed = ("tgt",)

    @property
    def path(self) -> Path:
        """Return the file to read."""
        return self.folder / FILE

    @cached_property
    def label_fields(self) -> list[LabelField]:
        """Return the label columns of the file."""
        names = set(self._tokens.values())
        if len(names) < len(self._tokens) or names != set(EMOTIONS):
            raise ValueError(
                f"{self.path}: `dict` names the emotions {', '.join(sorted(names))}; expected {', '.join(EMOTIONS)}."
            )
        return [LabelField("emotion", "multi_label_classification", EMOTIONS, (0.0, 1.0))]

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        """Iterate over the clips of a split: position, row without features and labels, and labels."""
        for index, (clip, tokens) in enumerate(zip(self._ids[split], self._splits[split]["tgt"], strict=True)):
            present = self._find_present(tokens, clip)
            yield index, {"id": clip, "group": clip}, {"emotion": [float(name in present) for name in EMOTIONS]}

    @cached_property
    def _tokens(self) -> dict[int, str]:
        """Return token -> emotion."""
        mapping = self._contents.get("dict")
        mapping = mapping.get("tgt") if isinstance(mapping, dict) else None
        if mapping is None:
            self.reported["label_order_assumed"] = 1
            return {SPECIAL + i: name for i, name in enumerate(EMOTIONS)}
        try:
            tokens = {int(token): to_text(name) for name, token in mapping.items() if int(token) >= SPECIAL}
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"{self.path}: `dict` maps no names to tokens in `tgt`; get the file again.") from None
        return {token: SYNONYMS.get(name.lower(), name.lower()) for token, name in tokens.items()}

    def _find_present(self, tokens, clip: str) -> set[str]:
        values = np.asarray(tokens).tolist()
        if not isinstance(values, list) or values[:1] != [BEGIN] or values[-1:] != [END] or len(values) < 2:
            raise ValueError(f"{self.path}: `tgt` of {clip} is {values!r}; expected tokens between {BEGIN} and {END}.")
        unknown = [token for token in values[1:-1] if token not in self._tokens]
        if unknown:
            raise ValueError(f"{self.path}: `tgt` of {clip} holds the token {unknown[0]!r}, which no emotion has.")
        return {self._tokens[token] for token in values[1:-1]}
