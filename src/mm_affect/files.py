# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Atomic writes, and values as they were typed."""

import json
import os
from pathlib import Path


def as_json(text: str):
    """What was typed as JSON, or else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a whole file or leave what was there, also when the disk is full or the program is stopped."""
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
