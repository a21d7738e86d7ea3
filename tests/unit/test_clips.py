"""The data set as clips and lists, read back by coqui-tts's own formatter and by pandas."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import voicekiln.upstream  # noqa: F401 - before TTS
from corpus_rows import RATE_HZ, segment, table
from voicekiln.corpus.clips import write_clips
from voicekiln.store.items import Store

TEXTS = ['"Quoted" at the start', "a | bar", "ሰላም ለዓለም", "plain"]


@pytest.fixture
def written(tmp_path):
    store = Store(tmp_path / "store", "normalize")
    samples = np.sin(np.arange(20 * RATE_HZ) / 20).astype(np.float32) / 2
    path = store.path("item", ".flac")
    path.parent.mkdir(parents=True)
    soundfile.write(path, samples, RATE_HZ)
    sides, languages = ["train", "train", "val", "train"], ["en", "en", "en", None]
    rows = [
        segment(text, 3.0 * i, item="item", split=side, language=language, speaker=f"s{i % 2}")
        for i, (text, side, language) in enumerate(zip(TEXTS, sides, languages, strict=True))
    ]
    folder = tmp_path / "clips"
    folder.mkdir()
    return folder, write_clips(table(*rows), store, folder), samples


def test_coqui_reads_the_lists(written):
    from TTS.tts.datasets.formatters import coqui

    folder = written[0]
    train = coqui(str(folder / "en"), "metadata_train.csv")
    assert [item["text"] for item in train] == TEXTS[:2]
    assert [item["speaker_name"] for item in train] == ["s0", "s1"]
    (val,) = coqui(str(folder / "en"), "metadata_eval.csv")
    assert val["text"] == TEXTS[2]
    table = pd.read_csv(folder / "en/metadata_train.csv", sep="|")  # as AllTalk and the webui do
    assert table["text"].tolist() == TEXTS[:2]


def test_each_language_has_a_folder_with_its_clips_an_unknown_one_too(written):
    folder, record, samples = written
    assert record == {"en": {"clips": 3, "seconds": 6.0}, "und": {"clips": 1, "seconds": 2.0}}
    assert (folder / "und/lang.txt").read_text() == "und\n"
    (clip,) = (folder / "und/wavs").iterdir()
    audio, rate_hz = soundfile.read(clip)
    assert rate_hz == RATE_HZ
    expected = samples[9 * RATE_HZ : 11 * RATE_HZ]
    assert np.abs(audio - expected).max() < 1e-4, "16 bits, not resampled"
