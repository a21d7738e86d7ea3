"""VoiceKiln's library: everything the rules do, importable and tested without Snakemake."""
