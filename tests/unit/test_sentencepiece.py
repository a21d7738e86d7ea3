"""SentencePiece extension, on models trained here on a little English and extended with Amharic."""

import io
import random

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from voicekiln.errors import UserError
from voicekiln.tokenizers.sentencepiece import extend, reachable_by_merges, reachable_by_score

ENGLISH = """the quick brown fox jumps over a lazy dog and then it runs away from the old house
where many people live with cold water near some green hills under bright stars every single
night while zebras give exact answers""".split()
AMHARIC = """ሰላም ለዓለም እንዴት ናችሁ ዛሬ ጥሩ ቀን ነው ውሃ እና ዳቦ እፈልጋለሁ ቤት ውስጥ ብዙ ሰዎች አሉ ልጆች ትምህርት ቤት
ይሄዳሉ አዲስ አበባ ትልቅ ከተማ ናት መጽሐፍ አነባለሁ ነገ እንገናኛለን አመሰግናለሁ""".split()
SWAHILI = "habari ya asubuhi rafiki yangu watoto wanaenda shuleni kila siku maji baridi".split()


def lines(words: list[str], n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=7)) for _ in range(n)]


BASE_TEXTS, TEXTS = lines(ENGLISH, 400, 1), lines(AMHARIC, 400, 2)


def train(kind: str, **settings) -> bytes:
    out = io.BytesIO()
    settings = {"vocab_size": 110, "character_coverage": 1.0} | settings
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(BASE_TEXTS),
        model_writer=out,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
        **settings,
    )
    return out.getvalue()


def pieces_of(content: bytes) -> list[tuple]:
    model = model_pb2.ModelProto()
    model.ParseFromString(content)
    return [(p.piece, p.score, p.type) for p in model.pieces]


def encoder(content: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=content)


@pytest.fixture(scope="module", params=["bpe", "unigram", "bpe with bytes"])
def base(request) -> bytes:
    kind, _, fallback = request.param.partition(" with ")
    return train(kind, byte_fallback=bool(fallback), vocab_size=370 if fallback else 110)


@pytest.fixture(scope="module")
def extended(base):
    return extend(base, TEXTS, BASE_TEXTS, n_new=150)


def test_base_ids_are_kept_and_new_ones_follow_below_their_scores(base, extended):
    content, report = extended
    old, new = pieces_of(base), pieces_of(content)
    assert new[: len(old)] == old
    added = new[len(old) :]
    assert len({piece for piece, *_ in new}) == len(new)
    lowest = min(score for _, score, kind in old if kind == 1)
    assert added and all(score < lowest for _, score, _ in added)
    assert (report["base_pieces"], report["pieces"]) == (len(old), len(new))
    assert len(added) <= report["wanted"]
    model = model_pb2.ModelProto()
    model.ParseFromString(content)
    assert model.trainer_spec.vocab_size == len(new)


def test_base_text_is_tokenised_as_before(base, extended):
    content, report = extended
    before, after = encoder(base), encoder(content)
    others = lines(ENGLISH, 300, 99) + ["zzz!? unseen Words 12", "a", ""]
    assert before.encode(others) == after.encode(others)
    assert report["base_texts"] == 400 and report["base_texts_changed"] == 0


def test_every_new_character_is_there_first_and_nothing_is_unknown(base, extended):
    content, report = extended
    before, after = encoder(base), encoder(content)
    missing = set("".join(TEXTS)) - {" "}
    first = [piece for piece, *_ in pieces_of(content)[len(before) :][: len(missing)]]
    assert set(first) == missing == {c["token"] for c in report["characters"]}
    counts = "".join(TEXTS)
    assert [counts.count(c) for c in first] == sorted(map(counts.count, first), reverse=True)
    unseen = lines(AMHARIC, 50, 7)
    assert all(after.unk_id() not in ids for ids in after.encode(unseen))
    assert after.decode(after.encode(unseen)) == unseen
    assert report["unknown_share"]["after"] == 0
    if not any(map(before.is_byte, range(len(before)))):  # bytes leave nothing unknown
        assert report["unknown_share"]["before"] > 0.3
    # About a word a token; characters alone would be four or more.
    assert report["tokens_per_word"]["after"] < 1.6


def test_every_new_piece_can_come_out(base, extended):
    content, _ = extended
    n_base, after = len(pieces_of(base)), encoder(content)
    for piece, *_ in pieces_of(content)[n_base:]:
        text = piece.replace("\u2581", " ")
        # Behind a character of another script, so that the piece's own start is not a word's.
        got = after.encode(text if text.startswith(" ") else "x" + text, out_type=str)
        assert got[-1] == piece, (piece, got)


def test_the_same_model_whatever_the_order_of_the_texts(base, extended):
    again, _ = extend(base, TEXTS[::-1], BASE_TEXTS, n_new=150)
    assert again == extended[0]


def test_less_text_makes_a_smaller_model(base):
    _, report = extend(base, ["ሰላም ሰላም"], BASE_TEXTS, n_new=500)
    assert 3 <= report["pieces"] - report["base_pieces"] < 20


def test_text_that_the_base_knows_adds_nothing(base):
    content, report = extend(base, BASE_TEXTS, BASE_TEXTS, n_new=50)
    assert pieces_of(content) == pieces_of(base)
    assert report["unknown_share"] == {"before": 0, "after": 0}


def test_a_language_in_the_bases_script_changes_base_text_only_when_allowed():
    base = train("bpe")
    texts = lines(SWAHILI, 300, 3)
    content, report = extend(base, texts, BASE_TEXTS, n_new=60)
    assert pieces_of(content) == pieces_of(base)
    _, report = extend(base, texts, BASE_TEXTS, n_new=60, only_new_characters=False)
    assert report["pieces"] > report["base_pieces"]
    assert report["tokens_per_word"]["after"] < 0.7 * report["tokens_per_word"]["before"]
    changed = report["base_texts_changed"]
    assert 0 < changed < 1


def test_no_room_for_the_characters_is_an_error(base):
    with pytest.raises(UserError, match="characters are missing in the base, but only 5"):
        extend(base, TEXTS, BASE_TEXTS, n_new=5)


def test_other_models_are_refused():
    with pytest.raises(UserError, match="only BPE and unigram"):
        extend(train("char"), TEXTS, BASE_TEXTS, n_new=100)
    with pytest.raises(UserError, match="not a SentencePiece model|only BPE"):
        extend(b"\xffnot a model", TEXTS, BASE_TEXTS, n_new=100)


def test_reachability():
    scores = {c: -10.0 for c in "abcd"} | {"ab": -1.0, "bc": -2.0, "abc": -3.0, "bcd": -4.0}
    assert reachable_by_merges("abc", scores)  # ab, then abc
    assert reachable_by_merges("bcd", scores)
    assert not reachable_by_merges("abcd", scores)  # no such piece
    assert not reachable_by_merges("abcd", scores | {"abcde": 0.0})
    assert not reachable_by_merges("cd", {"c": 0.0, "d": 0.0})
    assert reachable_by_merges("abcd", scores | {"abcd": -5.0})
    blocked = {c: -10.0 for c in "abcd"} | {"ab": -2.0, "cd": -3.0, "bc": -1.0, "abcd": -4.0}
    assert not reachable_by_merges("abcd", blocked)  # bc first, then nothing fits
    assert reachable_by_merges("abcd", blocked | {"bc": -5.0})
    assert reachable_by_score("abc", {"a": -5.0, "b": -5.0, "c": -5.0, "abc": -9.0})
    assert not reachable_by_score("abc", {"a": -5.0, "bc": -1.0, "abc": -9.0})
