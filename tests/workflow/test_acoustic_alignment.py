"""Texts aligned by an acoustic model through the workflow, without any recogniser."""

import numpy as np
import pytest
import soundfile
import tone_speech as tones
from voicekiln.store import tables

pytestmark = pytest.mark.slow


def test_a_chapter_is_split_and_aligned_without_a_recogniser(workflow):
    """Sentences of tones with pauses between them and one text for all; the fourth is not on it."""
    tones.save(tones.trained(), workflow.dir / "ctc")
    (workflow.dir / "in").mkdir()
    rng = np.random.default_rng(5)
    texts = [tones.some_text(rng, 4) for _ in range(6)]
    parts = []
    for seed, text in enumerate(texts):
        parts += [tones.spoken(text, seed)[0], rng.normal(0, 0.003, 12000).astype(np.float32)]
    soundfile.write(workflow.dir / "in" / "a.wav", np.concatenate(parts), tones.RATE_HZ)
    sentences = [f"{text.capitalize()}." for text in texts]
    missing = sentences.pop(3)
    (workflow.dir / "in" / "a.txt").write_text("\n".join(sentences))
    workflow.config["corpora"]["tones"] = {
        "audio": "in",
        "language": "de",
        "transcripts": "sidecar",
        "shards": 1,
        "segment": {"max_s": 6.0},
        "transcribe": {"model": None},
        "align": {"acoustic_model": "ctc"},
    }
    target = "results/corpora/tones/shards/000/align.parquet"
    workflow.run(target)
    table = tables.read(workflow.dir / target).sort_values("start")
    kept = table[table["status"] == "keep"]
    assert list(kept["text"]) == sentences and set(kept["text_source"]) == {"reference"}
    assert kept["acoustic_score"].between(-0.5, 0).all() and kept["unaligned"].isna().all()
    [dropped] = table[table["status"] == "drop"].itertuples()
    assert dropped.reason == "not in the reference text" and missing not in set(kept["text"])
    workflow.run(target, "--dry-run")
    assert not workflow.jobs
