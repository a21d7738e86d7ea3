"""Split a corpus without leaks, write manifests and final tables, account for every sample."""

import logging
from pathlib import Path

from voicekiln import job
from voicekiln.corpus import decisions
from voicekiln.corpus.fingerprints import of_segments
from voicekiln.corpus.ledger import ledger
from voicekiln.corpus.limits import small_sets, stop, too_few_segments, too_much_dropped
from voicekiln.corpus.manifest import write_manifests
from voicekiln.corpus.split import SplitSettings, imbalances, split
from voicekiln.errors import UserError
from voicekiln.store import tables
from voicekiln.store.files import write_json
from voicekiln.store.items import STORE

log = logging.getLogger("split")


def main(smk):
    job.start(smk)
    facts = Path(smk.input.facts)
    segments = decisions.read(facts, [smk.input.duplicates, smk.input.validated])
    recordings = tables.read_checked(facts, "recordings.parquet")
    acoustics = tables.read_columns(facts, "acoustics.parquet", ["segment_id", "fingerprint"])
    fingerprints = of_segments(segments, acoustics)
    del acoustics
    section = smk.params.settings["split"]
    corpus = smk.wildcards.corpus
    settings = SplitSettings.of(section)
    check_pinned(recordings, settings.validation)
    table, leaks = split(segments, fingerprints, settings)
    for line in imbalances(leaks["lengths"], settings.val_share):
        log.warning("%s", line)
    shared = {name: n for name, n in leaks.items() if name.startswith("shared") and n}
    if shared:
        raise UserError(
            f"corpus {corpus}: training and validation still overlap after the drops ({shared}); "
            "please report this bug"
        )
    account = ledger(recordings, table)
    train, val = account["kept"]["train"], account["kept"]["val"]
    for line in small_sets(train["segments"], val["segments"]):
        log.warning("%s", line)
    problems = too_few_segments(train["segments"], val["segments"], section, corpus)
    if problems:
        problems.append(
            "Dropped so far:\n  "
            + "\n  ".join(
                f"{line['step']}: {line['reason']}: {line.get('segments', '-')} segments"
                for line in account["lost"]
            )
        )
    problems += too_much_dropped(table, ("split",), smk.params.settings["max_loss"], corpus)
    stop(problems)
    digest = Path(smk.output.digest)
    folder = digest.parent
    files = [folder / name for name in ("recordings.parquet", "segments.parquet")]
    tables.write(recordings, files[0], tables.RECORDINGS)
    tables.write(table, files[1], tables.SEGMENTS)
    for name, content in (("ledger.json", account), ("leaks.json", leaks)):
        files.append(folder / name)
        write_json(files[-1], content)
    files += write_manifests(table, folder / "dataset", STORE)
    job.say(
        f"{train['segments']} training and {val['segments']} validation segments, "
        f"{(train['samples'] + val['samples']) / account['rate_hz'] / 60:.1f} of "
        f"{account['samples_in'] / account['rate_hz'] / 60:.1f} minutes kept; the data set is in "
        f"{folder}/"
    )
    tables.write_digest(digest, files)


def check_pinned(recordings, pinned):
    """Raise an error if a recording pinned for validation is missing or unusable."""
    for path in pinned:
        # a file whose channels are recordings stands for all of them
        of_file = recordings["channel"].notna() & recordings["path"].str.startswith(f"{path}#")
        rows = recordings[(recordings["path"] == path) | of_file]
        if rows.empty:
            raise UserError(
                f"split.validation: there is no recording {path}; expected paths as in "
                f"recordings.parquet, for example {recordings['path'].iloc[0]}"
            )
        if not rows["status"].eq("ok").any():
            raise UserError(
                f"split.validation: {path} is not used ({rows['reason'].iloc[0]}); name another"
            )


if "snakemake" in globals():
    main(snakemake)
