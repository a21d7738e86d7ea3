"""All shards of a corpus -> one table, with the user's corrections."""

from voicekiln.config import files


# a checkpoint: behind it an unchanged table stops the chain, whatever shard jobs ran
checkpoint correct:
    """Merge the shards and apply the corrections."""
    input:
        recordings=shard_files("normalize.parquet"),
        segments=shard_files("measure.parquet"),
        acoustics=shard_files("acoustics.parquet"),
        corrections=computed(files.corrections, "corrections", ROOT),
        checked="results/corpora/{corpus}/checked.json",
    output:
        digest="results/corpora/{corpus}/tables/correct/DIGEST.json",
    log:
        "logs/correct/{corpus}.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=code("correct.py"),
        settings=settings("max_loss", "text", "segment"),
        romanizer=computed(extras.of_text, "text.romanize"),
        mos=computed(extras.of_mos, "measure.mos"),
    script:
        "../scripts/correct.py"
