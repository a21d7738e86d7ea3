"""Feature packs: many clips' features in one immutable safetensors file, found through an index.

A pack holds tensors under the keys of their clips. Keys are hashes of what a feature is made from,
so a pack is named by its keys: the same keys are the same file. More clips make more packs; a pack
that is there is never written to again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from voicekiln.errors import UserError
from voicekiln.provenance import sha256_json
from voicekiln.weights.files import write_atomic

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class PackedFeature:
    """A row of the index.

    Attributes:
        key: key of the feature.
        pack: file name of its pack.
        n_frames: first dimension of the tensor.
        pack_bytes: size of the whole pack's file.
    """

    key: str
    pack: str
    n_frames: int
    pack_bytes: int


def pack_name(keys: Iterable[str]) -> str:
    """File name of the pack of these keys, whatever their order."""
    return sha256_json(sorted(keys))[:32] + SUFFIX


def write_pack(folder: Path, features: Mapping[str, torch.Tensor]) -> list[PackedFeature]:
    """Writes one pack, unless it is there and whole.

    Args:
        folder: where packs are.
        features: tensor by key; the first dimension is the frames.

    Returns:
        index rows, sorted by key.
    """
    assert features, "a pack needs at least one feature"
    path = Path(folder) / pack_name(features)
    if not is_whole(path, features):
        write_atomic(path, features)
    n_bytes = path.stat().st_size
    return [PackedFeature(key, path.name, len(features[key]), n_bytes) for key in sorted(features)]


def is_whole(path: Path, features: Mapping[str, torch.Tensor]) -> bool:
    """Whether the file is there, as long as its header says, with these keys and values."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, "pt") as pack:
            return set(pack.keys()) == set(features) and all(
                torch.equal(pack.get_tensor(key), tensor) for key, tensor in features.items()
            )
    except (SafetensorError, OSError):
        return False


class PackWriter:
    """Collects features and writes a pack whenever enough of them are there.

    The packs depend on the order of the clips, so add them in a fixed order. Rows are complete
    after `close`.
    """

    def __init__(self, folder: Path, max_bytes: int):
        """Packs go to `folder`; one is written as soon as its features take `max_bytes` or more."""
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.rows: list[PackedFeature] = []
        self._waiting: dict[str, torch.Tensor] = {}
        self._waiting_bytes = 0
        self._taken: set[str] = set()

    def add(self, key: str, feature: torch.Tensor) -> None:
        """Takes one clip's feature; a key that was added before is passed over."""
        if key in self._taken:
            return
        self._taken.add(key)
        self._waiting[key] = feature
        self._waiting_bytes += feature.numel() * feature.element_size()
        if self._waiting_bytes >= self.max_bytes:
            self.close()

    def close(self) -> list[PackedFeature]:
        """Writes what waits; returns the rows of all packs written so far."""
        if self._waiting:
            self.rows += write_pack(self.folder, self._waiting)
            self._waiting, self._waiting_bytes = {}, 0
        return self.rows


class PackReader:
    """Features by pack and key. Packs are memory-mapped at first use and stay open.

    May be sent to other processes: each opens the packs for itself.
    """

    def __init__(self):
        self._open = {}

    def get(self, pack: Path | str, key: str) -> torch.Tensor:
        """The feature of a key in the pack at that path, as it was written.

        Raises:
            UserError: the pack is missing, shorter or longer than its header says, or another.
        """
        try:
            if pack not in self._open:
                self._open[pack] = safe_open(pack, "pt")
            return self._open[pack].get_tensor(key)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{pack}: feature {key} cannot be read ({error}); run snakemake again"
            ) from error

    def __getstate__(self) -> dict:
        return {"_open": {}}
