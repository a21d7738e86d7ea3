"""Makes a small XTTS v2 release of coqui-tts's own classes with random weights: the demo's base.

It has the six files of the released folder, in their formats. The HiFi-GAN vocoder has a fixed
size in upstream's code (90 MB), so that the folder is made when it is needed instead of shipped:

    python resources/demo/make_xtts_base.py FOLDER

The same seed gives the same weights. Its vocabulary lacks the letters in `LACKING`.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import voicekiln.upstream  # noqa: E402, F401 - before coqui-tts
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig  # noqa: E402
from TTS.tts.layers.xtts.dvae import DiscreteVAE  # noqa: E402
from TTS.tts.models.xtts import Xtts  # noqa: E402

LANGUAGES = "en es fr de it pt pl tr ru nl cs ar zh-cn hu ko ja hi".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MARKS = "!',-.?"
LACKING = "jqz"
MERGES = ["t h", "h e", "th e", "i n", "e r", "a n", "an d", "o u", "in g"]


def make(
    folder: Path,
    *,
    letters: str = LETTERS,
    layers: int = 2,
    width: int = 64,
    heads: int = 4,
    n_codes: int = 32,
    dvae_width: int = 32,
    seed: int = 0,
) -> Path:
    """Writes the release into `folder` and returns it.

    Args:
        folder: is made if it does not exist.
        letters: that the vocabulary knows, beside punctuation marks.
        layers: of the GPT.
        width: of the GPT; a multiple of 32 (upstream's group normalisation) and of `heads`.
        heads: of the GPT's attention.
        n_codes: size of the DVAE's codebook.
        dvae_width: hidden width of the DVAE.
        seed: of all weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_tokens = write_vocab(folder / "vocab.json", letters)
    torch.manual_seed(seed)
    config = XttsConfig(
        model_args=XttsArgs(
            gpt_layers=layers,
            gpt_n_model_channels=width,
            gpt_n_heads=heads,
            gpt_num_audio_tokens=n_codes + 2,
            gpt_start_audio_token=n_codes,
            gpt_stop_audio_token=n_codes + 1,
            gpt_use_perceiver_resampler=True,
            gpt_number_text_tokens=n_tokens,
            gpt_start_text_token=n_tokens - 1,
            gpt_stop_text_token=0,
            decoder_input_dim=width,
        )
    )
    model = Xtts(config)
    mel_stats = 1 + torch.rand(80)
    model.mel_stats.copy_(mel_stats)
    dvae = DiscreteVAE(
        channels=80,
        normalization=None,
        positional_dims=1,
        num_tokens=n_codes,
        codebook_dim=dvae_width,
        hidden_dim=dvae_width,
        num_resnet_blocks=1,
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
    )
    # random code words are far from what the encoder makes of speech: always the same would win
    words = dvae.encoder(spectra(n_codes) / mel_stats[:, None])[:, :, 1]
    dvae.codebook.embed.copy_(words.detach().T)
    torch.save({"config": config.to_dict(), "model": model.state_dict()}, folder / "model.pth")
    torch.save(mel_stats, folder / "mel_stats.pth")
    torch.save(dvae.state_dict(), folder / "dvae.pth")
    latents = torch.randn(1, 32, width)
    speaker = {"gpt_cond_latent": latents, "speaker_embedding": torch.randn(1, 512, 1)}
    torch.save({"Demo Speaker": speaker}, folder / "speakers_xtts.pth")
    (folder / "config.json").write_text(config.to_json())  # last: with it the folder is whole
    return folder


def spectra(n: int) -> torch.Tensor:
    """Made-up log-mel spectra `[n, 80, 8]`, each constant: a level, a slope and some bumps."""
    level_and_slope = torch.randn(n, 1, 2) * torch.tensor([4.0, 5.0]) + torch.tensor([-3.0, 0.0])
    bumps = F.interpolate(3 * torch.randn(n, 1, 8), 80, mode="linear")
    bands = torch.stack([torch.ones(80), torch.linspace(-1, 1, 80)])
    return (level_and_slope @ bands + bumps).clamp(-11.5, 5).transpose(1, 2).expand(n, 80, 8)


def make_demo(folder: Path) -> Path:
    """Writes the demo's base into `folder` and returns it."""
    known = "".join(letter for letter in LETTERS if letter not in LACKING)
    return make(folder, letters=known, layers=4, width=128, n_codes=256, dvae_width=64)


def write_vocab(path: Path, letters: str) -> int:
    """Writes a vocab.json and returns the number of its tokens; [START] is the last one."""
    merges = [tuple(merge.split()) for merge in MERGES]
    merges = [merge for merge in merges if set("".join(merge)) <= set(letters)]
    tokens = ["[STOP]", "[UNK]", "[SPACE]", *MARKS, *letters, *("".join(pair) for pair in merges)]
    tags = [f"[{language}]" for language in LANGUAGES]
    ids = {token: i for i, token in enumerate([*tokens, *tags, "[START]"])}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[STOP]", "[UNK]", "[SPACE]", *tags, "[START]"])
    content = json.loads(tokenizer.to_str())
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    return len(ids)


def main():
    parser = argparse.ArgumentParser(description="Make the base of the XTTS demo.")
    parser.add_argument("folder", type=Path)
    folder = make_demo(parser.parse_args().folder)
    print(f"{folder}: {len(list(folder.iterdir()))} files")


if __name__ == "__main__":
    main()
