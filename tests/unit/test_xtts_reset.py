"""Reset of an XTTS base: the GPT alone, with rows for new tokens in three tensors."""

import json
from pathlib import Path

import pytest
import torch
from voicekiln import upstream  # noqa: F401  before coqui-tts
from voicekiln.errors import UserError
from voicekiln.families import xtts
from voicekiln.families.xtts import sizes, weights
from voicekiln.families.xtts.reset import grow
from voicekiln.families.xtts.text import Pieces, tokenizer
from voicekiln.weights.files import read
from xtts_small import base_files

SETTINGS = {"seed": 0, "new_rows": "mean"}


@pytest.fixture
def extended(tmp_path, xtts_release) -> Pieces:
    """The release's vocabulary with new letters, a piece of old ones, and a language."""
    content = json.loads((xtts_release / "vocab.json").read_text())
    n = 1 + max(content["model"]["vocab"].values())
    for i, token in enumerate(("é", "ሰ", "ላ", "hat", "[am]")):
        content["model"]["vocab"][token] = n + i
    content["model"]["vocab"]["at"] = n + 5
    content["model"]["merges"] += [["a", "t"], ["h", "at"]]
    added = dict(content["added_tokens"][0]) | {"id": n + 4, "content": "[am]"}
    content["added_tokens"].append(added)
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps(content))
    return tokenizer(tmp_path)


@pytest.fixture
def files(xtts_release) -> dict[str, Path]:
    return base_files(xtts_release)


def test_rows_of_new_tokens_start_at_the_pieces_that_they_replace(tmp_path, files, extended):
    arch = sizes.architecture(None, files)
    texts = [("that is a ሰላ", "am"), ("thé hat", "am")]
    record = xtts.reset(files, arch, extended, SETTINGS, texts, tmp_path)
    before = weights.read(files["model"]).gpt
    after = weights.read_weights(tmp_path / record["file"]["name"])
    n, ids = len(before["text_embedding.weight"]), extended.vocab
    assert record["tensors"] == {
        "total": 90,
        "bit_equal": 87,
        "grown": ["text_embedding.weight", "text_head.bias", "text_head.weight"],
        "grown_rows_bit_equal": n,
    }
    for name in weights.VOCABULARY:
        old, new = before[name], after[name]
        assert torch.equal(new[:n], old) and len(new) == n + 6
        letters = [ids[letter] for letter in "hat"]
        torch.testing.assert_close(new[ids["hat"]], old[letters].mean(0))
        torch.testing.assert_close(new[ids["é"]], old[ids["e"]])
        tags = [i for token, i in ids.items() if token[0] == "[" and token[1:3].islower()]
        torch.testing.assert_close(new[ids["[am]"]], old[[i for i in tags if i < n]].mean(0))
        spread = old.std(0).square().mean().sqrt()
        for letter in "ሰላ":  # unlike any: the mean of all, and a little noise
            distance = (new[ids[letter]] - old.mean(0)).square().mean().sqrt()
            assert 0 < distance < 0.3 * spread
        assert not torch.equal(new[ids["ሰ"]], new[ids["ላ"]])
    started = {one["token"]: one["starts_from"] for one in record["vocabulary"]["added"]}
    assert started["hat"] == ["h", "a", "t"] and started["é"] == ["e"] and started["ሰ"] == "mean"
    assert len(started["[am]"]) == 17
    # N8: random rows cost more before the first step.
    losses = record["text_loss"]
    assert losses["texts"] == 2 and losses["mean"] < losses["random"]


def test_rows_are_random_by_config_and_depend_on_the_token_alone(tmp_path, files, extended):
    arch = sizes.architecture(None, files)
    settings = SETTINGS | {"new_rows": "random"}
    record = xtts.reset(files, arch, extended, settings, [], tmp_path)
    after = weights.read_weights(tmp_path / record["file"]["name"])
    n = record["vocabulary"]["base_tokens"]
    new = after["text_embedding.weight"][n:]
    assert 0.8 < new.std() < 1.2 and record["text_loss"] is None
    assert {one["starts_from"] for one in record["vocabulary"]["added"]} == {"random"}
    before = weights.read(files["model"]).gpt
    alone = grow(before, ["ሰ"], [[]], 0, "random")
    assert torch.equal(alone["text_embedding.weight"][n], new[extended.vocab["ሰ"] - n])


def test_an_unchanged_vocabulary_leaves_every_tensor_equal(tmp_path, files):
    arch = sizes.architecture(None, files)
    same = tokenizer(files["vocab"].parent)
    record = xtts.reset(files, arch, same, SETTINGS, [("that", "en")], tmp_path)
    assert record["tensors"]["bit_equal"] == 90 and record["tensors"]["grown"] == []
    assert record["stripped"] == ["config (94 entries)", "537 tensors outside the GPT"]
    assert record["vocabulary"]["added"] == [] and record["text_loss"] is None


def test_a_vocabulary_that_is_no_extension_is_refused(tmp_path, files, extended):
    arch = sizes.architecture(None, files)
    n = max(extended.vocab.values())
    for ids, words in (
        (extended.vocab | {"a": 0}, "token 'a' has the id 0, but"),
        (extended.vocab | {"new": n + 2}, f"token 'new' has the id {n + 2}, expected {n + 1}"),
    ):
        extended.vocab = ids
        with pytest.raises(UserError, match=words):
            xtts.reset(files, arch, extended, SETTINGS, [], tmp_path)


def test_a_training_checkpoint_is_stripped_to_what_upstream_loads(tmp_path, files):
    state = read(files["model"])["model"]
    trained = {f"xtts.{name}": value for name, value in state.items()}
    trained |= {"dvae.codebook.embed": torch.ones(2, 3)}
    content = {"config": {}, "model": trained, "optimizer": {"state": {0: torch.ones(9)}}}
    torch.save(content | {"step": 5}, tmp_path / "best_model.pth")
    record = xtts.strip(tmp_path / "best_model.pth", tmp_path / "model.pth")
    assert "optimizer (1 entries)" in record["stripped"] and record["tensors"]["bit_equal"] == 90
    found = torch.load(tmp_path / "model.pth", weights_only=True)
    assert set(found) == {"model"} and set(found["model"]) == set(state)
    assert all(torch.equal(found["model"][name], state[name]) for name in state)
