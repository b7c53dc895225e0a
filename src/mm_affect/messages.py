# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Parts that error messages share."""

import difflib

from huggingface_hub.errors import StrictDataclassError


def reason_of(error: StrictDataclassError) -> str:
    """What a strict dataclass says, on one line, without the name of its validator."""
    return " ".join(str(error).split()).split("Error: ", 1)[-1].rstrip(".")


def suggestion(name: str, known) -> str:
    """` Did you mean ...?` or a list of what is known."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(sorted(known))}."
