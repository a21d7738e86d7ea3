"""Write the chosen checkpoint as a voice that upstream's own inference loads."""

import json
from pathlib import Path

import pandas as pd
from voicekiln import families, job
from voicekiln.audio.span import load_span
from voicekiln.corpus.audio_report import as_markdown, audio_report
from voicekiln.corpus.dataset import load
from voicekiln.families import base as bases
from voicekiln.families import facts as family_facts
from voicekiln.store import tables
from voicekiln.store.files import read_json, write_atomic
from voicekiln.store.items import STORE, Store
from voicekiln.training.state.checkpoints import WEIGHTS
from voicekiln.voice import manifest, references, versions
from voicekiln.weights import files as checkpoints


def main(smk):
    job.start(smk)
    run = Path(smk.output.manifest).parent.parent
    settings = smk.params.settings
    family = families.get(settings["family"])
    choice = read_json(Path(smk.input.choice))
    segments = load(smk.input.datasets, settings["train_on"])
    weights = family.read_weights(run / "training/checkpoints" / choice["checkpoint"] / WEIGHTS)
    name = versions.name_of(choice["update"], checkpoints.state_sha256(weights))
    tokenizer = family.tokenizer(Path(smk.input.coverage).parent)
    audio, texts = clips(choice, segments, family.SPEECH_HZ)
    facts = about(smk, choice, segments)
    base = bases.files(smk.params.base)
    with versions.writing(run, name) as folder:
        written = family.export(
            folder,
            weights,
            base,
            family.architecture(smk.params.architecture, base),
            tokenizer,
            audio,
            texts,
            settings["export"] | {"vocoder": smk.params.vocoder},
            facts,
        )
        del weights
        for path, text in reports(smk, segments).items():
            write_atomic(folder / path, text)
        done = manifest.write(
            folder,
            facts
            | {
                "family": settings["family"],
                "tokens": tokenizer.n_tokens,
                "rate_hz": family.SPEECH_HZ,
            }
            | written,
        )
        seconds = family.prove(folder, done)
    versions.show(run, name)
    job.say(f"the voice is in {run / 'export'} ({done['checkpoint']}, HOW_TO_SPEAK.md)")
    job.say(f"the upstream code loads it and has synthesised {seconds:.1f} s with it")
    if licence := family_facts.of(settings["family"]).licence:
        job.say(f"licence: {licence}")
    kept = versions.old(run)
    if kept:
        job.say(
            f"{run / 'voices'} keeps {len(kept)} older voices, {sum(kept.values()) / 1e6:.0f} MB; "
            "the target gc lists them, and removes them with gc: {delete_voices: true}"
        )


def clips(choice, segments, rate_hz):
    """Samples and text of each reference clip, by its file name without suffix."""
    rows = segments.set_index("segment_id")
    store = Store(STORE, "normalize")
    audio, texts = {}, {}
    for one, stem in zip(choice["references"], references.stems(choice["references"]), strict=True):
        row = rows.loc[one["segment_id"]]
        audio[stem] = load_span(store, row["item"], row["start"], row["end"], rate_hz)
        texts[stem] = row["text"]
    return audio, texts


def about(smk, choice, segments):
    """Facts about the voice for its manifest."""
    reset = read_json(Path(smk.input.reset))
    stems = references.stems(choice["references"])
    return {
        "name": smk.wildcards.run,
        "update": choice["update"],
        "base": reset["base"],
        "corpora": sorted({Path(path).parent.name for path in smk.input.datasets}),
        "languages": sorted(segments["language"].unique()),
        "speakers": sorted(segments["speaker"].unique()),
        "epoch": choice["epoch"],
        "validation_loss": choice["validation_loss"],
        "references": [
            {
                "file": f"references/{stem}.wav",
                "speaker": one["speaker"],
                "language": one["language"],
                "text": one["text"],
                "score": one["score"],
                "why": one["why"],
            }
            for stem, one in zip(stems, choice["references"], strict=True)
        ],
    }


def reports(smk, segments):
    """The audio report as JSON and as Markdown, by file name."""
    recordings = pd.concat(
        [tables.read_checked(Path(path), "recordings.parquet") for path in smk.input.datasets],
        ignore_index=True,
    )
    report = audio_report(segments, recordings)
    return {
        "audio_report.json": json.dumps(report, indent=1, ensure_ascii=False) + "\n",
        "audio_report.md": as_markdown(report, smk.wildcards.run),
    }


if "snakemake" in globals():
    main(snakemake)
