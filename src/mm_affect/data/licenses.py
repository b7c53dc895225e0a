# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A license as the front matter of a card on the Hub names it: one of the Hub's identifiers, or `other` with a name."""

import re


HUB_LICENSES = (
    *("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "odbl", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0"),
)


def license_of_card(license: str) -> dict[str, str]:
    """`license`, and `license_name` where the Hub has no identifier for these words."""
    identifier = license.strip().lower().replace(" ", "-")
    return (
        {"license": identifier} if identifier in HUB_LICENSES else {"license": "other", "license_name": slug(license)}
    )


def slug(text: str) -> str:
    """The text in small letters, figures, dots and hyphens, at most 60 of them."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")[:60].rstrip("-") or "unnamed"
