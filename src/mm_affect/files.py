# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Atomic writes, and parsing of values from the command line."""

import json
import os
from pathlib import Path
from typing import Any


def as_json(text: str) -> Any:
    """Parse text as JSON; return the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a file completely, or leave the old one if the disk is full or the program is stopped."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
