"""The tokenizer of XTTS: encodings as upstream's, and a vocabulary that grows without harm."""

import json
import random
from collections import Counter
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, trainers
from voicekiln.errors import UserError
from voicekiln.families import facts
from voicekiln.families.xtts import cleaners, text
from voicekiln.tokenizers import bpe
from xtts_small import LANGUAGES

AMHARIC = {
    "a1": ("ሰላም ለሁሉም፣ እንዴት ናችሁ?", "am"),
    "a2": ("ሰላም ለአንተ እንዴት ነህ?", "am"),
    "a3": ("እንዴት ነህ ሰላም ነው", "am"),
    "a4": ("ሰላም ሰላም hello the", "am"),
}
MARKED = dict(
    ar="٣ أهلا % 12",
    cs="Dr. Novák má 12 míst & 3,5 %",
    de="Frau Dr. Müller zahlt 20€ am 1. Mai",
    en='Mrs. Jones said "1st of 1,200" & left @ 5%  now',
    es="La Sra. García tiene 21 años",
    fr="Mme. Moreau a payé 12,5 € le 1er",
    hi="मेरे पास % & है।",
    hu="Dr. Szabó 12 éves",
    it="Sig. Rossi ha 36,6°",
    ja="Tokyo 12",
    ko="배터리 잔량이 14%입니다.",
    nl="Dhr. Jansen is 50",
    pl="Dr. Nowak ma 20€",
    pt="A Dra. Costa tem 3º lugar",
    ru="Г-н Иванов, 14% & 20€",
    tr="İstanbul'da 50 Öğrenci, Dr. Ayşe %14",
    zh="我的电量为 14%，你好",
)


def defaults(**changes):
    keys = facts.all_facts()["xtts"].sections["tokenizer"]["keys"]
    return {name: schema["default"] for name, schema in keys.items()} | changes


@pytest.fixture(scope="session")
def wide(tmp_path_factory):
    """A vocab.json that knows the characters of all base sentences, with merges learnt on them."""
    base = tmp_path_factory.mktemp("wide") / "vocab.json"
    sentences = text.sentences()
    letters = sorted({c for _, line in sentences for c in line} - {" "})
    tokens = ["[STOP]", "[UNK]", "[SPACE]", *letters, "[START]"]
    tokens += [f"[{language}]" for language in LANGUAGES]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [],
        },
    }
    content["added_tokens"] = [
        {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": True}
        for i, token in enumerate(tokens)
        if len(token) > 1
    ]
    plain = text.Pieces(content)
    words = Counter(word for _, line in sentences for word in plain.words(line))
    merges = bpe.learn(words, lambda pair: True, 300, 2)
    bpe.write(base, bpe.extended(content, [], [], merges))
    return base


@pytest.fixture
def extend(wide, tmp_path):
    def run(texts, **changes):
        out = tmp_path / "tokenizer"
        out.mkdir(exist_ok=True)
        report = text.extend({"vocab": wide}, texts, defaults(**{"min_count": 2} | changes), out)
        return report, text.tokenizer(out)

    return run


@pytest.mark.parametrize("language", cleaners.RELEASED)
def test_encodings_equal_upstreams(wide, language):
    if language == "ja" and not find_spec("cutlet"):
        pytest.skip("Japanese needs cutlet, fugashi and unidic-lite, which are not in the lock")
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    upstream, ours = VoiceBpeTokenizer(wide), text.tokenizer(wide.parent)
    lines = [line for code, line in text.sentences() if code == language]
    for line in (*lines, MARKED[language]):
        expected = upstream.encode(line, language)
        tokens = ours.tokens(line, language)
        assert [ours.vocab.get(token, 1) for token in tokens] == expected
        if 1 not in expected:
            assert ours.encode(line, language) == expected
    assert ours.n_tokens == upstream.get_number_tokens()


@pytest.mark.parametrize("language", [c for c in cleaners.RELEASED if c not in ("ja", "ko", "zh")])
def test_cleaners_leave_normalised_text_as_it_is(language):
    lines = [line for code, line in text.sentences() if code == language]
    assert len(lines) == 3
    for line in lines:
        assert cleaners.clean(line, language) == line


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(cleaners, "find_spec", lambda name: None)
    monkeypatch.setattr(cleaners, "upstream", lambda: None)
    with pytest.raises(UserError, match="cutlet==.*unidic-lite"):
        cleaners.clean("こんにちは", "ja")


def test_texts_that_upstreams_cleaners_fail_on_are_named(extend):
    with pytest.raises(UserError, match=r"segment s1: .* for cs fail on the text '12. místo'"):
        extend({"s1": ("12. místo", "cs")})


def test_other_languages_become_lower_case():
    assert cleaners.clean('Habari  "ZAKO" rafiki ', "sw") == "habari zako rafiki"
    assert cleaners.tag("sw-KE") == "[sw]" and cleaners.tag("zh") == "[zh-cn]"
    with pytest.raises(UserError, match="language"):
        cleaners.tag("")


def test_a_new_language_gets_its_tag_characters_and_pieces(extend, wide):
    old = text.tokenizer(wide.parent)
    report, new = extend(AMHARIC)
    assert {token: i for token, i in new.vocab.items() if i < old.n_tokens} == old.vocab
    assert new.vocab["[am]"] == old.n_tokens
    assert "ሰላም" in new.vocab
    for name, (line, language) in AMHARIC.items():
        ids = new.encode(line, language)
        assert ids[0] == new.vocab["[am]"] and 1 not in ids, name
    assert report["base_tokens"] == old.n_tokens
    assert report["tokens"] == new.n_tokens == old.n_tokens + len(report["added"])
    assert [entry["id"] for entry in report["added"]] == list(range(old.n_tokens, new.n_tokens))
    assert report["base_coverage"] < report["coverage"] == 1
    assert report["tokens_per_word"]["after"] < report["tokens_per_word"]["before"]
    assert report["base_sentences"] == {"texts": 51, "languages": 17, "changed": 0}
    assert report["merges"] > 0 and report["unknown"] == []
    by_token = {entry["token"]: entry for entry in report["added"]}
    assert by_token["ሰ"]["name"] == "ETHIOPIC SYLLABLE SA"
    assert report["files"] == ["vocab.json"]


def test_upstream_reads_the_extended_vocabulary(extend, wide, tmp_path):
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    _, new = extend(AMHARIC)
    upstream = VoiceBpeTokenizer(tmp_path / "tokenizer" / "vocab.json")
    assert upstream.get_number_tokens() == new.n_tokens
    for line, language in AMHARIC.values():
        assert upstream.decode(new.encode(line, language)) == "[am]" + cleaners.clean(line, "am")


def test_the_result_depends_on_the_texts_alone(extend, tmp_path):
    def content(texts):
        extend(texts)
        return (tmp_path / "tokenizer" / "vocab.json").read_bytes()

    first = content(AMHARIC)
    names = list(AMHARIC)
    for seed in range(3):
        random.Random(seed).shuffle(names)
        assert content({name: AMHARIC[name] for name in names}) == first


@pytest.mark.parametrize("language", ["sw", "az", "tr"])
def test_a_known_script_gets_no_pieces_unless_asked(extend, wide, language):
    texts = {str(i): ("habari kitabu nyumba rafiki", language) for i in range(5)}
    report, new = extend(texts)
    assert report["merges"] == 0
    report, new = extend(texts, known_characters=True)
    assert report["merges"] > 0 and report["base_sentences"]["changed"] == 0
    assert report["tokens_per_word"]["after"] < report["tokens_per_word"]["before"]


def test_a_new_letter_in_a_known_script(extend, wide):
    old = text.tokenizer(wide.parent)
    texts = {str(i): ("mən gələcəyəm", "az") for i in range(5)}
    report, new = extend(texts)
    assert report["characters"] == 1 and report["merges"] > 0
    merges = new.content["model"]["merges"][len(old.content["model"]["merges"]) :]
    assert all("ə" in "".join(pair) for pair in merges)


def test_sizes_and_special_tokens_are_settings(extend, wide):
    old = text.tokenizer(wide.parent)
    report, new = extend(AMHARIC, size=22, special_tokens=["[laugh]", "[STOP]"])
    assert new.vocab["[laugh]"] == old.n_tokens + 1
    assert len(report["added"]) == 2 + 22
    assert new.encode("ሰላም [laugh]", "am")[-1] == new.vocab["[laugh]"]
    report, _ = extend(AMHARIC, min_count=1000)
    assert report["merges"] == 0
    with pytest.raises(UserError, match="size: 3 new pieces"):
        extend(AMHARIC, size=3)
    with pytest.raises(UserError, match=r"expected small letters, got \[LAUGH\]"):
        extend(AMHARIC, special_tokens=["[LAUGH]"])
    with pytest.raises(UserError, match=r"\[um\] would be taken for a language"):
        extend(AMHARIC, special_tokens=["[um]"])


def test_unknown_characters_stop_the_run_with_their_segments(extend, wide):
    with pytest.raises(UserError, match=r"ETHIOPIC SYLLABLE NAA.* in a1"):
        extend(AMHARIC, min_character_count=2)
    with pytest.raises(UserError, match="ETHIOPIC"):
        extend({"a": ("ሰላም", "en")}, extend=False)
    with pytest.raises(UserError, match=r"\[am\]: no such language"):
        extend({"a": ("hello", "am")}, extend=False)
    with pytest.raises(UserError, match="ETHIOPIC"):
        text.tokenizer(wide.parent).encode("ሰላም", "en")


def test_long_texts_stop_the_run(extend):
    extend({"a": ("a, " * 49, "en")}, max_tokens=148)
    with pytest.raises(UserError, match=r"1 segments .* more than 140 tokens: long \(147\)"):
        extend({"a": ("hello", "en"), "long": ("a, " * 49, "en")}, max_tokens=140)


def test_a_pinned_vocabulary_must_be_harmless(extend, wide, tmp_path):
    _, new = extend(AMHARIC)
    good = tmp_path / "good.json"
    bpe.write(good, new.content)
    report, pinned = extend(AMHARIC, vocab=str(good))
    assert pinned.sha256 == new.sha256 and report["coverage"] == 1

    content = json.loads(good.read_text())
    swapped = {"[en]": new.vocab["[de]"], "[de]": new.vocab["[en]"]}
    content["model"]["vocab"] |= swapped
    for token in content["added_tokens"]:
        token["id"] = swapped.get(token["content"], token["id"])
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"tokens of the base with another id.*\[de\], \[en\]"):
        extend(AMHARIC, vocab=str(moved))

    content = json.loads(good.read_text())
    del content["model"]["merges"][0]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(content))
    with pytest.raises(UserError, match="sentences of the base's languages that are encoded diff"):
        extend(AMHARIC, vocab=str(changed))


@pytest.mark.parametrize("content", ["", "[]", '{"model": {"type": "BPE"}}', "\xff"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "vocab.json").write_text(content)
    with pytest.raises(UserError, match="vocab.json: not a vocabulary"):
        text.tokenizer(tmp_path)


def test_the_small_release_is_extended(xtts_release, tmp_path):
    base = {"vocab": xtts_release / "vocab.json"}
    report = text.extend(base, AMHARIC, defaults(), tmp_path)
    assert report["base_sentences"]["changed"] == 0 and report["coverage"] == 1


words = st.text(st.sampled_from("abcdehilmnorstuəñሀለሐመሠረሰ"), min_size=1, max_size=8)
lines = st.lists(words, min_size=1, max_size=8).map(" ".join)


@given(
    texts=st.lists(lines, min_size=1, max_size=8),
    known=st.booleans(),
    others=st.lists(st.text("abcdehilmnorstu ,.", max_size=30), max_size=3),
)
@examples(max_examples=40)
def test_extensions_do_no_harm(wide, texts, known, others):
    old = text.tokenizer(wide.parent)
    wanted = defaults(min_count=2, size=100, known_characters=known)
    new = text.Pieces(text.with_texts(old, texts, ["am"], wanted))
    assert bpe.moved(old.content, new.content) == []
    assert text.prove(old, new, None)["base_sentences"]["changed"] == 0
    for line in others if not known else ():
        assert new.split(line) == old.split(line)
    for line in texts:
        tokens = new.split(line)
        assert "".join(tokens).replace("[SPACE]", " ") == line
        assert set(tokens) <= set(new.vocab)


def test_merges_are_those_of_the_packages_own_trainer():
    # Counts without ties: the package breaks them by its ids, we by the text.
    counts = {"low": 50, "lower": 21, "newest": 60, "widest": 33, "newer": 8, "slow": 5}
    trained = Tokenizer(models.BPE(unk_token="[UNK]"))
    trainer = trainers.BpeTrainer(
        vocab_size=30, min_frequency=6, special_tokens=["[UNK]"], show_progress=False
    )
    trained.train_from_iterator([w for w, n in counts.items() for _ in range(n)], trainer)
    expected = json.loads(trained.to_str())["model"]["merges"]
    words = {tuple(word): n for word, n in counts.items()}
    ours = bpe.learn(words, lambda pair: True, len(expected), 6)
    assert len(ours) == len(expected) > 8
    assert {"".join(pair) for pair in ours} == {"".join(pair) for pair in expected}


@given(st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 9), min_size=1))
@examples(max_examples=60)
def test_every_learnt_piece_is_reached(counts):
    content = {"model": {"type": "BPE", "unk_token": "[UNK]", "vocab": {"[UNK]": 0}, "merges": []}}
    merges = bpe.learn({tuple(w): n for w, n in counts.items()}, lambda pair: True, 20, 2)
    assert len({a + b for a, b in merges}) == len(merges)
    grown = bpe.extended(content | {"added_tokens": []}, [], list("abc"), merges)
    assert bpe.unreachable(grown, ["a", "b", "c", *(a + b for a, b in merges)]) == []
