"""Normalisation of texts before the tokenizer, the same in training and synthesis.

Texts in the release's 17 languages go through upstream's own cleaners, which lower the case, spell
out numbers, abbreviations and symbols, and write Chinese as pinyin, and Japanese and Korean in
Latin letters. A corpus's texts already have their numbers and abbreviations spelled out, so that
little but the case changes. Upstream refuses other languages: their texts are lower-cased, as
upstream's inference does first with any text, and lose their double quotes, as in upstream's
cleaners.
"""

import re
import unicodedata
from functools import cache
from importlib.util import find_spec

import voicekiln.upstream  # noqa: F401  (coqui-tts can be imported after it)
from voicekiln.errors import UserError
from voicekiln.extras import PIP

RELEASED = "ar cs de en es fr hi hu it ja ko nl pl pt ru tr zh".split()
TAG = re.compile(r"\[[a-z]{2,3}(-[a-z]+)?\]")  # of a language
TAGS = {"zh": "zh-cn"}  # others are the language's code
SHOWN = 60  # characters of a text in an error message
JAPANESE = "cutlet==0.5.2 fugashi==1.5.2 jaconv==0.5.0 mojimoji==0.0.13 unidic-lite==1.0.8"


def code(language: str) -> str:
    """The language's code without its region.

    Raises:
        UserError: the text has no language.
    """
    if not language:
        raise UserError(
            "a text has no language, and XTTS needs the language of each; set `language` of the"
            " corpus or of the sentence"
        )
    return language.replace("_", "-").split("-")[0].lower()


def tag(language: str) -> str:
    """The token that a text of this language begins with."""
    language = code(language)
    return f"[{TAGS.get(language, language)}]"


def clean(text: str, language: str) -> str:
    """The text as the tokenizer splits it, with single spaces.

    Raises:
        UserError: packages for this language are missing, or the cleaners fail on the text.
    """
    language = code(language)
    if language not in RELEASED:
        text = unicodedata.normalize("NFC", text).replace('"', "")
        return " ".join(text.lower().split())
    try:
        return upstream().preprocess_text(text, language)
    except Exception as error:
        if language == "ja" and not all(map(find_spec, ("cutlet", "fugashi", "unidic_lite"))):
            raise UserError(
                "Japanese texts need packages that are not in the environments; install them: "
                f"{PIP} --no-deps {JAPANESE}"
            ) from error
        # num2words, which they use, lacks some numbers: Czech ordinals, for example.
        raise UserError(
            f"coqui-tts's cleaners for {language} fail on the text {text[:SHOWN]!r} "
            f"({type(error).__name__}: {error}); spell its numbers out"
        ) from error


@cache
def upstream():
    """The tokenizer of coqui-tts, without a vocabulary."""
    # Imported here: it takes seconds, and only callers that need tokens pay for it.
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    return VoiceBpeTokenizer()
