# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A small IEMOCAP release: every kind of file, in the format of the original."""

import wave
from pathlib import Path


SAID = {"Excuse me.": ("EXCUSE", "ME"), "Well, [LAUGHTER] I'm -- fine.": ("WELL", "I'M", "FINE(2)")}
TEXTS = tuple(SAID)
EVALUATION = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"


def write_iemocap(
    folder: Path, labels: tuple[str, ...] = ("neu", "hap", "sad", "ang", "exc", "fru", "xxx"), dialogues: int = 2
) -> Path:
    """Five sessions of `dialogues` dialogues, each with one utterance per label by the two speakers in turn."""
    for session in range(1, 6):
        for number in range(dialogues):
            _write_dialogue(
                folder / f"Session{session}", f"Ses{session:02d}{'FM'[number % 2]}_impro{number:02d}", labels
            )
    return folder


def _write_dialogue(session: Path, dialogue: str, labels: tuple[str, ...]) -> None:
    votes, spoken = [EVALUATION], []
    for turn, label in enumerate(labels):
        utterance = f"{dialogue}_{'FM'[turn % 2]}{turn:03d}"
        start, end = 6.29 + 2 * turn, 8.2357 + 2 * turn
        votes.append(f"[{start:.4f} - {end:.4f}]\t{utterance}\t{label}\t[2.5000, 3.0000, {1.5 + turn / 2:.4f}]\n")
        votes.append("C-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n\n")
        text = TEXTS[turn % 2]
        spoken.append(f"{utterance} [{start:08.4f}-{end:08.4f}]: {text}\n")
        _write_wave(session / "sentences" / "wav" / dialogue / f"{utterance}.wav", 0.2)
        _write_alignment(session / "sentences" / "ForcedAlignment" / dialogue / f"{utterance}.wdseg", SAID[text])
    spoken.append("M: a line that is no utterance\n")
    for part, name, lines in (("EmoEvaluation", dialogue, votes), ("transcriptions", dialogue, spoken)):
        path = session / "dialog" / part / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
        path.with_name(f"._{name}.txt").write_bytes(b"\x00\x05\x16\x07 left by a Macintosh \xff")


def _write_alignment(path: Path, words: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [
        ("<s>", 0, 9),
        *((word, 10 + 20 * i, 28 + 20 * i) for i, word in enumerate(words)),
        ("++NOISE++", 90, 95),
    ]
    lines = [
        f"\t{first:5d} {last:5d}      {-60835 - first} {word}\n" for word, first, last in [*frames, ("</s>", 96, 99)]
    ]
    path.write_text(
        "\t SFrm  EFrm    SegAScr Word\n" + "".join(lines) + "Total score:     -3214532\n", encoding="utf-8"
    )


def _write_wave(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\0\0" * round(16000 * seconds))
