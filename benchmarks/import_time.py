# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `import mm_affect` costs in a fresh interpreter where transformers is imported already.

`import transformers` alone loads almost nothing: it fetches each class when it is first named. Two baselines
therefore: `used`, where `AutoModel` and `AutoProcessor` were named, as every program does that loads a model; and
`unused`, where the import of mm_affect also has to load what these two would have loaded.

    python benchmarks/import_time.py

Expected: at most 0.5 s after `used`.
"""

import argparse
import os
import statistics
import subprocess
import sys


BASELINES = {
    "used": "import transformers, torch; from transformers import AutoModel, AutoProcessor",
    "unused": "import transformers, torch",
}
STOPWATCH = """
import time
begin = time.perf_counter(), time.process_time()
import mm_affect
print(time.perf_counter() - begin[0], time.process_time() - begin[1])
"""


def added(baseline: str) -> tuple[float, ...]:
    """Wall and processor seconds of the import after `baseline`."""
    command = [sys.executable, "-c", baseline + STOPWATCH]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout
    return tuple(float(number) for number in output.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for baseline in BASELINES.values():  # once, so that the page cache is warm
        added(baseline)
    rounds = [{name: added(baseline) for name, baseline in BASELINES.items()} for _ in range(options.rounds)]
    print(f"added by `import mm_affect`: median (least to greatest) of {options.rounds} rounds in turns")
    for name, baseline in BASELINES.items():
        for clock, measure in enumerate(("wall", "processor")):
            taken = [one[name][clock] for one in rounds]
            print(
                f"{name:7s} {statistics.median(taken):6.3f} s {measure:9s} ({min(taken):.3f} to {max(taken):.3f})"
                f"   after `{baseline}`"
            )


if __name__ == "__main__":
    main()
