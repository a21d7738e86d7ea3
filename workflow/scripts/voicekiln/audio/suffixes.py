"""Suffixes of audio files; a module of its own, because Snakemake reads it at every start."""

AUDIO_SUFFIXES = frozenset(
    ".wav .wave .w64 .rf64 .bwf .flac .mp3 .mp2 .ogg .oga .opus .spx .aif .aiff .aifc .au .snd .caf"
    " .sph .m4a .m4b .mp4 .mov .3gp .aac .ac3 .amr .ape .wv .tta .webm .mka .mkv .wma .asf".split()
)
