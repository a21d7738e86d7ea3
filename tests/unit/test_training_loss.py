"""The F5 loss: upstream's for the same draws, however an update is cut into batches."""

import random
from dataclasses import replace

import pytest
import torch
from training_setup import LETTERS, MODEL
from voicekiln import families

f5 = families.get("f5")
from voicekiln.families import Clip  # noqa: E402
from voicekiln.families.f5.loss import Draws  # noqa: E402
from voicekiln.training.seeds import generator as seeded  # noqa: E402

RELEASED = {"text_mask_padding": False, "pe_attn_head": 1}  # F5TTS_Base; F5TTS_v1_Base is the other


def tiny(**values):
    torch.manual_seed(0)
    arch = f5.architecture(MODEL | {"dropout": 0.0} | values)
    model = f5.build(arch, len(LETTERS))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def some_samples(lengths=(40, 31, 17, 40), tokens=(6, 9, 2, 1)):
    generator = torch.Generator().manual_seed(3)
    return [
        Clip(
            f"clip-{i}",
            "",
            "en",
            arrays={"mel": torch.randn(n_frames, 100, generator=generator)},
            text_ids=torch.randint(len(LETTERS), (n_tokens,), generator=generator),
        )
        for i, (n_frames, n_tokens) in enumerate(zip(lengths, tokens, strict=True))
    ]


def draw(clip, seed, update, train=True):
    """The draws of a clip, with the generator that the training loop makes."""
    return f5.draw(clip, seeded(seed, update, clip.id), train)


def gradients(model):
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def close(a, b, tolerance):
    """Largest difference of two sets of gradients, as a share of the largest gradient."""
    assert set(a) == set(b)
    scale = max(g.abs().max() for g in a.values())
    worst = max((a[n] - b[n]).abs().max() for n in a) / scale
    assert worst <= tolerance, float(worst)


@pytest.mark.parametrize("values", [{}, RELEASED, {"attn_mask_enabled": True}])
@pytest.mark.parametrize("seed", range(6))  # among them each of the three cases of dropping
def test_equals_upstreams_forward_for_the_same_draws(values, seed):
    model = tiny(**values)
    samples = some_samples()
    lengths = torch.tensor([len(s.arrays["mel"]) for s in samples])
    mel = torch.nn.utils.rnn.pad_sequence([s.arrays["mel"] for s in samples], batch_first=True)
    text = torch.nn.utils.rnn.pad_sequence(
        [s.text_ids for s in samples], batch_first=True, padding_value=-1
    )
    torch.manual_seed(seed)
    random.seed(seed)
    expected, _, _ = model(mel, text, lens=lengths)
    expected.backward()
    wanted = gradients(model)

    # what upstream drew, in the order in which it draws
    torch.manual_seed(seed)
    random.seed(seed)
    share = torch.zeros(len(samples)).uniform_(0.7, 1.0)
    masked = (share * lengths).long()
    start = ((lengths - masked) * torch.rand_like(share)).long()
    noise = torch.randn_like(mel)
    time = torch.rand(len(samples))
    drop_audio, drop_all = random.random() < 0.3, random.random() < 0.2
    draws = [
        Draws(
            noise[i, : len(s.arrays["mel"])],
            float(time[i]),
            (int(start[i]), int(start[i] + masked[i])),
            drop_audio or drop_all,
            drop_all,
        )
        for i, s in enumerate(samples)
    ]
    batch = f5.collate(samples, draws)
    assert tuple(batch["totals"]) == tuple(families.facts.of("f5").losses), (
        "as the configuration is checked for"
    )
    batch["noise"] = noise  # in padding too, where ours has none
    loss = f5.loss(model, batch)["flow"] / batch["totals"]["flow"]
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    close(gradients(model), wanted, 1e-5)


def test_upstreams_cases_are_all_met_above():
    cases = set()
    for seed in range(6):
        random.seed(seed)
        cases.add((random.random() < 0.3, random.random() < 0.2))
    assert len({(a or b, b) for a, b in cases}) == 3


def update_gradients(model, samples, cuts, pad_to):
    """Gradients of one update whose clips are dealt into batches at `cuts`."""
    parts = [samples[a:b] for a, b in zip([0, *cuts], [*cuts, len(samples)], strict=True)]
    batches = [f5.collate(part, [draw(s, 5, 12) for s in part], pad_to=pad_to) for part in parts]
    totals = {"flow": sum(batch["totals"]["flow"] for batch in batches)}
    loss = 0.0
    for batch in batches:
        share = f5.loss(model, batch)["flow"] / totals["flow"]
        share.backward()
        loss += share.item()
    return loss, gradients(model)


@pytest.mark.parametrize("values", [{}, RELEASED])
@pytest.mark.parametrize("cuts", [[1], [2], [1, 2, 3]])
def test_a_batch_in_parts_is_the_same_update(values, cuts):
    """Padded like the whole; `draw` does not know the batch."""
    model, samples = tiny(**values), some_samples()
    whole, wanted = update_gradients(model, samples, [], None)
    parts, found = update_gradients(model, samples, cuts, 40)
    assert parts == pytest.approx(whole, rel=1e-6)
    close(found, wanted, 1e-6)


def test_accumulated_batches_weigh_by_their_masked_frames():
    """Two batches of clips of one length need no padding: with any cut the same update."""
    model = tiny()
    samples = some_samples((25,) * 5, (4, 5, 6, 7, 8))
    whole, wanted = update_gradients(model, samples, [], None)
    for cuts in ([1], [3], [1, 4]):
        loss, found = update_gradients(model, samples, cuts, None)
        assert loss == pytest.approx(whole, rel=1e-6)
        close(found, wanted, 1e-6)


def test_dropped_text_is_dropped_for_its_sample_alone():
    """One sample of two without its text: it is as upstream makes a batch without text."""
    model = tiny().eval()
    samples = some_samples((30, 30), (7, 4))
    draws = [draw(s, 1, 1, train=False) for s in samples]
    mixed = f5.collate(samples, [replace(draws[0], drop_text=True), draws[1]])
    seen = []
    hook = model.transformer.register_forward_hook(lambda m, a, output: seen.append(output))
    with torch.no_grad():
        f5.loss(model, mixed)
        plain = f5.collate(samples, draws)
        f5.loss(model, plain)
        times = torch.tensor([d.time for d in draws])
        t = times[:, None, None]
        cond = plain["mel"].clone()
        for i, d in enumerate(draws):
            cond[i, slice(*d.span)] = 0
        model.transformer(
            x=(1 - t) * plain["noise"] + t * plain["mel"],
            cond=cond,
            text=plain["text"],
            time=times,
            mask=torch.ones(2, 30, dtype=torch.bool),
            drop_text=True,
        )
    hook.remove()
    mixed_out, plain_out, dropped_out = seen
    torch.testing.assert_close(mixed_out[0], dropped_out[0])
    torch.testing.assert_close(mixed_out[1], plain_out[1])
    assert not torch.allclose(plain_out[0], dropped_out[0], atol=1e-4)


def test_draws_depend_on_seed_update_and_id_only():
    one, other = some_samples((20, 20), (3, 3))
    drawn = draw(one, 1, 2)
    assert torch.equal(drawn.noise, draw(one, 1, 2).noise)
    for changed in (draw(one, 2, 2), draw(one, 1, 3), draw(other, 1, 2)):
        assert drawn.time != changed.time and not torch.equal(drawn.noise, changed.noise)
    torch.manual_seed(0)
    before = torch.rand(1)
    torch.manual_seed(0)
    draw(one, 1, 2)
    assert torch.rand(1) == before  # the process's generator is not used


def test_draws_have_upstreams_distribution():
    sample = some_samples((50,), (3,))[0]
    drawn = [draw(sample, 1, update) for update in range(4000)]
    share = torch.tensor([(d.span[1] - d.span[0]) / 50 for d in drawn])
    assert share.min() >= 0.68 and share.max() <= 1 and abs(share.mean() - 0.84) < 0.01
    assert all(0 <= d.span[0] < d.span[1] <= 50 for d in drawn)
    # P(text) = 0.2; P(audio) = 0.2 + 0.8 x 0.3
    assert abs(sum(d.drop_text for d in drawn) / 4000 - 0.2) < 0.02
    assert abs(sum(d.drop_audio for d in drawn) / 4000 - 0.44) < 0.025
    assert all(d.drop_audio for d in drawn if d.drop_text)
    times = torch.tensor([d.time for d in drawn])
    assert abs(times.mean() - 0.5) < 0.02 and times.min() >= 0 and times.max() < 1
    noise = torch.stack([d.noise for d in drawn[:50]])
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert not any(
        d.drop_audio or d.drop_text for d in (draw(sample, 1, u, False) for u in range(50))
    )
