"""XTTS's GPT at small size: upstream's with random weights, and ours with the same."""

import torch
import voicekiln.upstream  # noqa: F401  (TTS can be imported after it)
from TTS.tts.layers.xtts.gpt import GPT
from voicekiln.families.xtts.model import XttsGpt, build

ARCH = {
    "layers": 2,
    "width": 64,
    "heads": 4,
    "n_audio_tokens": 34,
    "max_text_tokens": 50,
    "max_audio_tokens": 60,
    "start_text": 39,
    "stop_text": 0,
    "start_audio": 32,
    "stop_audio": 33,
}
N_TOKENS = 40


def upstream_gpt() -> GPT:
    """Upstream's class at small size, no tensor of it zero."""
    torch.manual_seed(1)
    gpt = GPT(
        layers=2,
        model_dim=64,
        heads=4,
        max_text_tokens=50,
        max_mel_tokens=60,
        number_text_tokens=N_TOKENS,
        start_text_token=39,
        stop_text_token=0,
        num_audio_tokens=34,
        start_audio_token=32,
        stop_audio_token=33,
        use_perceiver_resampler=True,
    )
    for parameter in gpt.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return gpt.eval()


def own_gpt(upstream: GPT, **changed) -> XttsGpt:
    """Ours with the weights of upstream's."""
    model = build(ARCH | changed, N_TOKENS)
    model.load_state_dict(upstream.state_dict(), strict=True)
    return model.eval()


def ragged(n_text, n_codes):
    """Texts and codes of these lengths, padded with zeros, and their lengths."""
    rng = torch.Generator().manual_seed(3)
    texts = [torch.randint(1, 39, (n,), generator=rng) for n in n_text]
    codes = [torch.randint(32, (n,), generator=rng) for n in n_codes]
    pad = torch.nn.utils.rnn.pad_sequence
    return (
        pad(texts, batch_first=True),
        torch.tensor(n_text),
        pad(codes, batch_first=True),
        torch.tensor(n_codes),
    )
