"""Codes that XTTS's GPT generates, against coqui-tts's inference and against its training."""

import pytest
import torch
from voicekiln.families.generation import GREEDY, Sampling, generate
from xtts_gpt_small import own_gpt, upstream_gpt

TEXT = torch.tensor([5, 9, 3, 17, 8])
CONDITIONS = torch.randn(1, 32, 64, generator=torch.Generator().manual_seed(5))
XTTS = Sampling(repetition_penalty=2.0, temperature=0.85, top_k=20, top_p=0.85)
PLAIN = Sampling()  # stops now and then


@pytest.fixture(scope="module")
def model():
    return own_gpt(upstream_gpt())


@pytest.fixture(scope="module")
def upstream():
    gpt = upstream_gpt()
    gpt.init_gpt_for_inference()
    return gpt.eval()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sampling", [GREEDY, XTTS, PLAIN], ids=["greedy", "xtts", "plain"])
def test_codes_and_latents_are_upstreams(model, upstream, sampling, seed):
    text = TEXT + seed
    torch.manual_seed(seed)
    settings = {} if sampling is GREEDY else vars(sampling)
    codes = upstream.generate(CONDITIONS, text[None], do_sample=bool(settings), **settings)
    with torch.no_grad():
        latents = upstream(
            text[None],
            torch.tensor([len(text)]),
            codes,
            torch.tensor([codes.shape[1] * 1024]),
            cond_latents=CONDITIONS,
            return_latent=True,
        )
    rng = torch.Generator().manual_seed(seed)
    found = generate(model, CONDITIONS, text, sampling=sampling, rng=rng)
    ended = [model.stop_audio] if found.stopped else []
    assert found.codes.tolist() + ended == codes[0].tolist()
    torch.testing.assert_close(found.hidden, latents[0], atol=1e-5, rtol=1e-5)


def test_both_ends_occur(model):
    rngs = [torch.Generator().manual_seed(seed) for seed in range(4)]
    found = [generate(model, CONDITIONS, TEXT, sampling=PLAIN, rng=rng) for rng in rngs]
    short = generate(model, CONDITIONS, TEXT, max_codes=2)
    assert any(one.stopped for one in found)
    assert not short.stopped and len(short.codes) == len(short.hidden) == 2


def test_the_cache_changes_nothing(model):
    found = generate(
        model, CONDITIONS, TEXT, sampling=Sampling(repetition_penalty=5.0, temperature=0)
    )
    again = generate(
        model,
        CONDITIONS,
        TEXT,
        sampling=Sampling(repetition_penalty=5.0, temperature=0),
        cached=False,
    )
    assert found.codes.tolist() == again.codes.tolist() and len(set(found.codes.tolist())) > 5
    torch.testing.assert_close(found.hidden, again.hidden, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("text_stop", ["hidden", "seen"])
def test_training_sees_what_inference_sees(model, text_stop):
    """Upstream's training hides the text's STOP, which its inference shows (defect 3)."""
    found = generate(model, CONDITIONS, TEXT, text_stop=text_stop, max_codes=12)
    codes = found.codes[None]
    lengths = torch.tensor([len(TEXT)]), torch.tensor([codes.shape[1]])
    with torch.no_grad():
        trained = {
            mode: model(CONDITIONS, TEXT[None], lengths[0], codes, lengths[1], text_stop=mode)[1]
            for mode in ("hidden", "seen")
        }
        inferred = model.mel_head(found.hidden)
    torch.testing.assert_close(trained[text_stop][0, : len(inferred)], inferred, atol=1e-5, rtol=0)
    assert (trained["hidden"] - trained["seen"]).abs().max() > 1e-3
