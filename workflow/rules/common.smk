"""Shared by the rules: the resolved configuration, and makers of inputs, params and resources."""

import sys
from pathlib import Path

from snakemake.logging import logger

ROOT = Path(workflow.basedir)
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from voicekiln.config import paths, targets, yaml_files
from voicekiln.config.checks import corpora_of
from voicekiln.config.resolve import load
from voicekiln.config.schema import NAME
from voicekiln import extras
from voicekiln.families import base as bases
from voicekiln.errors import UserError
from voicekiln.provenance import canonical, code_digest, sha256_file
from voicekiln.store.items import STORE, identity


def or_stop(function):
    """`function`, ending the run with one line instead of a traceback on a `UserError`."""

    def wrapped(*args):
        try:
            return function(*args)
        except UserError as error:
            logger.error(f"Error: {error}")
            sys.exit(1)

    return wrapped


CONFIGFILES = workflow.config_settings.configfiles
if CONFIGFILES:
    LINES = or_stop(yaml_files.lines)(CONFIGFILES)
else:
    OWN, SHIPPED = Path("config/config.yaml"), ROOT / "config/config.yaml"
    CONFIGFILE = OWN if OWN.exists() else SHIPPED
    LINES = or_stop(yaml_files.lines)([CONFIGFILE])

    configfile: CONFIGFILE


# targets on the command line; other processes run jobs, after the main process has checked all files
TARGETS = targets.of(sys.argv) if workflow.is_main_process else []
CHECK_FILES = workflow.is_main_process and targets.read_input(TARGETS)

SETTINGS = or_stop(load)(config, ROOT, LINES, CHECK_FILES)
CORPORA = SETTINGS["corpora"]
RUNS = SETTINGS["runs"]


wildcard_constraints:
    corpus=NAME.strip("^$"),
    run=NAME.strip("^$"),
    shard=r"\d{3}",


def located(path):
    """Location of a path in the configuration; see `paths.locate`."""
    return paths.locate(path, ROOT)


def code(script, *modules):
    """Params: digest of a rule's script and of the library modules that it imports."""
    return code_digest(SCRIPTS / script, *modules)


def section_of(wildcards):
    """Configuration of the run that a job belongs to, or else of its corpus."""
    run = wildcards.get("run")
    return CORPORA[wildcards.corpus] if run is None else RUNS[run]


def settings(*sections):
    """Params function: these sections of the job's run or corpus."""

    def values(wildcards):
        section = section_of(wildcards)
        return canonical({name: section[name] for name in sections})

    return values


def computed(function, key, *args):
    """Function of wildcards: `function` of the value of a key such as `normalize.separate`.

    The key None stands for the whole configuration of the job's run or corpus.
    """

    def of(wildcards):
        value = section_of(wildcards)
        for name in key.split(".") if key else ():
            value = value[name]
        return or_stop(function)(value, *args)

    return of


def setting(key):
    """Params function: the value of a key."""
    return computed(canonical, key)


def if_set(key, value, otherwise):
    """Function of wildcards: `value` if a key is not null, or else `otherwise`."""
    return computed(lambda found: otherwise if found is None else value, key)


def store_if_set(key, step):
    """Params function: `store(step)` if a key is not null."""
    return computed(lambda found: None if found is None else store(step), key)


def named_file(key):
    """Input function: the file that a key names, if any."""
    return computed(lambda path: [] if path in (None, "auto") else located(path), key)


def named_folder(key):
    """Params function: the folder that a key names, or None."""
    return computed(lambda path: None if path is None else located(path), key)


def store(step):
    """Params: identity of the store of a step's items, and the keys of its damaged items."""
    return identity(STORE, step)


def family_code(script, *modules):
    """Params function: digest of a script and of the run's family."""

    def digest(wildcards):
        family = RUNS[wildcards.run]["family"]
        return code(script, f"voicekiln.families.{family}", *modules)

    return digest


def run_datasets(wildcards):
    """Input: the data sets of all corpora of a run."""
    joined = corpora_of(RUNS[wildcards.run])
    return expand("results/corpora/{corpus}/DIGEST.json", corpus=joined)


def behind_checkpoints(wildcards):
    """Input: the outputs of all checkpoint rules of the corpora of a run.

    After a checkpoint, Snakemake reevaluates only jobs with its output among their inputs; jobs
    further down would stay scheduled. So every rule of a run has these inputs.
    """
    names = ("checked.json", "tables/correct/DIGEST.json", "DIGEST.json")
    joined = corpora_of(RUNS[wildcards.run])
    return expand("results/corpora/{corpus}/{name}", corpus=joined, name=names)


def of_base(function):
    """Function of wildcards: what a function of `families.base` finds about the run's base."""
    return lambda wildcards: or_stop(function)(wildcards.run, RUNS, located)


def template(name):
    """Params: digest of a page's template."""
    return sha256_file(SCRIPTS / name)[:16]


def check_targets():
    """Stop at an unknown target; Snakemake's own message does not list the targets."""
    rules = {rule.name for rule in workflow.rules}
    # targets have no output files
    offered = sorted(rule.name for rule in workflow.rules if not rule.output)
    or_stop(targets.check)(TARGETS, rules, offered)
