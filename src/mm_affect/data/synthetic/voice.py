# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The voices of the sample corpus: a small formant synthesizer from words to a waveform with word times.

Source and filter (Fant, 1960): a glottal pulse train and noise, shaped by the formants of the vowels (Peterson and
Barney, JASA 1952). Words are spoken letter by letter, so the speech is babble with the rhythm of the words. The controls
change in steps of 5 ms; the filter is applied to the short-time spectrum, without a loop over samples.
"""

import re
from dataclasses import dataclass

import numpy as np
from scipy import signal


RATE = 16_000  # samples per second
STEP = 80  # samples per control step: 5 ms
LEAD = 0.15  # seconds of silence before the first word and after the last

# Formants in Hz, then seconds at a normal rate.
VOWELS = {
    "a": (730, 1090, 2440, 0.11),
    "e": (530, 1840, 2480, 0.095),
    "i": (390, 1990, 2550, 0.085),
    "o": (570, 840, 2410, 0.11),
    "u": (440, 1020, 2240, 0.095),
    "y": (270, 2290, 3010, 0.08),
}
# Letters -> formants, seconds, loudness of the voice, loudness of the noise.
CONSONANTS = {
    "mn": (280, 1100, 2200, 0.05, 0.45, 0.0),
    "lrw": (360, 1100, 2300, 0.04, 0.55, 0.0),
    "vzjg": (300, 1500, 2500, 0.05, 0.35, 0.3),
    "fsxh": (500, 2600, 3800, 0.065, 0.0, 0.6),
    "bd": (250, 1200, 2300, 0.045, 0.25, 0.15),
    "ptkcq": (400, 1900, 3000, 0.045, 0.0, 0.35),
}
BANDWIDTHS = (80.0, 110.0, 170.0)  # Hz


@dataclass(frozen=True)
class Voice:
    """Voice of a speaker: pitch in Hz, factors of the formants and of the rate, breathiness from 0 to 1."""

    pitch: float
    formants: float
    rate: float
    breath: float


@dataclass(frozen=True)
class Manner:
    """Prosody of a sentence: arousal and valence from -1 to 1, surprise from 0 to 1.

    Arousal raises pitch, loudness, rate and the high frequencies, and lowers breath. Valence lets the pitch rise
    (positive) or fall (negative) through the sentence, and shortens the vocal tract as a smile does. Surprise widens
    the pitch range.
    """

    arousal: float
    valence: float
    surprise: float


def make_voice(rng: np.random.Generator) -> Voice:
    """Draw the voice of a speaker at random; low voices have long vocal tracts."""
    size = rng.uniform(0, 1)
    return Voice(
        pitch=110 * 2 ** (size + rng.uniform(-0.1, 0.1)),
        formants=0.94 + 0.14 * size + rng.uniform(-0.02, 0.02),
        rate=rng.uniform(0.95, 1.05),
        breath=rng.uniform(0.05, 0.3),
    )


def speak(
    words: list[str], voice: Voice, manner: Manner, rng: np.random.Generator
) -> tuple[np.ndarray, list[list[float]]]:
    """Synthesize a waveform, float32 (samples,) at 16 kHz within -1..1, and [start, end] of every word in seconds."""
    phones, word_of = _phones(words)
    seconds = np.array([phone[3] for phone in phones]) * rng.uniform(0.92, 1.08, size=len(phones))
    seconds /= voice.rate * (1 + 0.18 * manner.arousal)
    seconds *= np.clip(seconds.sum(), 1.7, 2.7) / seconds.sum()  # clips last 2 to 3 seconds
    lengths = np.maximum(2, np.round(seconds * RATE / STEP)).astype(int)
    ends = np.cumsum(lengths)
    starts, steps = ends - lengths, int(ends[-1])
    lead = round(LEAD * RATE / STEP)

    # Every control track is constant within a phone, then smoothed over 25 ms as the mouth moves.
    values = np.array([[*phone[:3], *phone[4:]] for phone in phones])[np.repeat(np.arange(len(phones)), lengths)]
    window = np.hanning(7)[1:-1] / np.hanning(7)[1:-1].sum()
    tracks = signal.convolve(np.pad(values, ((2, 2), (0, 0)), mode="edge"), window[:, None], mode="valid")
    formants = tracks[:, :3] * voice.formants * (1 + 0.05 * manner.valence)
    voiced, noisy = tracks[:, 3], tracks[:, 4]

    vowels = starts[[phone[4] == 1.0 for phone in phones]]
    pitch = _pitch(steps, vowels, voice, manner, rng)
    breath = np.clip(voice.breath * (1 - 0.5 * manner.arousal), 0.02, 0.6)
    source = _pulses(pitch, rng) * _per_sample(voiced) + rng.normal(0, 0.12, steps * STEP) * _per_sample(
        noisy + breath * voiced
    )
    sound = _filter(source, formants, tilt=5.0 + 4.0 * manner.arousal)
    sound *= 0.09 * 10 ** (7.0 * manner.arousal / 20) / (np.sqrt(np.mean(sound**2)) + 1e-9)
    sound = np.pad(sound, (lead * STEP, lead * STEP)) + rng.normal(0, 0.001, len(sound) + 2 * lead * STEP)

    first = [starts[word_of == w].min() + lead for w in range(len(words))]
    last = [ends[word_of == w].max() + lead for w in range(len(words))]
    spans = [[round(float(step) * STEP / RATE, 3) for step in span] for span in zip(first, last, strict=True)]
    return np.tanh(sound).astype(np.float32), spans


def loudness(sound: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the loudness around each time (seconds, windows of 60 ms), 0 to 1 relative to the loud parts of the audio."""
    power = signal.fftconvolve(sound.astype(np.float64) ** 2, np.hanning(int(0.06 * RATE)), mode="same").clip(min=0)
    level = np.sqrt(power[np.clip((times * RATE).astype(int), 0, len(sound) - 1)])
    return np.clip(level / (np.sqrt(np.percentile(power, 95)) + 1e-9), 0, 1)


def _phones(words: list[str]) -> tuple[list[tuple[float, ...]], np.ndarray]:
    """(F1, F2, F3, seconds, voice, noise) per phone, and the word each belongs to."""
    phones, word_of = [], []
    for index, word in enumerate(words):
        spoken = re.sub(r"(?<=[aeiou][^aeiou])e$", "", word.lower())  # a last e is silent
        for group in re.finditer(r"[aeiouy]+|([^aeiouy])\1?", spoken):
            letter = group.group()[0]
            if letter in VOWELS:
                *formants, seconds = VOWELS[letter]
                phones.append((*formants, seconds * (1.3 if len(group.group()) > 1 else 1.0), 1.0, 0.0))
            else:
                phones.append(next(values for letters, values in CONSONANTS.items() if letter in letters))
            word_of.append(index)
    return phones, np.array(word_of)


def _pitch(steps: int, vowels: np.ndarray, voice: Voice, manner: Manner, rng: np.random.Generator) -> np.ndarray:
    """Hz at every control step: speaker and arousal set the height, valence the slope, vowels the accents."""
    along = np.linspace(-1, 1, steps)
    octaves = 0.40 * manner.arousal + (0.22 * manner.valence + rng.normal(0, 0.03)) * along
    width = 0.05 + 0.55 * manner.surprise
    accents = np.zeros(steps)
    accents[vowels[1::2]] = 1.0
    shape = np.hanning(35)
    octaves = octaves + width * np.minimum(np.convolve(accents, shape)[:steps], 1.0)
    tremor = np.convolve(rng.normal(0, 0.02, steps + 8), np.ones(9) / 9, mode="valid")
    return voice.pitch * 2 ** (octaves + tremor)


def _per_sample(track: np.ndarray) -> np.ndarray:
    """A control track -> one value per sample, linear in between."""
    return np.interp(np.arange(len(track) * STEP) / STEP, np.arange(len(track)) + 0.5, track)


def _pulses(pitch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The flow derivative of a Rosenberg glottal pulse at this pitch (Rosenberg, JASA 1971)."""
    phase = np.cumsum(_per_sample(pitch)) / RATE + rng.uniform()
    place = phase % 1.0
    opening, closing = 0.4, 0.16
    flow = np.where(
        place < opening,
        0.5 * (1 - np.cos(np.pi * place / opening)),
        np.where(place < opening + closing, np.cos(np.pi / 2 * (place - opening) / closing), 0.0),
    )
    return np.diff(flow, prepend=flow[0]) * 4


def _filter(source: np.ndarray, formants: np.ndarray, tilt: float) -> np.ndarray:
    """Shapes the source by three resonances per control step and a tilt of the spectrum in dB per octave above 500 Hz.

    The tilt is positive as a rule: it stands for the higher resonances, which three formants leave out.
    """
    frequencies, _, spectrum = signal.stft(source, RATE, nperseg=4 * STEP, noverlap=3 * STEP)
    moment = np.clip(np.arange(spectrum.shape[1]), 0, len(formants) - 1)
    gain = np.ones(spectrum.shape)
    for k, bandwidth in enumerate(BANDWIDTHS):
        center, f = formants[moment, k][None, :], frequencies[:, None]
        gain *= center**2 / np.sqrt((f**2 - center**2) ** 2 + (bandwidth * f) ** 2 + 1.0)
    gain *= 10 ** (tilt * np.log2(np.maximum(frequencies, 500) / 500) / 20)[:, None]
    return signal.istft(spectrum * gain, RATE, nperseg=4 * STEP, noverlap=3 * STEP)[1][: len(source)]
