"""What may spoil a voice is said in words, with the files, worst first (S4-2, S4-3, S4-8)."""

import numpy as np
import pytest
from corpus_rows import recording
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.corpus.quality import concerns
from voicekiln.store import tables

GOOD = {
    "codec": "flac",
    "source_rate_hz": 44100,
    "channels": 1,
    "bandwidth_hz": 18_000.0,
    "snr_db": 40.0,
    "hum_db": 5.0,
    "reverb_s": 0.2,
    "clipped_share": 0.0,
    "loudness_lufs": -20.0,
    "gain_db": -3.0,
}


def found(*changes, n_good=20):
    rows = [recording(f"good{i:02d}", **GOOD) for i in range(n_good)]
    rows += [recording(f"bad{i:02d}", **(GOOD | change)) for i, change in enumerate(changes)]
    return concerns(tables.frame(rows, tables.RECORDINGS))


def test_good_recordings_are_no_concern():
    assert found() == []
    assert found(n_good=0) == []


def test_a_mix_of_formats_is_told_s4_8():
    (concern,) = found({"codec": "mp3"}, {"codec": "mp3"}, {"channels": 2})
    assert concern.text == (
        "3 formats, which may sound different (20 x flac 44100 Hz, 1 ch; 2 x mp3 44100 Hz, 1 ch; "
        "1 x flac 44100 Hz, 2 ch); not the usual one"
    )
    assert concern.files == ["bad02.wav", "bad00.wav", "bad01.wav"]


def test_up_sampled_recordings_among_wide_ones_are_named_worst_first_s4_8():
    (concern,) = found({"bandwidth_hz": 4000.0}, {"bandwidth_hz": 3400.0})
    assert str(concern) == (
        "2 of 22 recordings are dull: much less than the usual bandwidth of 12.0 kHz: "
        "bad01.wav (3400 Hz), bad00.wav (4000 Hz); use the original recordings instead of "
        "compressed copies, or remove them"
    )


@pytest.mark.parametrize("ends_hz, khz", [(4000.0, "4.0"), (7900.0, "7.9"), (10_665.0, "10.7")])
def test_a_corpus_that_is_narrow_throughout_is_a_concern_s4_7(ends_hz, khz):
    """Telephone, sources of 16 kHz, and stereo MP3 of 64 kbit/s, beside nothing wider."""
    (concern,) = found(*[{"bandwidth_hz": ends_hz}] * 12, n_good=0)
    assert concern.text.startswith("12 of 12 recordings are narrow-band throughout: ")
    assert f"ends at {khz} kHz" in concern.text and "12.0 kHz" in concern.text
    assert concern.n_files == 12


@pytest.mark.parametrize("ends_hz", [10_900.0, 12_000.0, 20_000.0])
def test_a_corpus_of_full_bandwidth_is_none(ends_hz):
    assert found(*[{"bandwidth_hz": ends_hz}] * 12, n_good=0) == []


@given(
    st.lists(st.floats(500, 22_050), min_size=1, max_size=30),
    st.sampled_from([16_000, 22_050, 24_000, 44_100]),
)
@settings(max_examples=60, deadline=None)
def test_narrow_is_what_most_of_the_corpus_is(widths_hz, rate_hz):
    rows = [
        recording(f"r{i:02d}", **GOOD | {"bandwidth_hz": hz, "rate_hz": rate_hz})
        for i, hz in enumerate(widths_hz)
    ]
    said = [c for c in concerns(tables.frame(rows, tables.RECORDINGS)) if "narrow-band" in c.text]
    assert bool(said) == (np.median(widths_hz) < 0.9 * rate_hz / 2)


def test_what_the_corpus_rate_leaves_out_anyway_makes_no_difference():
    assert found({"bandwidth_hz": 12_500.0}) == []


def test_ten_files_are_shown_and_the_others_counted():
    (concern,) = found(*({"snr_db": 14.0 - i} for i in range(13)))
    assert concern.text.startswith("13 of 33 recordings are noisy")
    assert concern.files[:2] == ["bad12.wav (2.0 dB)", "bad11.wav (3.0 dB)"]
    assert "bad03.wav (11.0 dB) and 3 more; record closer" in str(concern)


def test_hum_echo_clipping_and_quiet_ones_are_told_apart():
    texts = [c.text for c in found({"hum_db": 30.0}, {"reverb_s": 0.9}, {"clipped_share": 0.02})]
    assert [text.split()[5] for text in texts] == ["humming:", "echoing:", "clipped"]
    (concern,) = found({"gain_db": -9.0})
    assert "quieter" in concern.text and concern.files == ["bad00.wav (-6.0 dB)"]


def test_missing_measures_and_unusable_files_say_nothing():
    nothing = dict.fromkeys(["bandwidth_hz", "snr_db", "hum_db", "reverb_s", "loudness_lufs"])
    assert found(nothing) == []
    assert found({"status": "bad", "codec": None, "snr_db": 0.0}) == []
