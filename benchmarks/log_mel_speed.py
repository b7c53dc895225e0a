# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed of log-mel extraction on one core, compared with kaldi-native-fbank on the same 30 s of noise.

    OMP_NUM_THREADS=1 python benchmarks/log_mel_speed.py

Expected: at least 500 times real time, and at least 2 times as fast as kaldi-native-fbank.
"""

import os


os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads

import time
from collections.abc import Callable

import kaldi_native_fbank
import numpy as np

from mm_affect.features.log_mel import INT16_SCALE, LogMelExtractor


SECONDS = 30
REPEATS = 15


def extract_with_kaldi(samples: np.ndarray) -> np.ndarray:
    """Return the features of kaldi-native-fbank, used as documented: a list of samples as input, one frame at a time as output."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 40
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(16000, samples)
    fbank.input_finished()
    return np.stack([fbank.get_frame(frame) for frame in range(fbank.num_frames_ready)])


def main() -> None:
    """Time both extractors and print their ratio."""
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, SECONDS * 16000).astype(np.float32)
    scaled = (waveform * INT16_SCALE).tolist()  # not timed: users of mm_affect do not need this step
    ours = LogMelExtractor()
    runs: dict[str, Callable] = {
        "mm_affect": lambda: ours(waveform),
        "kaldi-native-fbank": lambda: extract_with_kaldi(scaled),
    }
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(REPEATS):  # alternately, so that other load on the machine affects both
        for name, run in runs.items():
            begin = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - begin)

    for name, seconds in best.items():
        print(f"{name:20s} {1000 * seconds:8.1f} ms for {SECONDS} s of audio   {SECONDS / seconds:7.0f} x real time")
    print(f"ratio: mm_affect is {best['kaldi-native-fbank'] / best['mm_affect']:.2f} x as fast as kaldi-native-fbank")


if __name__ == "__main__":
    main()
