"""Long known texts: aligned to what was heard, and dealt out to the segments (N9, E-13)."""

import json

import numpy as np
import pandas as pd
import pytest
from corpus_rows import recording, segment, table
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import chapter, cut, misheard, plain
from voicekiln.audio import segment as cutting
from voicekiln.audio.normalize import NormalizeSettings, normalize
from voicekiln.config.resolve import resolve
from voicekiln.corpus.segments.reading import distribute, left_over, locate, split_words, whole_text
from voicekiln.corpus.segments.rows import INHERITED, segment_rows
from voicekiln.corpus.segments.segments import ReferenceSpans, distinct
from voicekiln.corpus.segments.segments import reference_spans as spans_of
from voicekiln.store import tables
from voicekiln.text.align import EXTEND, MATCH, MISMATCH, OPEN, _codes, _pairs, align

CONFIG = {"corpora": {"c": {"audio": "in", "language": "en", "transcripts": "sidecar"}}}
DEFAULTS = resolve(CONFIG)["corpora"]["c"]
NORMALIZE = NormalizeSettings(**DEFAULTS["normalize"])
SEGMENT = cutting.SegmentSettings(**DEFAULTS["segment"])


def best_score(a, b):
    """Score of the best alignment by the textbook's three tables, cell by cell."""
    low = -(10**9)
    facing, gap_a, gap_b = ({} for _ in range(3))
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            up = max(gap_a.get((i - 1, j), low), facing.get((i - 1, j), low) + OPEN) + EXTEND
            left = max(gap_b.get((i, j - 1), low), facing.get((i, j - 1), low) + OPEN) + EXTEND
            both = facing.get((i - 1, j - 1), low)
            if i and j:
                both += MATCH if a[i - 1] == b[j - 1] else MISMATCH
            gap_a[i, j], gap_b[i, j] = up, left
            facing[i, j] = 0 if i == j == 0 else max(up, left, both if i and j else low)
    return facing[len(a), len(b)]


def score_of(a, b, pairs):
    total = sum(MATCH if a[i] == b[j] else MISMATCH for i, j in pairs)
    last = (-1, -1)
    for pair in [*sorted(pairs), (len(a), len(b))]:
        for here, before in zip(pair, last, strict=True):
            total += (here - before > 1) * OPEN + (here - before - 1) * EXTEND
        last = pair
    return total


@given(st.text("abc", min_size=1, max_size=9), st.text("abc", min_size=1, max_size=9))
def test_between_anchors_the_alignment_is_the_best_there_is(a, b):
    assert score_of(a, b, list(_pairs(_codes(a), _codes(b)))) == best_score(a, b)


@given(st.text("ab c", max_size=60), st.text("abc ", max_size=60))
def test_places_rise_strictly(known, heard):
    places = align(known, heard)
    placed = places[places >= 0]
    assert len(places) == len(heard) and (np.diff(placed) > 0).all()
    assert (placed < len(known)).all()


def test_equal_texts_face_each_other_and_a_missing_passage_is_left_open():
    text = "".join(plain(chapter(300)))
    assert (align(text, text) == np.arange(len(text))).all()
    heard = text[:400] + text[900:]
    assert (align(text, heard) == np.r_[:400, 900 : len(text)]).all()
    assert (align(text, "xyz" * 20) >= 0).sum() < 60  # nothing of it: hardly anything is placed


def spelled(text):
    return [text[piece.start : piece.end] for piece in split_words(text)]


def test_words_keep_their_marks():
    text = "« Bonjour ! — Oui, dit-il : “well” (two words) . 1,000 — end …"
    words = ["« Bonjour !", "— Oui,", "dit-il :", "“well”", "(two", "words) .", "1,000", "— end …"]
    assert spelled(text) == words


def test_scripts_without_spaces_fall_into_letters():
    assert spelled("今日は「天気」がいい。Hello世界") == [
        *"今日は",
        "「天",
        "気」",
        *"がい",
        "い。",
        "Hello",
        *"世界",
    ]
    assert spelled("ሰላም ነው።") == ["ሰላም", "ነው።"]


def placed(words, spans, share, seed=""):
    """What `locate` makes of a reading in which `share` of the words is misheard."""
    lexicon = plain(words)
    heard = [misheard(words[a:b], share, lexicon, f"{seed}{i}") for i, (a, b) in enumerate(spans)]
    return locate(split_words(" ".join(words)), heard)


@pytest.mark.parametrize(("share", "exact"), [(0.0, 1.0), (0.05, 0.93), (0.15, 0.83), (0.3, 0.68)])
def test_an_hour_is_dealt_out_rightly_in_spite_of_a_recognisers_mistakes(share, exact):
    words = chapter(10_000)
    spans = cut(words)
    found = placed(words, spans, share)
    right = sum(
        s is not None and (s.first, s.last) == span for s, span in zip(found, spans, strict=True)
    )
    foreign = sum(
        max(0, a - s.first) + max(0, s.last - b)
        for s, (a, b) in zip(found, spans, strict=True)
        if s
    )
    print(f"{share:.0%} misheard: {right / len(spans):.1%} exact, {foreign} words misplaced")
    assert right >= exact * len(spans)
    assert foreign <= 0.003 * len(words)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 200), st.sampled_from([0.0, 0.05, 0.15, 0.3, 0.9]))
def test_no_word_is_given_twice_and_none_is_lost(seed, n_words, share):
    words = chapter(n_words, seed)
    spans = cut(words, seed)
    found = placed(words, spans, share, seed)
    given_out = [n for s in found if s for n in range(s.first, s.last)]
    over = [n for first, last, _, _ in left_over(words, found) for n in range(first, last)]
    assert given_out == sorted(set(given_out))
    assert sorted(given_out + over) == list(range(len(words)))
    if share == 0:
        assert [(s.first, s.last) for s in found] == spans


def test_texts_with_spans_are_one_page_in_their_order():
    entries = [
        {"start_s": 40.0, "end_s": 80.0, "text": "second passage"},
        {"start_s": 0.0, "end_s": 40.0, "text": "First passage,"},
        {"start_s": 0.0, "end_s": 40.0, "text": "first passage"},
    ]
    assert whole_text(entries) == "First passage,\nsecond passage"
    assert whole_text([*entries, entries[0] | {"text": "or something else"}]) is None


def reading(*heard, known, **more):
    rows = [segment(text, 3.0 * i, recording="long") for i, text in enumerate(heard)]
    whole = json.dumps([{"start_s": None, "end_s": None, "text": known}])
    recordings = tables.frame([recording("long", reference_texts=whole, **more)], tables.RECORDINGS)
    return distribute(table(*rows), recordings, 0.5)


def test_segments_get_the_text_as_it_is_written_and_what_nobody_says_is_listed():
    known = """Chapter I.

The cat sat — on the Mat! (It was happy.)
A whole verse here is skipped by the reader.
Then the dog came, barking."""
    found, gaps = reading(
        "this is a librivox recording",
        "the cat sad on the matt",
        "it was happy",
        "then the dog came barking",
        "end of chapter one read for you by nobody",
        known=known,
    )
    assert list(found["status"]) == ["drop", "keep", "keep", "keep", "drop"]
    assert list(found["text"][1:4]) == [
        "The cat sat — on the Mat!",
        "(It was happy.)",
        "Then the dog came, barking.",
    ]
    assert set(found["text_source"][1:4]) == {"reference"}
    assert found["hypothesis"][1] == "the cat sad on the matt"
    assert found["cer"][1] == pytest.approx(2 / 17, abs=1e-4) and found["cer"][2] == 0
    outro = found.iloc[4]
    assert (outro["step"], outro["reason"]) == ("align", "not in the reference text")
    assert outro["value"] > outro["limit"] == 0.5
    assert [gap["text"] for gap in gaps] == [
        "Chapter I.",
        "A whole verse here is skipped by the reader.",
    ]
    assert gaps[1]["after"] == found["segment_id"][2]
    assert gaps[1]["before"] == found["segment_id"][3]
    assert [gap["words"] for gap in gaps] == [2, 9]
    assert all(known[gap["start"] : gap["end"]] == gap["text"] for gap in gaps)


def test_a_recording_that_was_kept_whole_or_has_no_text_is_left_alone():
    rows = table(
        segment("given", recording="a", text_source="reference"), segment("heard", recording="b")
    )
    known = json.dumps([{"start_s": None, "end_s": None, "text": "given"}])
    recordings = tables.frame(
        [recording("a", reference_texts=known), recording("b")], tables.RECORDINGS
    )
    found, gaps = distribute(rows, recordings, 0.5)
    assert found.equals(rows) and not gaps


@pytest.mark.parametrize("name", ["am_spk098_session", "de_kerstin_session", "en_lj_001-0019_0032"])
def test_a_session_read_from_a_page_gets_its_takes_back(shared_data, tmp_path, name):
    """Real speech cut by the real segmenter; what a recogniser would hear is made of the labels."""
    labels = pd.read_csv(shared_data / "long" / f"{name}.segments.tsv", sep="\t")
    takes = labels[labels["label"] == "speech"].reset_index(drop=True)
    flac = tmp_path / "normalised.flac"
    clipped = normalize(shared_data / "long" / f"{name}.flac", flac, NORMALIZE).clipped
    cut = cutting.segment(flac, SEGMENT, clipped)
    spans = np.array(cut.spans) / cut.rate_hz
    at = [
        int(np.argmax((spans[:, 0] < t.end_s) & (t.start_s < spans[:, 1])))
        for t in takes.itertuples()
    ]
    words = [text.split() for text in takes["text"]]
    lexicon = plain(sum(words, []))
    for share in (0.0, 0.15):
        heard = [""] * len(spans)
        for take, segment_ in enumerate(at):
            heard[segment_] += " " + misheard(words[take], share, lexicon, f"{take}")
        page = "\n".join(takes["text"])
        found = locate(split_words(page), heard)
        expected = [" ".join(takes["text"][np.equal(at, n)]) for n in range(len(spans))]
        texts = ["" if s is None else " ".join(page[s.start : s.end].split()) for s in found]
        right = sum(text == want for text, want in zip(texts, expected, strict=True))
        print(
            f"{name}, {share:.0%} misheard: {right} of {len(spans)} segments get their exact text"
        )
        assert right >= (len(spans) if share == 0 else 0.7 * len(spans))


def test_a_long_text_without_a_recogniser_is_dropped_with_the_reason():
    known = distinct([{"start_s": None, "end_s": None, "text": "a chapter"}])
    rate_hz = 24000
    assert spans_of(known, rate_hz, 14 * rate_hz, whole_s=15.0) == ReferenceSpans([], known)
    assert spans_of(known, rate_hz, 16 * rate_hz, whole_s=15.0) is None  # cut like one without text
    parts = [
        {"start_s": start_s, "end_s": end_s, "text": "a passage"}
        for start_s, end_s in ((0.0, 20.0), (20.0, 55.0), (60.0, 99.0))
    ]
    parts = distinct(parts)
    assert spans_of(parts, rate_hz, 100 * rate_hz, whole_s=15.0) is None
    assert len(spans_of(parts[:1], rate_hz, 100 * rate_hz, whole_s=15.0).spans) == 1
    assert len(spans_of(parts, rate_hz, 100 * rate_hz).spans) == 3  # nobody could align them
    spans = spans_of(known, rate_hz, 100 * rate_hz)
    inherited = dict.fromkeys(INHERITED) | {"recording_id": "r", "rate_hz": rate_hz}
    too_long = "long text, and no transcribe.model or align.acoustic_model to cut it by"
    for seconds, reason in ((50, None), (90, too_long)):
        cut_ = [{"start": 0, "end": seconds * rate_hz}]
        [row] = segment_rows(inherited, known, spans, cut_)
        assert row.get("reason") == reason and row["status"] == ("drop" if reason else "keep")


def test_a_sentence_that_is_read_twice_is_given_once():
    known = "The wind was cold that night. Nobody slept. The boat left before the sun came up."
    found, gaps = reading(
        "the wind was cold that night",
        "nobody slept",
        "nobody slept",
        "the boat left before the sun came up",
        known=known,
    )
    kept = found[found["status"] == "keep"]
    assert " ".join(kept["text"]) == known and not gaps
    assert sorted(found["hypothesis"][found["status"] == "drop"]) == ["nobody slept"]


def test_of_a_page_from_another_book_nothing_is_kept():
    words, other = chapter(1500), chapter(1500, seed=1)
    heard = [" ".join(plain(other[a:b])) for a, b in cut(other)]
    found, gaps = reading(*heard, known=" ".join(words))
    assert set(found["status"]) == {"drop"}
    assert [gap["words"] for gap in gaps] == [len(words)]
