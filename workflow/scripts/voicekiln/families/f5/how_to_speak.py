"""The page in an exported folder that explains how to speak with it."""

import textwrap
from collections.abc import Sequence
from importlib import metadata

# f5-tts_infer-cli takes a local vocoder from ../checkpoints/vocos-mel-24khz and nowhere else. Seen
# from the folder references/ that is here.
VOCODER = "checkpoints/vocos-mel-24khz"


def page(name: str, checkpoint: str, stems: Sequence[str], with_vocoder: bool) -> str:
    """The page, Markdown.

    Args:
        name: of the voice.
        checkpoint: name of the model's file.
        stems: names of the reference clips, the main one first.
        with_vocoder: whether the vocoder lies beside the model.
    """
    listed = "\n".join(f"- `references/{stem}.wav` and `.txt`" for stem in stems)
    version = metadata.version("f5-tts")
    return f"""# How to speak with {name}

An F5-TTS voice imitates a reference clip: its speaker, its pace and its mood. These come with the
voice, each with its text:

{listed}

In an environment with f5-tts (`pip install f5-tts`; tried with version {version}), in this folder:

```bash
cd references
{command(checkpoint, stems[0], with_vocoder)}
```

This writes `spoken.wav` next to the model. For another speaker, name another clip and its text. For
a long text, use `--gen_file FILE` instead of `--gen_text`.

- Run the command inside `references/`: {_place(with_vocoder)}
- f5-tts cuts a reference clip above 12 s, but not its text: use clips below 12 s.
- The voice knows the characters in `vocab.txt`; f5-tts silently replaces any other by a space.
- Spell out numbers and abbreviations.

The same in Python, in this folder:

```python
{python(checkpoint, stems[0], with_vocoder)}
```

## Licences

{_licences(with_vocoder)}
"""


def command(checkpoint: str, stem: str, with_vocoder: bool) -> str:
    """The call of f5-tts's program, from inside `references/`."""
    lines = [
        "f5-tts_infer-cli",
        "--model_cfg ../config.yaml",
        f"--ckpt_file ../{checkpoint}",
        "--vocab_file ../vocab.txt",
        f"--ref_audio {stem}.wav",
        f'--ref_text "$(cat {stem}.txt)"',
        '--gen_text "Text to synthesise."',
        "--output_dir ..",
        "--output_file spoken.wav",
        *(["--load_vocoder_from_local"] if with_vocoder else []),
    ]
    return " \\\n  ".join(lines)


def python(checkpoint: str, stem: str, with_vocoder: bool) -> str:
    """The same by f5_tts's functions, from inside the exported folder."""
    local = f'is_local=True, local_path="{VOCODER}", ' if with_vocoder else ""
    return textwrap.dedent(f"""\
        import soundfile
        from f5_tts.infer.utils_infer import (
            infer_process, load_model, load_vocoder, preprocess_ref_audio_text
        )
        from hydra.utils import get_class
        from omegaconf import OmegaConf

        device = "cpu"  # or "cuda"
        config = OmegaConf.load("config.yaml").model
        model = load_model(
            get_class(f"f5_tts.model.{{config.backbone}}"), config.arch, "{checkpoint}",
            mel_spec_type=config.mel_spec.mel_spec_type, vocab_file="vocab.txt", device=device,
        )
        vocoder = load_vocoder("vocos", {local}device=device)
        audio, text = preprocess_ref_audio_text(
            "references/{stem}.wav", open("references/{stem}.txt", encoding="utf-8").read().strip()
        )
        samples, rate_hz, _ = infer_process(
            audio, text, "Text to synthesise.", model, vocoder, device=device
        )
        soundfile.write("spoken.wav", samples, rate_hz)""")


def _place(with_vocoder: bool) -> str:
    if with_vocoder:
        return (
            "`--load_vocoder_from_local` looks for the vocoder\n"
            "  only in `../checkpoints/vocos-mel-24khz`, relative to the current folder."
        )
    return (
        "its paths are relative to that folder. No vocoder\n"
        "  was configured, so f5-tts downloads `charactr/vocos-mel-24khz` from Hugging Face\n"
        "  first. With `vocoder: FOLDER` in the run's configuration, the export contains it."
    )


def _licences(with_vocoder: bool) -> str:
    lines = [
        "- The weights are fine-tuned from the base named in `MANIFEST.json`, and its licence",
        "  applies to them. The checkpoints released by the F5-TTS project are under CC-BY-NC.",
        "- The reference clips are recordings of real people: publish them only with consent.",
    ]
    if with_vocoder:
        lines += [
            f"- `{VOCODER}/` is a copy of the configured vocoder and keeps its licence,",
            "  which is MIT for the released vocos-mel-24khz; licence files were copied with it.",
        ]
    return "\n".join(lines)
