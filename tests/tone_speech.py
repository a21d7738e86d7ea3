"""Speech of tones, one frequency for each letter, and a small acoustic model that has learnt it."""

import json

import numpy as np
import torch
from voicekiln import upstream

upstream.prepare()  # lets transformers be imported
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC  # noqa: E402

RATE_HZ = 16000
FRAME = 320
LETTERS = "abcdefgh"
VOCAB = {"<pad>": 0, "|": 1} | {letter: 2 + i for i, letter in enumerate(LETTERS)}
TONE_S, PAUSE_S, EDGE_S = 0.1, 0.12, 0.2
CONFIG = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
    "conv_dim": [24, 32], "conv_kernel": [400, 3], "conv_stride": [160, 2], "conv_bias": True,
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16, "feat_extract_norm": "layer",
    "num_conv_pos_embedding_groups": 2, "do_stable_layer_norm": True, "mask_time_prob": 0.0,
    "vocab_size": len(VOCAB), "pad_token_id": 0, "hidden_dropout": 0.0, "layerdrop": 0.0,
    "attention_dropout": 0.0, "feat_proj_dropout": 0.0, "activation_dropout": 0.0,
    "final_dropout": 0.0,
}  # fmt: skip


def spoken(text, seed=0, rate_hz=RATE_HZ):
    """Samples of `text`, and `(start_s, end_s, letter)` of each letter."""
    rng = np.random.default_rng(seed)
    where, at = [], EDGE_S
    for word in text.split():
        for letter in word:
            length = TONE_S * rng.uniform(0.8, 1.3)
            where.append((at, at + length, letter))
            at += length
        at += PAUSE_S * rng.uniform(0.8, 1.5)
    samples = rng.normal(0, 0.003, round((at + EDGE_S) * rate_hz))
    for start, end, letter in where:
        first, last = round(start * rate_hz), round(end * rate_hz)
        time = np.arange(last - first) / rate_hz
        fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.01)
        hz = 300 * 1.25 ** LETTERS.index(letter)
        samples[first:last] += 0.3 * fade * np.sin(2 * np.pi * hz * time)
    return samples.astype(np.float32), where


def word_times(text, where):
    """`(start_s, end_s)` of each word."""
    times, at = [], 0
    for word in text.split():
        times.append((where[at][0], where[at + len(word) - 1][1]))
        at += len(word)
    return times


def targets(where, text, n_frames):
    """The token of each frame: letters while they sound, one delimiter in each pause."""
    labels = np.zeros(n_frames, np.int64)
    middles = (np.arange(n_frames) * FRAME + 360) / RATE_HZ
    times = word_times(text, where)
    for (_, end), (start, _) in zip(times, times[1:], strict=False):
        labels[np.abs(middles - (end + start) / 2).argmin()] = VOCAB["|"]
    for start, end, letter in where:
        labels[(middles >= start) & (middles < end)] = VOCAB[letter]
    return labels


def some_text(rng, n_words=5):
    """Words of letters none of which stands twice in a row."""
    words = []
    for _ in range(n_words):
        word = ""
        for _ in range(rng.integers(2, 6)):
            word += rng.choice([c for c in LETTERS if not word.endswith(c)])
        words.append(word)
    return " ".join(words)


def trained(steps=60):
    """A Wav2Vec2ForCTC that has learnt these tones, frame by frame."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**CONFIG))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(steps):
        text = some_text(rng)
        samples, where = spoken(text, seed=step)
        samples = (samples - samples.mean()) / samples.std()
        logits = model(torch.from_numpy(samples)[None]).logits[0]
        loss = torch.nn.functional.cross_entropy(
            logits, torch.from_numpy(targets(where, text, len(logits)))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def save(model, folder, vocab=VOCAB):
    """All files of a CTC model of Hugging Face."""
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    preprocessor = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True}
    preprocessor["sampling_rate"] = RATE_HZ
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder
