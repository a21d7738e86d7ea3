"""`voicekiln.tokenizers.characters`, judged by f5_tts's own reader."""

import json

import pytest
import voicekiln.upstream  # noqa: F401  (f5_tts can be imported after it)
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.errors import UserError
from voicekiln.tokenizers import characters

BASE = [" ", "a", "b", "ni2"]


def upstream_reads(path) -> dict[str, int]:
    from f5_tts.model.utils import get_tokenizer

    tokens, size = get_tokenizer(str(path), "custom")
    assert size == len(tokens)
    return tokens


def test_upstream_reads_what_is_written(tmp_path):
    path = tmp_path / "vocab.txt"
    tokens = [*BASE, "ሰ", "\u2028", "\u00a0", "\t", "#"]
    characters.write_vocab(path, tokens)
    assert upstream_reads(path) == characters.index(tokens)
    assert characters.read_vocab(path) == tokens


def test_the_released_vocabulary_is_read_as_upstream_reads_it():
    from importlib.resources import files

    path = files("f5_tts").joinpath("infer/examples/vocab.txt")
    tokens = characters.read_vocab(path)
    assert len(tokens) == 2545
    assert characters.index(tokens) == upstream_reads(path)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"))))
def test_any_tokens_survive(tmp_path_factory, more):
    path = tmp_path_factory.mktemp("v") / "vocab.txt"
    tokens = list(dict.fromkeys([" ", *more]))
    characters.write_vocab(path, tokens)
    assert characters.read_vocab(path) == tokens


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b" \na\nb", "line 3 has no newline"),
        (b" \na\nb\na\n", "line 4: 'a' is already on line 2"),
        (b"a\n \n", "line 1: expected a single space, got 'a'"),
        (b"\xef\xbb\xbf \na\n", "line 1: expected a single space"),
        (b" \n\xff\n", "line 2 is not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_with_the_line(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        characters.read_vocab(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_line_break_in_a_token_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such vocabulary"):
        characters.read_vocab(tmp_path / "none.txt")
    with pytest.raises(UserError, match="line 2: token 'a\\\\n' holds a line break"):
        characters.write_vocab(tmp_path / "x.txt", [" ", "a\n"])
    assert not (tmp_path / "x.txt").exists()


def test_new_tokens_follow_the_base_by_frequency_then_codepoint():
    counts = {"ላ": 2, "ሀ": 2, "z": 9, "a": 99, "rare": 1}
    assert characters.extend(BASE, counts, min_count=1) == [*BASE, "z", "ሀ", "ላ", "rare"]
    assert characters.extend(BASE, counts, min_count=2) == [*BASE, "z", "ሀ", "ላ"]
    assert characters.extend(BASE, {"a": 5}, min_count=1) == BASE


def test_coverage_counts_what_is_added_and_what_stays_unknown():
    texts = {"s1": list("ab aሰ"), "s2": list("ሰሰላx"), "s3": ["ni2"]}
    record = characters.coverage(texts, BASE, [*BASE, "ሰ"])
    assert record["base_tokens"] == 4 and record["tokens"] == 5
    assert (record["texts"], record["text_tokens"], record["tokens_per_text"]) == (3, 10, 3.33)
    assert (record["base_coverage"], record["coverage"]) == (0.5, 0.8)
    assert record["used_base_tokens"] == 4
    assert record["added"] == [
        {
            "token": "ሰ",
            "codepoint": "U+1230",
            "name": "ETHIOPIC SYLLABLE SA",
            "id": 4,
            "count": 3,
        }
    ]
    assert [(u["token"], u["count"], u["segments"]) for u in record["unknown"]] == [
        ("x", 1, ["s2"]),
        ("ላ", 1, ["s2"]),
    ]
    json.dumps(record)


def test_unknown_characters_stop_with_the_list_of_them_and_of_the_segments():
    texts = {f"s{i}": ["a", "ሰ"] for i in range(7)} | {"t": ["\u200b"]}
    with pytest.raises(UserError) as caught:
        characters.require_known(texts, BASE)
    message = str(caught.value)
    assert message.startswith("2 characters")
    assert "'ሰ' (U+1230 ETHIOPIC SYLLABLE SA), 7 times, in s0, s1, s2, s3, s4 and 2 more" in message
    assert "'\\u200b' (U+200B ZERO WIDTH SPACE), 1 times, in t" in message
    characters.require_known({"s": ["a", " "]}, BASE)


def test_an_empty_corpus_is_covered():
    assert characters.coverage({}, BASE, BASE)["coverage"] == 1.0
