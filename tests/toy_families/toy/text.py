"""The tokenizer of the toy family: one token per character, in tokens.json."""

import json
from pathlib import Path

from voicekiln.errors import UserError
from voicekiln.provenance import sha256_json

NAME = "tokens.json"


class Letters:
    def __init__(self, letters):
        self.letters, self.n_tokens = letters, len(letters)
        self.sha256 = sha256_json(letters)

    def tokens(self, text, language):
        return list(text)

    def encode(self, text, language):
        if unknown := sorted(set(text) - set(self.letters)):
            raise UserError(f"{text!r}: {unknown} are not in the vocabulary; add them")
        return [self.letters.index(letter) for letter in text]


def tokenizer(folder):
    return Letters(json.loads(Path(folder, NAME).read_text()))
