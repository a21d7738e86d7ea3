"""Shared by all rules: the resolved configuration, params that follow content, inputs to choose."""

import os
import sys
from importlib import metadata
from pathlib import Path

from snakemake.cli import get_argument_parser
from snakemake.logging import logger

ROOT = Path(workflow.basedir)
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from voicekiln.config import paths, targets, whisper_models, yaml_files
from voicekiln.config.checks import corpora_of
from voicekiln.config.resolve import load
from voicekiln import extras
from voicekiln.voice import vocoders
from voicekiln.ctc import files as ctc_files
from voicekiln.errors import UserError
from voicekiln.provenance import canonical, code_digest, sha256_file
from voicekiln.store.items import identity
from voicekiln.training.settings import AUTO, AUTO_WORKERS

STORE = Path("results", "store")


def or_stop(function):
    """`function` with the user's mistakes as one message and no traceback."""

    def wrapped(*args):
        try:
            return function(*args)
        except UserError as error:
            logger.error(f"Error: {error}")
            sys.exit(1)

    return wrapped


def read_strictly(files):
    """Where each key of these configuration files is; stop at what YAML accepts by mistake."""
    lines = {}
    for file in files:
        lines |= yaml_files.read(Path(os.path.relpath(file)))[1]
    return lines


# without --configfile: the working directory's config/config.yaml, else the shipped one
if workflow.config_settings.configfiles:
    LINES = or_stop(read_strictly)(workflow.config_settings.configfiles)
else:
    CONFIGFILES = (Path("config/config.yaml"), ROOT / "config/config.yaml")
    CONFIGFILE = next(filter(Path.exists, CONFIGFILES))
    LINES = or_stop(read_strictly)([CONFIGFILE])

    configfile: CONFIGFILE


def words_on_command_line():
    """The targets on the command line of the main process; none in other processes."""
    if workflow.is_main_process and Path(sys.argv[0]).stem in ("snakemake", "__main__"):
        return get_argument_parser().parse_known_args(sys.argv[1:])[0].targets
    return []


TARGETS = words_on_command_line()
# these targets read only results/, and jobs start after the main process has checked all files
NO_INPUT = {"gc", "review_so_far"}
CHECK_FILES = workflow.is_main_process and not (
    TARGETS and NO_INPUT.issuperset(TARGETS)
)

SETTINGS = or_stop(load)(config, ROOT, LINES, CHECK_FILES)
CORPORA = SETTINGS["corpora"]
RUNS = SETTINGS["runs"]


wildcard_constraints:
    corpus="[A-Za-z0-9][A-Za-z0-9_-]*",
    run="[A-Za-z0-9][A-Za-z0-9_-]*",
    shard=r"\d{3}",


def located(path):
    """A path of the configuration, found beside the workflow where the project ships it."""
    return paths.locate(path, ROOT)


def code(script, *modules):
    """Digest of a rule's script and of the library it imports, for its params."""
    return code_digest(SCRIPTS / script, *modules)


def corpus_settings(*sections):
    """Params function: these sections of the corpus's configuration."""

    def settings(wildcards):
        corpus = CORPORA[wildcards.corpus]
        return canonical({section: corpus[section] for section in sections})

    return settings


def whisper_model(key):
    """Input function: a model that the corpus is transcribed with, where it has one."""

    def path(wildcards):
        section = CORPORA[wildcards.corpus]["transcribe"]
        return whisper_models.input_file(section, key, ROOT) or []

    return path


def whisper_parts(wildcards):
    """Input: the other files of the corpus's models that are folders and are not converted."""
    return whisper_models.input_parts(CORPORA[wildcards.corpus]["transcribe"], ROOT)


def model_hashes(wildcards):
    """Params: SHA-256 that these models must have, where the configuration says so."""
    return whisper_models.expected_sha256(CORPORA[wildcards.corpus]["transcribe"], ROOT)


def to_convert(wildcards):
    """The section `transcribe` whose checkpoint is converted into this folder."""
    sections = [corpus["transcribe"] for corpus in CORPORA.values()]
    return next(
        section
        for section in sections
        if whisper_models.converted_name(section, ROOT) == wildcards.converted
    )


def checkpoint_to_convert(wildcards):
    """Input: a checkpoint that is converted for faster-whisper."""
    return str(whisper_models.find(to_convert(wildcards), "model", ROOT).file)


def parts_to_convert(wildcards):
    """Input: its other files, if it is a folder."""
    return whisper_models.find(to_convert(wildcards), "model", ROOT).parts


def hash_to_convert(wildcards):
    """Params: its SHA-256, where the configuration says so."""
    return to_convert(wildcards)["sha256"]


def separator_model(wildcards):
    """Input: the corpus's source separation weights, where there are any."""
    model = CORPORA[wildcards.corpus]["normalize"]["separate"]
    return [] if model is None else located(model)


def gpus_to_separate(wildcards):
    """Resource: a GPU where sources are separated."""
    return int(CORPORA[wildcards.corpus]["normalize"]["separate"] is not None)


def memory_to_normalize(wildcards):
    """Resource, MB: a separating network and twelve seconds in it take 1500 by themselves."""
    return 3000 if gpus_to_separate(wildcards) else 1500


def speaker_model(wildcards):
    """Input: the file of the corpus's speaker embedding network, if it names one."""
    model = CORPORA[wildcards.corpus]["measure"]["speaker_model"]
    return [] if model in (None, "auto") else located(model)


def acoustic_model(wildcards):
    """Params: the folder of the corpus's acoustic model, or None."""
    model = CORPORA[wildcards.corpus]["align"]["acoustic_model"]
    return None if model is None else located(model)


def acoustic_files(wildcards):
    """Input: the files of the corpus's acoustic model, if it has one."""
    corpus = CORPORA[wildcards.corpus]
    folder = acoustic_model(wildcards)
    found = or_stop(ctc_files.files)(folder, corpus["language"]) if folder else []
    return [str(path) for path in found]


def acoustic_store(wildcards):
    """Params: which store the alignments are in, if there is an acoustic model."""
    return store("acoustic") if acoustic_model(wildcards) else None


def romanizer_to_align(wildcards):
    """Params: version of the package that romanises texts for an acoustic model, if installed."""
    return extras.version("uroman") if acoustic_model(wildcards) else None


def gpus_to_align(wildcards):
    """Resource: a GPU if there is an acoustic model."""
    return int(acoustic_model(wildcards) is not None)


def threads_to_align(wildcards):
    """Threads: an acoustic model uses two."""
    return 1 + gpus_to_align(wildcards)


def memory_to_align(wildcards):
    """Resource, MB: an acoustic model of a billion weights takes 4000 by itself."""
    return 10000 if gpus_to_align(wildcards) else 2000


def resemblyzer_version(wildcards):
    """Params: version of the package that tells the corpus's speakers apart, if installed."""
    if CORPORA[wildcards.corpus]["measure"]["speaker_model"] != "auto":
        return None
    return None if extras.missing("voices") else metadata.version("resemblyzer")


def has_recogniser(wildcards):
    """Params: whether there is a model that can listen."""
    return CORPORA[wildcards.corpus]["transcribe"]["model"] is not None


def gpus_to_transcribe(wildcards):
    """Resource: a GPU where there is anything for a recogniser to do."""
    return int(CORPORA[wildcards.corpus]["transcribe"]["model"] is not None)


def corrections(wildcards):
    """Input: the user's corrections, where there are any."""
    path = located(CORPORA[wildcards.corpus]["corrections"] or "")
    return [path] if path and Path(path).exists() else []


def store(step):
    """Params: which store the step's items are in, and which of them are known to be bad."""
    return identity(STORE, step)


def packages_to_normalize(wildcards):
    """Params: versions of the optional packages that the corpus is normalised with."""
    section = CORPORA[wildcards.corpus]["normalize"]
    return extras.versions([name for name in extras.OF_NORMALIZE if section[name]])


def network_to_segment(wildcards):
    """Params: version of the network that may find the corpus's speech."""
    engine = CORPORA[wildcards.corpus]["segment"]["engine"]
    return None if engine == "webrtcvad" else metadata.version("silero-vad")


def romanizer_versions(wildcards):
    """Params: versions of the packages that romanise the corpus's texts."""
    tool = CORPORA[wildcards.corpus]["text"]["romanize"]
    return extras.versions([tool] if tool else [])


def run_settings(*sections):
    """Params function: these sections of the run's configuration."""

    def settings(wildcards):
        run = RUNS[wildcards.run]
        return canonical({section: run[section] for section in sections})

    return settings


def family_code(script, *modules):
    """Params function: digest of a script and of the run's family, which it finds by name."""

    def digest(wildcards):
        family = RUNS[wildcards.run]["family"]
        return code(script, f"voicekiln.families.{family}", *modules)

    return digest


def run_datasets(wildcards):
    """Input: the data sets of all corpora that a run joins."""
    joined = corpora_of(RUNS[wildcards.run])
    return expand("results/corpora/{corpus}/DIGEST.json", corpus=joined)


def behind_checkpoints(wildcards):
    """Input: the records of the checkpoints that a run lies behind.

    When a checkpoint is done, Snakemake looks again only at the jobs that name its output; those
    further down stay marked, though nothing before them runs. So every rule of a run names them.
    """
    names = ("checked.json", "tables/correct/DIGEST.json", "DIGEST.json")
    joined = corpora_of(RUNS[wildcards.run])
    return expand("results/corpora/{corpus}/{name}", corpus=joined, name=names)


def run_features(wildcards):
    """Input: the feature indices of all shards of these corpora."""
    return [
        f"results/runs/{wildcards.run}/features/{corpus}/{shard}.parquet"
        for corpus in corpora_of(RUNS[wildcards.run])
        for shard in listing(corpus).shards
    ]


def base_file(key, exported):
    """Input function: a file of the run's base, or of the run whose voice is the base."""

    def path(wildcards):
        base = RUNS[wildcards.run]["base"]
        return (
            f"results/runs/{base['run']}/{exported}"
            if "run" in base
            else located(base[key])
        )

    return path


def base_hashes(wildcards):
    """Params: SHA-256 that the files of a run's base must have, where the configuration says so."""
    base = RUNS[wildcards.run]["base"]
    return {key: base.get(f"{key}_sha256") for key in ("checkpoint", "vocab")}


base_checkpoint = base_file("checkpoint", "export/MANIFEST.json")
base_vocabulary = base_file("vocab", "tokenizer/vocab.txt")


def checked_base(wildcards):
    """Input: that the base was looked at; a run's voice is looked at by its own export."""
    if "run" in RUNS[wildcards.run]["base"]:
        return []
    return f"results/runs/{wildcards.run}/base/checked.json"


def pinned_vocabulary(wildcards):
    """Input: the vocabulary that the configuration pins, where it does."""
    vocab = RUNS[wildcards.run]["tokenizer"]["vocab"]
    return [] if vocab is None else [located(vocab)]


def architecture(wildcards):
    """Params: the model's released name or its values, followed along a chain of runs."""
    base = RUNS[wildcards.run]["base"]
    while "run" in base:
        base = RUNS[base["run"]]["base"]
    return canonical(base["model"])


def earlier_runs(wildcards):
    """Params: the runs whose voices a run's base comes from, the nearest first."""
    base, names = RUNS[wildcards.run]["base"], []
    while "run" in base:
        names.append(base["run"])
        base = RUNS[base["run"]]["base"]
    return names


def batch_frames(wildcards):
    """Params: most frames of a batch, which every training clip must fit into; or auto."""
    return RUNS[wildcards.run]["train"]["batch_frames"]


def training_threads(wildcards):
    """Threads: one for the training process, one for each that loads batches."""
    workers = RUNS[wildcards.run]["train"]["workers"]
    return 1 + (AUTO_WORKERS if workers == AUTO else workers)


def vocoder(wildcards):
    """Params: folder of the vocoder's weights, or None for Griffin-Lim."""
    path = RUNS[wildcards.run]["vocoder"]
    return None if path is None else located(path)


def vocoder_files(wildcards):
    """Input: the files of the vocoder's weights, if the run has a vocoder."""
    return vocoders.files(vocoder(wildcards))


def vocoder_content(wildcards):
    """Params: SHA-256 of these files; a new file may have an old time."""
    folder, expected = vocoder(wildcards), RUNS[wildcards.run]["vocoder_sha256"]
    return folder and canonical(or_stop(vocoders.content)(folder, expected))


def whole_settings(wildcards):
    """Params: all settings of a run and of its corpora, for its report."""
    run = RUNS[wildcards.run]
    joined = {name: CORPORA[name] for name in corpora_of(run)}
    return canonical({"run": run, "corpora": joined})


def template(name):
    """Digest of a page's template, for params."""
    return sha256_file(SCRIPTS / name)[:16]


def check_targets():
    """Stop at a word on the command line that is no target; Snakemake's own message lists none."""
    rules = {rule.name for rule in workflow.rules}
    # what people ask for has no files of its own
    offered = sorted(rule.name for rule in workflow.rules if not rule.output)
    or_stop(targets.check)(TARGETS, rules, offered)
