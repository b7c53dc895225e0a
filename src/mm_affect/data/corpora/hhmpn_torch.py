# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`train_valid_test.pt` of HHMPN (Zhang et al. 2021), which TAILOR and CARAT read too: CMU-MOSEI with six emotions.

Written by torch.save: a dict split -> `src-text`, `src-visual`, `src-audio` (clips, steps, features) and `tgt`, for each
clip a list of tokens between begin (2) and end (3). Beside the splits, `dict["tgt"]` maps each emotion to its token; the
order that TAILOR's code writes in a comment is used only where a file lacks it. The file has presence, no intensities,
and no clip ids, so nothing can be joined to it.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ...vocabulary import EMOTIONS
from .layouts import LayoutFile
from .split_pickle import SplitPickleLayout, text_of


FILE = "train_valid_test.pt"
BEGIN, END, SPECIAL = 2, 3, 4  # tokens below SPECIAL are no labels: padding, unknown, begin, end
SYNONYMS = {  # how files and papers call them -> our names
    "happiness": "happy", "joy": "happy", "sadness": "sad", "angry": "anger", "surprised": "surprise",
    "disgusted": "disgust", "fearful": "fear",
}  # fmt: skip


class HhmpnLayout(SplitPickleLayout):
    """A subclass gives `about` (name, license, citation, split_protocol) and `counts`."""

    name = "hhmpn"
    title = "the torch file of HHMPN and TAILOR (train_valid_test.pt)"
    files = (LayoutFile(FILE, "word-aligned features and the emotions that are present"),)
    array_keys = {"text": "src-text", "audio": "src-audio", "visual": "src-visual"}
    needed = ("tgt",)

    @property
    def path(self) -> Path:
        return self.folder / FILE

    @cached_property
    def label_fields(self) -> list[LabelField]:
        names = set(self._tokens.values())
        if len(names) < len(self._tokens) or names != set(EMOTIONS):
            raise ValueError(
                f"{self.path}: `dict` names the emotions {', '.join(sorted(names))}; expected {', '.join(EMOTIONS)}."
            )
        return [LabelField("emotion", "multi_label_classification", EMOTIONS, (0.0, 1.0))]

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        for index, (clip, tokens) in enumerate(zip(self._ids[split], self._splits[split]["tgt"], strict=True)):
            present = self._present(tokens, clip)
            yield index, {"id": clip, "group": clip}, {"emotion": [float(name in present) for name in EMOTIONS]}

    @cached_property
    def _tokens(self) -> dict[int, str]:
        """Token -> emotion."""
        mapping = self._contents.get("dict")
        mapping = mapping.get("tgt") if isinstance(mapping, dict) else None
        if mapping is None:
            self.reported["label_order_assumed"] = 1
            return {SPECIAL + i: name for i, name in enumerate(EMOTIONS)}
        try:
            tokens = {int(token): text_of(name) for name, token in mapping.items() if int(token) >= SPECIAL}
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"{self.path}: `dict` maps no names to tokens in `tgt`; get the file again.") from None
        return {token: SYNONYMS.get(name.lower(), name.lower()) for token, name in tokens.items()}

    def _present(self, tokens, clip: str) -> set[str]:
        found = np.asarray(tokens).tolist()
        if not isinstance(found, list) or found[:1] != [BEGIN] or found[-1:] != [END] or len(found) < 2:
            raise ValueError(f"{self.path}: `tgt` of {clip} is {found!r}; expected tokens between {BEGIN} and {END}.")
        strange = [token for token in found[1:-1] if token not in self._tokens]
        if strange:
            raise ValueError(f"{self.path}: `tgt` of {clip} holds the token {strange[0]!r}, which no emotion has.")
        return {self._tokens[token] for token in found[1:-1]}
