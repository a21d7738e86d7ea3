"""The average against ema_pytorch's, with the arguments that f5_tts's Trainer gives it."""

import pytest
import torch
from ema_pytorch import EMA
from training_setup import TRAIN
from voicekiln.training.settings import train_settings
from voicekiln.training.step.ema import Ema


def settings(decay, every, follow):
    changes = {"ema_decay": decay, "ema_every": every, "ema_follow_updates": follow}
    return train_settings(TRAIN | changes, "f5")


def model():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.Linear(7, 3))
    return net.double()


def change(net, n):
    generator = torch.Generator().manual_seed(n)
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        net[1].running_mean += 0.01


@pytest.mark.parametrize(
    ("every", "follow", "updates"), [(10, 100, 260), (1, 0, 40), (3, 7, 50), (10, 100, 57)]
)
def test_bit_equal_to_ema_pytorch(every, follow, updates):
    net = model()
    upstream = EMA(
        net, include_online_model=False, update_every=every, update_after_step=follow, beta=0.99
    )
    ours = Ema(net, settings(0.99, every, follow))
    for n in range(updates):
        change(net, n)
        upstream.update()
        ours.update()
    expected = upstream.ema_model.state_dict()
    for name, tensor in ours.state().items():
        assert torch.equal(tensor, expected[name]), name
    assert set(expected) - set(ours.state()) == {"1.num_batches_tracked"}  # an integer
    assert not torch.equal(ours.state()["0.weight"], net[0].weight)


def test_a_loaded_average_goes_on_like_the_old_one():
    net = model()
    whole = Ema(net, settings(0.999, 2, 3))
    for n in range(9):
        change(net, n)
        whole.update()
    resumed = Ema(net, settings(0.999, 2, 3))
    resumed.load({k: v.clone() for k, v in whole.state().items()}, whole.updates)
    for n in range(9, 20):
        change(net, n)
        whole.update()
        resumed.update()
    assert all(torch.equal(v, resumed.state()[k]) for k, v in whole.state().items())


def test_the_model_has_the_average_inside_and_its_weights_again_after_it():
    net = model()
    ema = Ema(net, settings(0.9, 1, 0))
    for n in range(5):
        change(net, n)
        ema.update()
    live = {k: v.clone() for k, v in net.state_dict().items()}
    mean = {k: v.clone() for k, v in ema.state().items()}
    with pytest.raises(RuntimeError), ema.in_place():
        assert all(torch.equal(net.state_dict()[k], v) for k, v in mean.items())
        raise RuntimeError
    assert all(torch.equal(v, live[k]) for k, v in net.state_dict().items())
    assert all(torch.equal(v, mean[k]) for k, v in ema.state().items())


def test_without_decay_the_weights_take_their_place():
    """No copy, so no lag of `ema_every` updates and no memory; loading changes both at once."""
    net = model()
    ours = Ema(net, settings(0.0, 10, 100))
    for n in range(3):
        change(net, n)
        ours.update()
    assert ours.updates == 3
    state = ours.state()
    assert all(state[name].data_ptr() == t.data_ptr() for name, t in net.named_parameters())
    with ours.in_place():
        assert net[0].weight.data_ptr() == state["0.weight"].data_ptr()
    ours.load({name: tensor + 1 for name, tensor in state.items()}, 5)
    assert ours.updates == 5 and torch.equal(net[0].weight, state["0.weight"])
