"""Model families. A family is a module with the interface that `families.f5` documents."""

from types import ModuleType

from voicekiln.errors import UserError

NAMES = ("f5",)
PLANNED = ("xtts", "indextts2")
# Part of a tensor's name that every checkpoint of a family holds, whatever wraps its names.
TELLING = {"f5": "text_embed.weight"}
# Parts of a family's loss by name, known without torch: what a batch's `totals` hold.
LOSSES = {"f5": ("flow",)}


def get(name: str) -> ModuleType:
    """The module of a family.

    Raises:
        UserError: there is no such family.
    """
    # Plain import statements, so that the digest of a step's code sees what it may load.
    if name == "f5":
        from voicekiln.families import f5

        return f5
    raise UserError(f"family: expected one of {', '.join(NAMES)}, got {name!r}")
