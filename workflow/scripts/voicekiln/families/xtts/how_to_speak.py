"""The page in an exported folder that explains how to speak with it."""

import textwrap
from collections.abc import Sequence
from importlib import metadata

from voicekiln.families.xtts.cleaners import RELEASED, code


def page(name: str, stems: Sequence[str], languages: Sequence[str], licence: str) -> str:
    """The page, Markdown.

    Args:
        name: of the voice.
        stems: names of the reference clips, the main one first.
        languages: that the voice was trained on.
        licence: a sentence about that of the weights.
    """
    listed = "\n".join(
        f"- `references/{stem}.wav`, with its text in `{stem}.txt`" for stem in stems
    )
    language = languages[0] if languages else "en"
    others = unlisted(languages)
    note = ""
    if others:
        note = (
            f"\ncoqui-tts does not list {', '.join(others)}, and stops at such a text. The lines"
            " about\n`preprocess_text` make it go on: the text becomes lower case, as it was in"
            " training.\n"
        )
    return f"""# How to speak with {name}

An XTTS voice imitates a reference clip: its speaker, its pace and its mood. These come with the
voice:

{listed}

In an environment with coqui-tts (`pip install "coqui-tts[codec]"`; tried with version
{metadata.version("coqui-tts")}), in this folder:

```python
{python(stems[0], language, others)}
```
{note}
- Several clips in `audio_path` make the voice's conditions steadier.
- Cut long texts into sentences: the model was trained on clips up to 12 s.
- Spell out numbers and abbreviations in languages that coqui-tts has no rules for.
- The voices in `speakers_xtts.pth` are the release's own; their conditions are those of its model.

## Licences

- {licence[0].upper()}{licence[1:]}.
- The reference clips are recordings of real people: publish them only with consent.
"""


def unlisted(languages: Sequence[str]) -> list[str]:
    """Codes of the languages that coqui-tts does not list."""
    return sorted({code(one) for one in languages} - set(RELEASED))


def python(stem: str, language: str, others: Sequence[str]) -> str:
    """The calls of coqui-tts, from inside the exported folder.

    Args:
        stem: name of the reference clip.
        language: of the text.
        others: languages that coqui-tts does not list.
    """
    lines = f"""\
        {"import unicodedata" if others else ""}

        import soundfile
        from TTS.tts.configs.xtts_config import XttsConfig
        from TTS.tts.models.xtts import Xtts

        config = XttsConfig()
        config.load_json("config.json")
        model = Xtts(config)
        model.load_checkpoint(config, checkpoint_dir=".", eval=True)  # model.cuda() for a GPU
        """
    lines = textwrap.dedent(lines).lstrip("\n")
    if others:
        lines += textwrap.dedent(f"""\

            listed = model.tokenizer.preprocess_text


            def preprocess_text(text, language):
                if language in {tuple(others)!r}:
                    text = unicodedata.normalize("NFC", text)
                    return " ".join(text.replace('"', "").lower().split())
                return listed(text, language)


            model.tokenizer.preprocess_text = preprocess_text

            """)
    lines += textwrap.dedent(f"""\
        latents, speaker = model.get_conditioning_latents(audio_path=["references/{stem}.wav"])
        spoken = model.inference("Text to synthesise.", "{language}", latents, speaker)
        soundfile.write("spoken.wav", spoken["wav"], 24000)""")
    return lines
