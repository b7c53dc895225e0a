# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The character tokenizer: its 32 tokens, what becomes of other characters, and that it is a tokenizer like any other."""

import pytest
from transformers import AutoTokenizer

from mm_affect import TranscriptTokenizer
from mm_affect.features.characters import ALPHABET


def characters(tokenizer, text) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


def test_there_are_32_tokens_and_none_is_added():
    tokenizer = TranscriptTokenizer()
    assert len(tokenizer) == tokenizer.vocab_size == len(tokenizer.get_vocab()) == 32
    specials = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    assert specials == (0, 1, 2, 3)
    assert [tokenizer.convert_tokens_to_ids(c) for c in ALPHABET] == list(range(4, 32))
    assert sorted(tokenizer.get_vocab().values()) == list(range(32))


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("hello world", "hello world"),
        ("I DON'T", "i don't"),
        ("don’t ‘cause", "don't 'cause"),
        ("  well - known,\tyes!\n", "well known yes"),
        ("café naïve Ünder", "cafe naive under"),
        ("ﬁne Straße", "fine strasse"),
        ("<pad></s>", "pad s"),
        ("", ""),
        ("...", ""),
        ("e\u0301te\u0301", "ete"),
    ],
)
def test_text_is_brought_to_how_it_is_spoken(written, spoken):
    tokenizer = TranscriptTokenizer()
    assert characters(tokenizer, written) == [*spoken, "</s>"]
    ids = tokenizer(written)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == tokenizer.normalize(written) == spoken


def test_sounds_that_are_not_known_are_unknown():
    tokenizer = TranscriptTokenizer()
    assert characters(tokenizer, "а 7 b") == ["<unk>", " ", "<unk>", " ", "b", "</s>"]  # the first letter is Cyrillic
    assert tokenizer.normalize("7 B") == "7 b"  # so that an error rate counts it
    other = TranscriptTokenizer(alphabet=ALPHABET + "é")
    assert characters(other, "É è") == ["é", " ", "e", "</s>"] and len(other) == 33


def test_a_batch_is_padded_and_read_back():
    tokenizer = TranscriptTokenizer()
    batch = tokenizer(["ab", "", "c d'e"], padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == [[6, 7, 2, 0, 0, 0], [2, 0, 0, 0, 0, 0], [8, 4, 9, 5, 10, 2]]
    assert batch["attention_mask"].sum(1).tolist() == [3, 1, 6] and set(batch) == {"input_ids", "attention_mask"}
    assert tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True) == ["ab", "", "c d'e"]
    assert tokenizer("abc", truncation=True, max_length=3)["input_ids"] == [6, 7, 2]


def test_saved_equals_loaded(tmp_path):
    tokenizer = TranscriptTokenizer(alphabet=" abé", unk_token="<?>", model_max_length=99)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert type(loaded) is TranscriptTokenizer and loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.model_max_length == 99 and loaded("Éz b")["input_ids"] == tokenizer("Éz b")["input_ids"] == [
        7,
        3,
        4,
        6,
        2,
    ]


@pytest.mark.parametrize("alphabet", ["abc", " aba", " aB"])
def test_impossible_alphabets_are_refused(alphabet):
    with pytest.raises(ValueError, match="expected distinct lower-case characters with a space"):
        TranscriptTokenizer(alphabet=alphabet)
