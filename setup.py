# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""For tools that expect this file: everything is declared in `pyproject.toml`."""

from setuptools import setup


setup()
