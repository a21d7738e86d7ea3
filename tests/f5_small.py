"""A small F5-TTS of the real classes, and what upstream's own Trainer makes of it."""

import copy
from pathlib import Path

import torch
import yaml
from voicekiln.families import f5
from voicekiln.families.f5.text import Characters
from voicekiln.tokenizers.characters import index

TINY = {
    "backbone": "DiT",
    "dim": 64,
    "depth": 2,
    "heads": 2,
    "dim_head": 32,
    "ff_mult": 2,
    "text_dim": 32,
    "conv_layers": 1,
}
TOKENS = [" ", *"!',.?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]


def tiny_model(n_tokens: int = len(TOKENS), seed: int = 0) -> torch.nn.Module:
    """A tiny CFM whose every tensor is random; a new DiT has zeros where its output is made."""
    model = f5.build(f5.architecture(TINY), n_tokens)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.vocab_char_map = index(TOKENS)  # upstream's own code looks tokens up here
    return model


def base_files(checkpoint: Path, tokens: list[str]) -> dict[str, Path]:
    """The files of a base whose vocab.txt is written beside the checkpoint's folder."""
    vocab = checkpoint.parent / "base_vocab.txt"
    vocab.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return {"checkpoint": checkpoint, "vocab": vocab}


def reset(
    checkpoint: Path, tokens_base: list[str], tokens: list[str], out: Path, seed: int, arch: dict
) -> dict:
    """Resets a base as the rule does; the file is renamed to `out`."""
    folder = out.parent / f"reset_{out.stem}"
    base = base_files(checkpoint, tokens_base)
    record = f5.reset(
        base, arch, Characters(tokens), {"seed": seed, "new_rows": "mean"}, [], folder
    )
    (folder / record["file"]["name"]).rename(out)
    folder.rmdir()
    return record


class RandomClips(torch.utils.data.Dataset):
    """Mels of noise with a text, as upstream's collate function wants them."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> dict:
        generator = torch.Generator().manual_seed(i)
        mel = torch.randn(100, 30 + i, generator=generator)
        return {"mel_spec": mel, "text": list("hello world")}


def upstream_trainer(folder: Path, model: torch.nn.Module, epochs: int):
    """f5_tts's Trainer with its checkpoints in `folder`; 2 updates an epoch."""
    from f5_tts.model import Trainer

    return Trainer(
        copy.deepcopy(model),
        epochs=epochs,
        learning_rate=1e-3,
        num_warmup_updates=1,
        batch_size_per_gpu=2,
        batch_size_type="sample",
        checkpoint_path=str(folder),
        logger=None,
    )


def upstream_train(folder: Path, model: torch.nn.Module, epochs: int):
    """Trains with upstream's Trainer until it ends; returns it."""
    trainer = upstream_trainer(folder, model, epochs)
    trainer.train(RandomClips(), num_workers=1, resumable_with_seed=666)
    return trainer


def tiny_vocos(folder: Path, seed: int = 0) -> Path:
    """`folder` with a tiny Vocos of the real class with random weights."""
    from vocos import Vocos

    folder.mkdir(exist_ok=True)
    mel = {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100}
    backbone = {"input_channels": 100, "dim": 16, "intermediate_dim": 32, "num_layers": 1}
    config = {
        "feature_extractor": {
            "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
            "init_args": mel | {"padding": "center"},
        },
        "backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": backbone},
        "head": {
            "class_path": "vocos.heads.ISTFTHead",
            "init_args": {"dim": 16, "n_fft": 1024, "hop_length": 256, "padding": "center"},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(seed)
    model = Vocos.from_hparams(str(folder / "config.yaml"))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder
