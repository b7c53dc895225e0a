# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Parts that error messages share."""

import difflib
from collections.abc import Iterable


LISTED_NAMES = 20  # longer lists of names are cut


def validation_reason(error: Exception) -> str:
    """Return the message of a strict dataclass on one line, without the name of its validator."""
    return " ".join(str(error).split()).split("Error: ", 1)[-1].rstrip(".")


def did_you_mean(name: str, known: Iterable[str], list_known: bool = True) -> str:
    """Return ` Did you mean ...?`, or a list of the known names (an empty string without `list_known`) if none is close."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    if not list_known or not names:
        return ""
    more = f", ... ({len(names)} in all)" if len(names) > LISTED_NAMES else ""
    return f" Known: {', '.join(names[:LISTED_NAMES])}{more}."
