# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Character tokenizer of transcripts, for the speech recognition task of Khare et al. (2021).

The paper only says "character level". This tokenizer has 32 tokens: padding, begin, end, unknown, space, apostrophe and a to
z. Text is normalized first: letters become lower case and lose their accents, curly apostrophes become straight, and
everything but letters and digits becomes a space. Digits and letters of other scripts are the unknown token.
"""

import string
import unicodedata

from transformers import PreTrainedTokenizer


ALPHABET = " '" + string.ascii_lowercase


class TranscriptTokenizer(PreTrainedTokenizer):
    """Tokenizer that encodes text as the ids of its characters plus an end token.

    There is no vocabulary file; the alphabet is saved in `tokenizer_config.json`. Ids: padding 0, begin 1, end 2, unknown 3,
    then the alphabet.

    Args:
        alphabet: lower-case characters, including a space.
        pad_token, bos_token, eos_token, unk_token: names of the special tokens.

    Raises:
        ValueError: the alphabet lacks a space, or has a duplicate or an upper-case character.

    Example:
        >>> tokenizer = TranscriptTokenizer()
        >>> tokenizer("Don’t - go!")["input_ids"] == [9, 20, 19, 5, 25, 4, 12, 20, 2]
        True
        >>> tokenizer.decode([9, 20, 19, 5, 25, 2, 0], skip_special_tokens=True)
        "don't"
    """

    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self, alphabet=ALPHABET, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>", **kwargs
    ):
        if " " not in alphabet or len(set(alphabet)) < len(alphabet) or alphabet != alphabet.casefold():
            raise ValueError(f"`alphabet` is {alphabet!r}; expected distinct lower-case characters with a space.")
        self.alphabet = alphabet
        self._tokens = [str(token) for token in (pad_token, bos_token, eos_token, unk_token)] + list(alphabet)
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        kwargs["special_tokens_pattern"] = "eos"
        super().__init__(
            alphabet=alphabet,
            pad_token=pad_token,
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            **kwargs,
        )

    def normalize(self, text: str) -> str:
        """Return the text as it is compared and tokenized; letters and digits outside the alphabet stay."""
        text = unicodedata.normalize("NFC", text.casefold().replace("’", "'").replace("‘", "'"))
        return " ".join("".join(c if c in self.alphabet else self._plain(c) for c in text).split())

    def _plain(self, character: str) -> str:
        """Return the base letters of a character outside the alphabet, or a space if it has none."""
        parts = [c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c)]
        return "".join(c if c in self.alphabet or c.isalnum() else " " for c in parts)

    # interface of `PreTrainedTokenizer` ----------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Return the number of tokens."""
        return len(self._tokens)

    def get_vocab(self) -> dict[str, int]:
        """Return the ids of all tokens."""
        return dict(self._ids) | self.added_tokens_encoder

    def prepare_for_tokenization(self, text, is_split_into_words=False, **kwargs):
        """Return the normalized text."""
        return self.normalize(text), kwargs

    def _tokenize(self, text, **kwargs):
        return list(text)

    def _convert_token_to_id(self, token):
        return self._ids.get(token, self._ids[str(self.unk_token)])

    def _convert_id_to_token(self, index):
        return self._tokens[index]

    def convert_tokens_to_string(self, tokens):
        """Return the text of tokens."""
        return "".join(tokens)

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Return no files: the alphabet is in `tokenizer_config.json`."""
        return ()
