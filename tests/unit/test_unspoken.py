"""Unspoken parts of a text are removed by rule, counted, and kept on request."""

import logging
import time

import pytest
from corpus_rows import segment, table
from hypothesis import example, given, settings
from hypothesis import strategies as st
from voicekiln.corpus.sources.timed.cues import VOICE
from voicekiln.corpus.texts import spoken, unspoken_in, warn_of_unspoken
from voicekiln.store import tables
from voicekiln.text.normalize import TextSettings, normalize
from voicekiln.text.unspoken import KINDS, strip

SETTINGS = TextSettings(True, "native", "spell", {})


@pytest.mark.parametrize(
    "text, left",
    [
        ("[door creaks]", ""),
        ("[Music] Good evening.", "Good evening."),
        ("Yes [laughs], sure.", "Yes, sure."),
        ("(sighs) I know.", "I know."),
        ("I know. (sighs)", "I know."),
        ("(DOOR OPENS) Hi.", "Hi."),
        ("(in French) Good day.", "Good day."),
        ("(both laugh softly)", ""),
        ("Fine, *laughs* go on.", "Fine, go on."),
        ("<unk> yes <laugh> no", "yes no"),
        ("(lacht) Na gut.", "Na gut."),
        ("(вздыхает) Ладно.", "Ладно."),
        ("[ሙዚቃ] ሰላም ለዓለም።", "ሰላም ለዓለም።"),
        ("[موسيقى] صباح الخير", "صباح الخير"),
        ("（笑）そうです。", "そうです。"),
        ("【音楽】", ""),
        ("(笑声) 你好", "你好"),
        ("{LG} okay", "okay"),
    ],
)
def test_events_in_brackets_are_removed(text, left):
    removed = {}
    assert strip(text, removed=removed) == left
    assert list(removed) == ["events"] and strip(text, ["events"]) == text


@pytest.mark.parametrize(
    "text",
    [
        "The house (which was red) burned down.",
        "It was cold (about five degrees) that night.",
        "(which was red)",
        "The bank (closed since May) opened.",
        "Fruit (apples) and bread.",
        "The corporation (BBC) said so.",
        "Das Haus (das rote) brannte.",
        "If x < 5 and y > 3 we stop.",
        "2 * 3 * 4 is 24",
        "2<3>1",
        "Note: this is said.",
        "Warnung: Es ist glatt.",
        "He said: come in.",
        "Speakers: the men.",
        "Anna: a life.",
        "At 10:30 we left.",
        "-5 degrees",
        "AT&T and R&D",
        "... and so on.",
        "C♯ minor",
        "ሰላም፡ ለዓለም።",
        "می\u200cخواهم",
    ],
)
def test_spoken_text_is_kept(text):
    removed = {}
    assert strip(text, removed=removed) == text and not removed


@pytest.mark.parametrize(
    "kind, text, left",
    [
        ("markup", "<i>She</i> said &amp; smiled.", "She said & smiled."),
        ("markup", "a &lt;i&gt;b&lt;/i&gt; c", "a b c"),
        ("markup", '<font color="#fff">Up</font> and<br/>down', "Up and down"),
        ("markup", "{\\an8}Up there", "Up there"),
        ("markup", "That is *really* good", "That is really good"),
        ("markup", "[T]he end, she walk[ed] home", "The end, she walked home"),
        ("labels", ">> Who is there?", "Who is there?"),
        ("labels", "Hi. >> Hello.", "Hi. Hello."),
        ("labels", ">> Anna: Hi.", "Hi."),
        ("labels", "MARTHA: Only me.", "Only me."),
        ("labels", "DR. SMITH (V.O.): Hush.", "Hush."),
        ("labels", "[SPEAKER_00]: Hi.", "Hi."),
        ("labels", "[ANNA]: Hi.", "Hi."),
        ("labels", "（太郎）こんにちは", "こんにちは"),
        ("labels", "МАРИЯ: Это я.", "Это я."),
        ("labels", "Speaker 1: Hi.", "Hi."),
        ("labels", "Man 2: Hi.", "Hi."),
        ("labels", "Young woman: Hi.", "Hi."),
        ("labels", "SPEAKER_00: Hi.", "Hi."),
        ("labels", "—Hola, ¿qué tal?", "Hola, ¿qué tal?"),
        ("labels", "- Hello.", "Hello."),
        ("lyrics", "♪ la la la ♪", ""),
        ("lyrics", "Hello. ♫ Happy birthday", "Hello."),
        ("lyrics", "# la la #", ""),
        ("lyrics", "* la la *", ""),
        ("emoji", "I love it 😀👍", "I love it"),
        ("emoji", "👨‍👩‍👧‍👦 family 🇪🇹 5️⃣ ok ❤️ 👍🏽", "family ok"),
        ("emoji", "fine :-) really", "fine really"),
        ("emoji", "ℹ️ info ™️ ‼️ 〰️ now", "info now"),
    ],
)
def test_labels_markup_lyrics_and_emoji(kind, text, left):
    removed = {}
    assert strip(text, removed=removed) == left
    assert kind in removed
    if set(removed) == {kind}:
        assert strip(text, [kind]) == text


def test_tags_in_square_brackets_are_markup():
    removed = {}
    assert strip("The [b]bold[/b] one [i]t was", removed=removed) == "The bold one it was"
    assert list(removed) == ["markup"]


@settings(max_examples=200, deadline=None)
@example(text="<i> . ( B )")
@given(
    text=st.lists(
        st.sampled_from(
            "<i> </i> & &amp; [ ] ( ) * ♪ >> - : ANNA laughs x 😀 . , ( sighs ) 5".split()
        )
        | st.text(max_size=3),
        max_size=12,
    ).map(" ".join)
)
def test_stripping_terminates_and_is_idempotent(text):
    left = strip(text)
    assert strip(left) == left
    assert strip(text, list(KINDS)).split() == text.split() or strip(text, list(KINDS)) == ""


def test_normalising_strips_unless_kept_or_disabled():
    text = "MARTHA: Only &amp; <b>always</b> me 😀"
    assert normalize(text, "en", SETTINGS) == "Only and always me"
    kept = TextSettings(True, "native", "spell", {}, keep=["labels", "emoji"])
    assert normalize(text, "en", kept) == "MARTHA: Only and always me 😀"
    assert normalize("L&#39;été&nbsp;: c&rsquo;est beau ℹ️ ＜i＞x＜/i＞", "fr", SETTINGS) == (
        "L'été: c'est beau x"
    )
    assert normalize(text, "en", TextSettings(False, "native", "spell", {})) == text


def test_a_segment_without_spoken_text_is_dropped_and_each_kind_is_logged_once(caplog):
    rows = [
        segment("[door creaks]", 0, language="en"),
        segment("(sighs) MARTHA: Only me.", 4, language="en"),
        segment("[Music] as I wrote it", 8, language="en", text_source="corrected"),
    ]
    found = table(*rows)
    result = spoken(found, SETTINGS)
    assert result["status"].tolist() == ["drop", "keep", "keep"]
    assert result["reason"][0] == "nothing is spoken" and result["text"].isna().tolist()[0]
    assert result["text"].tolist()[1:] == ["Only me.", "[Music] as I wrote it"]
    from_sidecars = '{"labels": [2, "BEN:"], "lyrics": [1, "la"]}'
    file = {"content_sha256": "1", "unspoken": from_sidecars}
    recordings = tables.frame(
        [
            file | {"path": "a.wav#0"},
            file | {"path": "a.wav#1"},
            {"path": "b.wav", "content_sha256": "2"},
        ],
        tables.RECORDINGS,
    )
    removed = unspoken_in(found, recordings, SETTINGS)
    assert removed.pop("lyrics") == [1, "la"]
    assert removed == {"events": [2, "[door creaks]"], "labels": [3, "MARTHA:"]}
    with caplog.at_level(logging.WARNING):
        warn_of_unspoken(removed, "voice")
    assert [record.getMessage() for record in caplog.records] == [
        "voice: 2 bracketed events removed from the texts because they are not spoken, for "
        "example '[door creaks]'; text.keep: [events] keeps them",
        "voice: 3 speaker labels and turn marks removed from the texts because they are not "
        "spoken, for example 'MARTHA:'; text.keep: [labels] keeps them",
    ]


@pytest.mark.parametrize("head", ["<v", "<c", "</font", "<lang"])
def test_an_unclosed_tag_takes_linear_time(head):
    text = head + ".a" * 1000 + "!"
    begin = time.process_time()
    assert strip(text) == text
    assert VOICE.findall(text) == []
    assert time.process_time() - begin < 2
