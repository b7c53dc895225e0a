# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Word vectors of a transcript, read from a file in GloVe's format or, for demonstrations, computed from a hash.

`tokenize` returns exactly one token for each word of `transcript.split()`, so that word times stay aligned. It strips
surrounding punctuation and symbols, keeps apostrophes (`'cause`, `don't`, `dogs'`; but not a pair around the word),
straightens curly apostrophes, keeps the case, and keeps a word that consists of punctuation only.

A token is looked up as written first (`Turkey`), then in lower case (`turkey`).
"""

import gzip
import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np


VECTORS_FILE = "word_vectors.npy"
VOCABULARY_FILE = "word_vectors.vocab.txt"


def tokenize(transcript: str) -> list[str]:
    """Return one token per word of `transcript.split()`, as described at the top of this file.

    >>> tokenize("“Well,” she said -- I don’t 'know'!")
    ['Well', 'she', 'said', '--', 'I', "don't", 'know']
    """
    return [_token(word) for word in transcript.split()]


def _token(word: str) -> str:
    word = unicodedata.normalize("NFC", word).replace("’", "'").replace("‘", "'")
    kept = [i for i, character in enumerate(word) if unicodedata.category(character)[0] not in "PS"]
    if not kept:
        return word
    first, last = kept[0], kept[-1] + 1
    before, after = word[:first].endswith("'"), word[last:].startswith("'")
    return word[first - (before and not after) : last + (after and not before)]


def _checked(words: list[str]) -> list[str]:
    if isinstance(words, str):
        raise ValueError("Word vectors take a list of tokens, got one string: call `tokenize(transcript)` first.")
    return words


class WordVectors:
    """Pretrained word vectors such as GloVe's: tokens to `(words, size)`, zeros for words without a vector.

    Create one with `from_glove` or `load`. `unknown_words` counts the tokens without a vector over all calls.
    """

    name = "glove"
    version = 1
    rate = None

    def __init__(self, words: list[str], vectors: np.ndarray, source: str):
        self.words = words
        self.vectors = vectors  # (words, size)
        self.source = source
        self.size = vectors.shape[1]
        self.dimension_names = [f"w{i}" for i in range(self.size)]
        self.unknown_words: Counter[str] = Counter()
        self._row = {word: row for row, word in enumerate(words)}

    @classmethod
    def from_glove(cls, path: str | os.PathLike, vocabulary: set[str], size: int | None = None) -> "WordVectors":
        """Read the vectors of `vocabulary` (and of its words in lower case) from a GloVe-format text file, or its .gz.

        The file is streamed, so memory depends on the vocabulary only. Each line has a token and `size` numbers, separated by
        single spaces. Tokens that contain spaces (as in glove.840B) and a header with two counts (as word2vec and fastText
        write) are skipped; the first of equal tokens is used.

        Args:
            path: text file, or the same compressed as .gz.
            vocabulary: words to read.
            size: numbers per word; default: as in the first line.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a line is not in this format; the message gives its number.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file of word vectors at {path}; check the path.")
        wanted = {form.encode() for word in vocabulary for form in (word, word.lower())}
        found: dict[bytes, np.ndarray] = {}
        for number, line in _lines(path):
            if number == 1:
                fields = line.split(b" ")
                if len(fields) == 2 and all(field.isdigit() for field in fields):
                    size = size or int(fields[1])
                    continue
                size = size or len(fields) - 1
            if size is None or not 0 < size <= line.count(b" "):
                raise ValueError(
                    f"Line {number} of {path} has {line.count(b' ')} numbers after its word, expected {size}: "
                    "the file is cut off or not in GloVe's format."
                )
            if line[: line.find(b" ")] not in wanted:
                continue
            word, *numbers = line.rsplit(b" ", size)
            if word in wanted and word not in found:
                found[word] = _vector(numbers, path, number)
        if size is None:
            raise ValueError(f"{path} is empty: expected one word and its vector per line.")
        ordered = sorted(found)
        vectors = np.stack([found[word] for word in ordered]) if ordered else np.zeros((0, size), np.float32)
        return cls([word.decode() for word in ordered], vectors, path.name)

    def __call__(self, words: list[str]) -> np.ndarray:
        """Return the vectors `(words, size)`, float32, of tokens from `tokenize`; raise `ValueError` for a string."""
        rows = [self._row.get(word, self._row.get(word.lower(), -1)) for word in _checked(words)]
        self.unknown_words.update(word for word, row in zip(words, rows, strict=True) if row < 0)
        result = np.zeros((len(rows), self.size), np.float32)
        for place, row in enumerate(rows):
            if row >= 0:
                result[place] = self.vectors[row]
        return result

    def describe(self) -> dict:
        """Return name, version, rate, size, file name and hash as JSON values, without the vectors."""
        return {
            "name": self.name,
            "version": self.version,
            "rate": self.rate,
            "size": self.size,
            "dimension_names": self.dimension_names,
            "source": self.source,
            "sha256": self._sha256(),
        }

    @classmethod
    def from_description(cls, description: dict, folder: str | os.PathLike | None = None) -> "WordVectors":
        """Load the vectors of a description from the folder in which they were saved.

        Raises:
            ValueError: no folder is given, or it contains other vectors.
        """
        if folder is None:
            raise ValueError(
                f"A description holds no vectors: give the folder that {description.get('source')!r} was saved in."
            )
        vectors = cls.load(folder)
        if vectors.describe() != description:
            raise ValueError(
                f"The word vectors in {folder} are not the ones described: expected {description}, "
                f"got {vectors.describe()}. Use the folder that the features or the model were made with."
            )
        return vectors

    def save(self, folder: str | os.PathLike) -> None:
        """Write `word_vectors.npy` and `word_vectors.vocab.txt` (source and hash, then a word per line)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join([f"{self.source}\t{self._sha256()}", *self.words]) + "\n"
        _replace(folder / VECTORS_FILE, lambda file: np.save(file, self.vectors, allow_pickle=False))
        _replace(folder / VOCABULARY_FILE, lambda file: file.write(text.encode()))

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "WordVectors":
        """Load vectors from the folder that `save` wrote; they are memory-mapped.

        Raises:
            FileNotFoundError: one of the two files is missing.
            ValueError: the files are damaged or do not belong together.
        """
        folder = Path(folder)
        for name in (VECTORS_FILE, VOCABULARY_FILE):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} holds no {name}: expected a folder that `WordVectors.save` wrote.")
        header, *words = (folder / VOCABULARY_FILE).read_bytes().decode().removesuffix("\n").split("\n")
        source, _, sha256 = header.partition("\t")
        try:
            loaded = cls(words, np.load(folder / VECTORS_FILE, mmap_mode="r" if words else None), source)
            intact = loaded._sha256() == sha256
        except (ValueError, IndexError, EOFError):
            intact = False
        if not intact:
            raise ValueError(
                f"{VECTORS_FILE} and {VOCABULARY_FILE} in {folder} are damaged or do not belong together: "
                "save them again."
            )
        return loaded

    def _sha256(self) -> str:
        digest = hashlib.sha256("\n".join(self.words).encode())
        digest.update(np.ascontiguousarray(self.vectors, "<f4").data)
        return digest.hexdigest()


class HashedWordVectors:
    """Placeholder for word vectors in demonstrations: a fixed pseudo-random vector for each word.

    Equal words (ignoring case) have equal vectors, and different words unrelated ones. The vectors carry no meaning beyond
    the identity of the word; use `WordVectors` for real work. The numbers are uniform with mean 0 and variance 1, computed
    by SHAKE-256 from seed and word, and therefore the same on every machine.

    >>> HashedWordVectors(size=8)(["good", "morning"]).shape
    (2, 8)
    """

    name = "hashed_words"
    version = 1
    rate = None

    def __init__(self, size: int = 64, seed: int = 0):
        if size < 1:
            raise ValueError(f"`size` must be at least 1 number per word, got {size}.")
        self.size = size
        self.seed = seed
        self.dimension_names = [f"w{i}" for i in range(size)]

    def __call__(self, words: list[str]) -> np.ndarray:
        """Return the vectors `(words, size)`, float32, of tokens from `tokenize`; raise `ValueError` for a string."""
        digests = [hashlib.shake_256(f"{self.seed} {word.lower()}".encode()) for word in _checked(words)]
        integers = np.frombuffer(b"".join(d.digest(4 * self.size) for d in digests), "<u4").reshape(-1, self.size)
        uniform = (integers + 0.5) / 2**32  # in (0, 1), variance 1 / 12
        return ((uniform - 0.5) * np.sqrt(12)).astype(np.float32)

    def describe(self) -> dict:
        """Return all settings that affect the numbers as JSON values; the inverse of `from_description`."""
        return {key: getattr(self, key) for key in ("name", "version", "rate", "size", "dimension_names", "seed")}

    @classmethod
    def from_description(cls, description: dict) -> "HashedWordVectors":
        """Create the extractor of a description; raise `ValueError` for another extractor or version."""
        if {"size", "seed"} <= set(description):
            extractor = cls(description["size"], description["seed"])
            if extractor.describe() == description:
                return extractor
        raise ValueError(
            f"Not a description of `{cls.name}` version {cls.version}, with `size` and `seed`: {description}."
        )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip(b" \r\n")
        except (EOFError, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is not a complete gzip file ({error}); download it again.") from error


def _vector(numbers: list[bytes], path: Path, line_number: int) -> np.ndarray:
    try:
        vector = np.array([float(number) for number in numbers], np.float32)
    except ValueError as error:
        raise ValueError(f"Line {line_number} of {path} is not a word and its numbers: {error}.") from error
    if not np.isfinite(vector).all():
        raise ValueError(f"Line {line_number} of {path} holds a number that is not finite: repair or drop the line.")
    return vector


def _replace(path: Path, write: Callable) -> None:
    """Write a file under a temporary name and rename it, so that an interruption leaves the old file or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
