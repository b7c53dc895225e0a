# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Licenses in the front matter of cards: an identifier of the Hub, or `other` with a name."""

import re


HUB_LICENSES = (
    *("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "odbl", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0"),
)


def make_license_fields(license: str) -> dict[str, str]:
    """Return `license`, and `license_name` where the Hub has no identifier for the license."""
    identifier = license.strip().lower().replace(" ", "-")
    return (
        {"license": identifier} if identifier in HUB_LICENSES else {"license": "other", "license_name": slug(license)}
    )


def slug(text: str) -> str:
    """Return the text in lower-case letters, digits, dots and hyphens, with at most 60 characters."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")[:60].rstrip("-") or "unnamed"
