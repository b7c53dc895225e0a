# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Log-mel filterbanks as Kaldi computes them, several frames stacked into one step.

The numbers are those of Kaldi's `compute-fbank-feats --dither=0 --snip-edges=true`: float32, int16 scale, Povey
window, pre-emphasis 0.97, DC offset removed, power spectrum, bands from 20 Hz to the Nyquist frequency, floor at the
float32 epsilon before the logarithm. Stacking follows Khare et al. 2021, "Self-supervised learning with cross-modal
transformers for emotion recognition": 5 frames of 40 bands, not overlapping, become one step of 200 every 50 ms.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.fft
from transformers import FeatureExtractionMixin


INT16_SCALE = 32768.0  # Kaldi reads 16-bit integers; waveforms here are in [-1, 1]
PREEMPHASIS = 0.97
LOW_FREQUENCY = 20.0  # Hz
STEPS_PER_BLOCK = 50  # steps computed at once: 2.5 s by default, small enough for the processor's cache


class LogMelExtractor(FeatureExtractionMixin):
    """Mono waveform -> `(steps, stack * num_mel_bins)` log energies, 20 steps of 200 numbers per second by default.

    A feature extractor of transformers as far as files go: `AutoFeatureExtractor` finds it in the folder of a processor.

    Dimension `frame1_mel03` is band 3 of the second frame of the step. The last step is filled up with zeros when
    fewer than `stack` frames are left; a waveform shorter than one frame has zero steps.

    >>> LogMelExtractor()(np.zeros(16000, dtype=np.float32)).shape
    (20, 200)
    """

    name = "log_mel"
    version = 1

    def __init__(
        self,
        sampling_rate: int = 16000,
        num_mel_bins: int = 40,
        frame_length_ms: float = 25.0,
        frame_shift_ms: float = 10.0,
        stack: int = 5,
    ):
        super().__init__()
        self.sampling_rate = sampling_rate
        self.num_mel_bins = num_mel_bins
        self.frame_length_ms = frame_length_ms
        self.frame_shift_ms = frame_shift_ms
        self.stack = stack

        self._length = int(sampling_rate * frame_length_ms / 1000)  # samples; Kaldi truncates too
        self._shift = int(sampling_rate * frame_shift_ms / 1000)
        if min(self._shift, self._length - 1, num_mel_bins, stack) < 1:
            raise ValueError(
                "LogMelExtractor needs at least one sample per shift, two per frame, one band and one frame per step; "
                f"got {self._shift}, {self._length}, {num_mel_bins} and {stack}: check its five parameters."
            )
        self._padded = 1 << (self._length - 1).bit_length()  # the FFT takes the next power of two
        self._window = povey_window(self._length)
        self._filters = mel_filters(num_mel_bins, self._padded, sampling_rate)

        self.rate = sampling_rate / (self._shift * stack)
        self.size = stack * num_mel_bins
        self.dimension_names = [f"frame{f}_mel{b:02d}" for f in range(stack) for b in range(num_mel_bins)]

    def describe(self) -> dict:
        """Return everything that decides the features, as JSON values for `from_description`."""
        parameters = ("sampling_rate", "num_mel_bins", "frame_length_ms", "frame_shift_ms", "stack")
        described = ("name", "version", "rate", "size", "dimension_names", *parameters)
        return {key: getattr(self, key) for key in described}

    @classmethod
    def from_description(cls, description: dict) -> "LogMelExtractor":
        """Return the extractor of a description.

        Raises:
            ValueError: the description belongs to another extractor or version, or is inconsistent.
        """
        derived = ("name", "version", "rate", "size", "dimension_names")
        try:
            extractor = cls(**{key: value for key, value in description.items() if key not in derived})
        except TypeError as error:
            raise ValueError(f"This is not a description of `{cls.name}`: {description}; {error}.") from error
        if extractor.describe() != description:
            raise ValueError(
                f"This description does not fit `{cls.name}` of this version: expected {extractor.describe()}, "
                f"got {description}. Extract the features again with this version, or use the version that made them."
            )
        return extractor

    def to_dict(self) -> dict:
        """Return the description and the type that `AutoFeatureExtractor` reads."""
        code = {"auto_map": self.auto_map} if hasattr(self, "auto_map") else {}
        return self.describe() | code | {"feature_extractor_type": type(self).__name__}

    @classmethod
    def from_dict(cls, feature_extractor_dict: dict, return_unused_kwargs: bool = False, **kwargs):
        """Return the extractor of the result of `to_dict`."""
        of_transformers = ("feature_extractor_type", "auto_map")
        extractor = cls.from_description({k: v for k, v in feature_extractor_dict.items() if k not in of_transformers})
        return (extractor, kwargs) if return_unused_kwargs else extractor

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Features `(steps, size)`, float32, of a float waveform `(samples,)` in [-1, 1] at `sampling_rate`.

        Raises `ValueError` for integers, more than one channel, NaN or inf.
        """
        return np.concatenate([np.zeros((0, self.size), np.float32), *self.stream([waveform])])

    def stream(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Features of a waveform that comes in chunks of any length, in parts `(some steps, size)`.

        Joined together they equal the features of the whole waveform to the bit, because both are computed in the same
        blocks. Memory: one chunk and one block.
        """
        frames_per_block = STEPS_PER_BLOCK * self.stack
        advance = frames_per_block * self._shift
        needed = advance - self._shift + self._length  # samples under the frames of one block
        rest = np.zeros(0, np.float32)
        for chunk in chunks:
            rest = np.concatenate([rest, check_waveform(chunk)])
            begin = 0
            while len(rest) - begin >= needed:
                yield self._stacked(self._log_mel(rest[begin : begin + needed]))
                begin += advance
            rest = rest[begin:].copy()
        if len(rest) >= self._length:
            yield self._stacked(self._log_mel(rest))

    def _log_mel(self, samples: np.ndarray) -> np.ndarray:
        frames = np.lib.stride_tricks.sliding_window_view(samples, self._length)[:: self._shift]
        frames = frames * np.float32(INT16_SCALE)  # (frames, length), a copy
        frames -= frames.mean(axis=1, keepdims=True)
        emphasized = np.empty_like(frames)
        emphasized[:, 1:] = frames[:, 1:] - np.float32(PREEMPHASIS) * frames[:, :-1]
        emphasized[:, 0] = frames[:, 0] * np.float32(1 - PREEMPHASIS)
        emphasized *= self._window
        spectrum = scipy.fft.rfft(emphasized, self._padded, axis=1)[:, :-1]  # Kaldi's filters leave the last bin out
        power = spectrum.real**2 + spectrum.imag**2
        return np.log(np.maximum(power @ self._filters, np.finfo(np.float32).eps))

    def _stacked(self, log_mel: np.ndarray) -> np.ndarray:
        missing = -len(log_mel) % self.stack
        return np.pad(log_mel, ((0, missing), (0, 0))).reshape(-1, self.size)


def povey_window(length: int) -> np.ndarray:
    """Return Kaldi's default window `(length,)`: a Hann window to the power 0.85, in float32."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))
    return (hann**0.85).astype(np.float32)


def mel_filters(num_mel_bins: int, fft_length: int, sampling_rate: int) -> np.ndarray:
    """Triangles of equal width on the mel scale 1127 ln(1 + f / 700), as weights `(fft_length / 2, num_mel_bins)`.

    Raises `ValueError` when a band is so narrow that no frequency of the transform falls into it.
    """

    def mel(frequency):
        return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)

    edges = np.linspace(mel(LOW_FREQUENCY), mel(sampling_rate / 2), num_mel_bins + 2)
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    bins = mel(np.arange(fft_length // 2) * sampling_rate / fft_length)[:, None]
    rising, falling = (bins - left) / (center - left), (right - bins) / (right - center)
    filters = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    empty = np.flatnonzero(filters.sum(axis=0) == 0)
    if empty.size:
        raise ValueError(
            f"{num_mel_bins} mel bands are too many for {fft_length}-point spectra at {sampling_rate} Hz: band "
            f"{empty[0]} would be empty. Use fewer bands or longer frames."
        )
    return filters


def check_waveform(waveform: np.ndarray) -> np.ndarray:
    """Return the waveform as float32.

    Raises:
        ValueError: it is not one channel of finite floats.
    """
    waveform = np.asarray(waveform)
    if waveform.ndim != 1 or not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(
            f"A waveform must be one channel of floats in [-1, 1], shape (samples,); got shape {waveform.shape} of "
            f"{waveform.dtype}. Average the channels, and divide 16-bit integers by 32768."
        )
    finite = np.isfinite(waveform)
    if not finite.all():
        raise ValueError(
            f"The waveform holds {np.count_nonzero(~finite)} samples that are NaN or infinite, the first at position "
            f"{int(np.argmin(finite))}. Repair or drop the recording."
        )
    return waveform.astype(np.float32, copy=False)
