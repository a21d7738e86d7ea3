"""Texts aligned by an acoustic model through the workflow, without any recogniser."""

import json

import numpy as np
import pytest
import soundfile
import tone_speech as tones
from voicekiln.store import tables

pytestmark = pytest.mark.slow


def test_given_texts_are_aligned_without_a_recogniser(workflow):
    """Three recordings of tones; the second has another's text."""
    tones.save(tones.trained(), workflow.dir / "ctc")
    rng = np.random.default_rng(5)
    lines = []
    for name in ("a.wav", "b.wav", "c.wav"):
        text = tones.some_text(rng, 8)
        samples, where = tones.spoken(text, len(lines))
        soundfile.write(workflow.dir / name, samples, tones.RATE_HZ)
        if name == "b.wav":
            text = tones.some_text(rng, 8)
        # spans are given, because tones are not speech to a speech detector
        span = {"offset": 0.1, "duration": where[-1][1]}
        lines.append(json.dumps({"audio_filepath": name, "text": text} | span) + "\n")
    (workflow.dir / "list.jsonl").write_text("".join(lines))
    workflow.config["corpora"]["tones"] = {
        "audio": "list.jsonl",
        "language": "am",
        "shards": 1,
        "transcribe": {"model": None},
        "align": {"acoustic_model": "ctc"},
    }
    target = "results/corpora/tones/shards/000/align.parquet"
    workflow.run(target)
    table = tables.read(workflow.dir / target).sort_values("path")
    assert (table["text_source"] == "reference").all() and table["hypothesis"].isna().all()
    right, wrong, other = table["acoustic_score"]
    assert wrong < 2 * min(right, other) < 0
    assert table["unaligned"].isna().all()
    workflow.run(target, "--dry-run")
    assert not workflow.jobs
