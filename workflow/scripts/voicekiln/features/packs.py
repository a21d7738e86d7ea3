"""Feature packs: many clips' features in one immutable safetensors file, found through an index.

A pack holds the arrays of each clip as `<key>/<array>`. Keys are hashes of what the features are
made from, so a pack is named by its keys: the same keys are the same file. More clips make more
packs; an existing pack is never changed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from voicekiln.errors import UserError
from voicekiln.families import Arrays
from voicekiln.provenance import sha256_json
from voicekiln.weights.files import write_atomic

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class PackedFeature:
    """A row of the index: the features of one clip.

    Attributes:
        key: key of the features.
        pack: file name of their pack.
        n_steps: sequence steps of the clip, as its family counts them.
        pack_bytes: size of the whole pack's file.
    """

    key: str
    pack: str
    n_steps: int
    pack_bytes: int


def pack_name(keys: Iterable[str]) -> str:
    """File name of the pack of these keys, whatever their order."""
    return sha256_json(sorted(keys))[:32] + SUFFIX


def write_pack(
    folder: Path, features: Mapping[str, Arrays], n_steps: Mapping[str, int]
) -> list[PackedFeature]:
    """Write one pack, unless it exists and is whole.

    Args:
        folder: for packs.
        features: arrays by key.
        n_steps: sequence steps by key.

    Returns:
        index rows, sorted by key.
    """
    assert features, "a pack needs at least one clip"
    path = Path(folder) / pack_name(features)
    entries = {
        f"{key}/{name}": tensor
        for key, arrays in features.items()
        for name, tensor in arrays.items()
    }
    if not is_whole(path, entries):
        write_atomic(path, entries)
    n_bytes = path.stat().st_size
    return [PackedFeature(key, path.name, n_steps[key], n_bytes) for key in sorted(features)]


def is_whole(path: Path, entries: Mapping[str, torch.Tensor]) -> bool:
    """Whether the file exists, as long as its header says, with these entries and values."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, "pt") as pack:
            return set(pack.keys()) == set(entries) and all(
                torch.equal(pack.get_tensor(name), tensor) for name, tensor in entries.items()
            )
    except (SafetensorError, OSError):
        return False


class PackWriter:
    """Collects features and writes a pack whenever there are enough of them.

    The packs depend on the order of the clips, so add them in a fixed order. Rows are complete
    after `close`.
    """

    def __init__(self, folder: Path, max_bytes: int):
        """Packs go to `folder`; one is written as soon as its features take `max_bytes` or more."""
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.rows: list[PackedFeature] = []
        self._waiting: dict[str, Arrays] = {}
        self._waiting_bytes = 0
        self._n_steps: dict[str, int] = {}

    def add(self, key: str, arrays: Arrays, n_steps: int) -> None:
        """Take one clip's features; a key that was added before is skipped."""
        if key in self._n_steps:
            return
        self._n_steps[key] = n_steps
        self._waiting[key] = arrays
        self._waiting_bytes += sum(a.numel() * a.element_size() for a in arrays.values())
        if self._waiting_bytes >= self.max_bytes:
            self.close()

    def close(self) -> list[PackedFeature]:
        """Write pending features; returns the rows of all packs written so far."""
        if self._waiting:
            self.rows += write_pack(self.folder, self._waiting, self._n_steps)
            self._waiting, self._waiting_bytes = {}, 0
        return self.rows


class PackReader:
    """Features by pack and key. Packs are memory-mapped at first use and stay open.

    May be sent to other processes: each opens the packs for itself.
    """

    def __init__(self):
        self._open = {}

    def get(self, pack: Path | str, key: str) -> Arrays:
        """The arrays of a key in the pack at that path, as they were written.

        Raises:
            UserError: the pack is missing, shorter or longer than its header says, or has no
                such key.
        """
        try:
            if pack not in self._open:
                file, names = safe_open(pack, "pt"), {}
                for entry in file.keys():
                    owner, _, name = entry.rpartition("/")
                    names.setdefault(owner, []).append(name)
                self._open[pack] = file, names
            file, names = self._open[pack]
            return {name: file.get_tensor(f"{key}/{name}") for name in names[key]}
        except (OSError, SafetensorError, KeyError) as error:
            why = "no such key" if isinstance(error, KeyError) else error
            raise UserError(
                f"{pack}: features {key} cannot be read ({why}); run snakemake again"
            ) from error

    def __getstate__(self) -> dict:
        return {"_open": {}}
