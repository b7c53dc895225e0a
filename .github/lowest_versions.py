# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Print a constraints file that pins the dependencies, and those of the extra `all`, to their lower bounds."""

import re
import tomllib
from pathlib import Path


PROJECT = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]
EXTRAS = ("audio", "video", "metrics", "plots", "data")


def main() -> None:
    """Print one `name==version` per requirement."""
    extras = PROJECT["optional-dependencies"]
    requirements = [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    for requirement in dict.fromkeys(requirements):
        name, version = re.fullmatch(r"([\w-]+)[>=]=([\d.]+).*", requirement).groups()
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
