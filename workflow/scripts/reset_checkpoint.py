"""Write a checkpoint's weights to a new file, without the state of the training that made it.

    .venv/bin/python workflow/scripts/reset_checkpoint.py ckpts/model_380000.pt ckpts/model_reset.pt

A released checkpoint often holds its optimiser, its counters and two copies of the weights, and
upstream's trainer continues from such counters: at update 380000 of 380000 it ends at once. The
rule `reset_base` does the same for a run and adds rows for new characters.
"""

import argparse
import sys
from pathlib import Path

from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.families import facts
from voicekiln.weights import kinds, signatures
from voicekiln.weights.files import writable_problem


def main(arguments: list[str]) -> str:
    """Do what the command line asks for; the report of it.

    Raises:
        UserError: IN cannot be used, or OUT cannot be written.
    """
    parser = argparse.ArgumentParser(
        description="Write the weights of the checkpoint IN to OUT, without optimiser, counters "
        "and other training state. EMA weights are taken if IN holds them. IN is read "
        "tensors-only, on the CPU, and stays as it is; every tensor in OUT is compared with IN's."
    )
    parser.add_argument(
        "input", metavar="IN", type=Path, help=".pt, .pth, .bin, .ckpt, .safetensors"
    )
    parser.add_argument(
        "output", metavar="OUT", type=Path, help="likewise; .pt for upstream's trainer"
    )
    parser.add_argument("--force", action="store_true", help="overwrite OUT if it exists")
    parser.add_argument(
        "--family", choices=facts.names(), help="default: recognised by the names of IN's tensors"
    )
    given = parser.parse_args(arguments)
    if problem := writable_problem(given.output, given.input, given.force):
        raise UserError(f"{given.output}: {problem}")
    family = given.family or recognised(given.input)
    record = families.get(family).strip(given.input, given.output)
    sizes = [f"{path.stat().st_size / 1e6:.1f} MB" for path in (given.input, given.output)]
    tensors, parameters = record["tensors"]["bit_equal"], f"{record['parameters']:,}"
    removed = record["stripped"] or ["nothing: IN holds weights only"]
    return "\n".join(
        [
            f"read     {given.input} ({sizes[0]}), weights from {record['weights_from']}",
            *(f"removed  {entry}" for entry in removed),
            f"kept     {tensors} tensors, {parameters} parameters, all bit-equal in OUT",
            f"written  {given.output} ({sizes[1]}), weights sha256 {record['weights_sha256']}",
            "Checkpoint reset successfully! Training starts from it at update 0.",
        ]
    )


def recognised(checkpoint: Path) -> str:
    """The family of a checkpoint.

    Raises:
        UserError: its tensor names are those of no family, or cannot be listed without reading it.
    """
    if len(facts.names()) == 1:
        return facts.names()[0]  # which names what is wrong with the checkpoint
    if problem := kinds.problem(checkpoint):
        raise UserError(f"{checkpoint}: {problem}")
    names = kinds.names(checkpoint) or ()
    if family := signatures.family_of(names):
        return family
    titles = " or ".join(facts.of(name).title for name in facts.names())
    found = signatures.model_of(names) or "no tensor that is typical of one"
    raise UserError(
        f"{checkpoint}: expected a checkpoint of {titles}, found {found}; give another file, or "
        f"name its family with --family ({', '.join(facts.names())})"
    )


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except (UserError, OSError) as error:
        sys.exit(f"Error: {error}")
