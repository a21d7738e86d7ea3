"""Checkpoint files: reading of tensors only, atomic writing, hashes of tensors.

No code in a file is executed: pickles are read with `weights_only=True`, and a pickle that needs
anything but tensors and plain containers is rejected with the names of what it needs. Objects of
classes that a family names are skipped: their classes are neither imported nor called.
"""

import hashlib
import logging
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from voicekiln.errors import UserError
from voicekiln.store.files import atomic
from voicekiln.weights import kinds
from voicekiln.weights.kinds import PICKLE_SUFFIXES

log = logging.getLogger(__name__)

# Prefixes that DataParallel, DistributedDataParallel and ema_pytorch add to tensor names.
LEGACY_PREFIXES = ("module.", "ema_model.")
COMPILED = r"(?<![^.])_orig_mod\."  # added by torch.compile to the names of compiled modules
# Globals that torch always reads, besides its own; its error message names those it rejects.
PLAIN = ("collections.OrderedDict", "__builtin__.set", "builtins.set", "_codecs.encode")
LISTED_GLOBALS = 8
READ_BYTES = 1 << 20


class Skipped:
    """Stands where a file has an object that was not made; holds nothing."""

    def __new__(cls, *args):
        return super().__new__(cls)

    def __setstate__(self, state):
        pass


def read(path: Path, skip: tuple[str, ...] = ()) -> dict:
    """Content of a checkpoint file: tensors (on the CPU), numbers, strings, containers of these.

    `.pt` files are memory-mapped, so unused optimizer states cost no memory.

    Args:
        skip: beginnings of the full names of classes whose objects are replaced by `Skipped`.

    Raises:
        UserError: no such file, unknown suffix, damaged file, or a pickle that would run code.
    """
    path = Path(path)
    require_kind(path)
    if path.suffix.lower() != ".safetensors":
        return read_pickle(path, skip)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def read_tensor(path: Path) -> torch.Tensor:
    """The tensor in a file of `torch.save` that holds nothing else; raises as `read`."""
    path = Path(path)
    require_kind(path)
    content = _load(path)
    if not isinstance(content, torch.Tensor):
        raise UserError(f"{path}: expected one tensor, got {type(content).__name__}")
    for _ in blown_up({path.name: content}):
        raise UserError(f"{path}: the tensor is larger than its data in the file")
    return content


def require_kind(path: Path) -> None:
    """Raise unless name, size and first bytes are those of a checkpoint file."""
    problem = kinds.problem(path)
    if problem:
        raise UserError(f"{path}: {problem}")


def can_be_mapped(path: Path) -> bool:
    """Whether the tensors in a file of `torch.save` are stored uncompressed.

    Files of torch < 1.6 are not zip archives. An archive that was zipped again may have deflated
    entries; torch would map those without an error and return compressed bytes as numbers.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def read_pickle(path: Path, skip: tuple[str, ...] = ()) -> dict:
    """Content of a file written by `torch.save`; see `read`."""
    content = _load(path, skip)
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: expected a dictionary of tensors, got {type(content).__name__}")
    for name in blown_up(content):
        raise UserError(
            f"{path}: tensor {name!r} is larger than its data in the file; save a"
            " contiguous copy of it"
        )
    return dict(content)


def _load(path: Path, skip: tuple[str, ...] = ()):
    """What `torch.load` returns, without executing anything in the file."""
    skipped = [name for name in unsafe_globals(path) if name.startswith(skip)] if skip else []
    try:
        with torch.serialization.safe_globals([(Skipped, name) for name in skipped]):
            mapped = can_be_mapped(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:
        # torch raises UnpicklingError, RuntimeError, EOFError, ValueError, ... for a bad file.
        unsafe = [name for name in unsafe_globals(path, str(error)) if name not in skipped]
        if unsafe:
            names = ", ".join(unsafe[:LISTED_GLOBALS])
            more = f" and {len(unsafe) - LISTED_GLOBALS} more" * (len(unsafe) > LISTED_GLOBALS)
            raise UserError(
                f"{path}: rejected, because the file loads {names}{more}; only tensors and"
                " plain containers are allowed. Ask its author for the weights as .safetensors, or,"
                " if you trust the file, save its tensors to a new one"
            ) from error
        raise damaged(path, error) from error


def blown_up(content: Mapping) -> Iterator[str]:
    """Names of tensors larger than their storage (strides of 0): few bytes expand to terabytes."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from blown_up(value)
        elif isinstance(value, torch.Tensor) and value.layout == torch.strided:
            if value.device.type == "cpu" and not value.is_quantized:
                if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                    yield str(name)


def require_whole(path: Path) -> None:
    """Verify the checksums in a file of `torch.save`.

    torch does not verify them: a damaged download loads, and its tensors are noise. Other formats
    have no checksums; entries that were written without one have 0.

    Raises:
        UserError: the checksum of an entry differs.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            try:
                if entry.CRC:
                    with archive.open(entry) as file:
                        while file.read(READ_BYTES):
                            pass
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> UserError:
    """The error for a file that cannot be read completely."""
    # torch's message has many lines, some of which advise to run the file's code: pick the reason
    text = str(error).strip()
    cause = re.search(r"WeightsUnpickler error:\s*(.+)", text)
    advice = text.startswith(("Weights only", "Cannot use ``weights_only"))
    first = "not a file of torch.save" if advice else (text.splitlines() or [""])[0]
    reason = (cause[1] if cause else first.split(". ")[0]) or type(error).__name__
    n_bytes = path.stat().st_size
    return UserError(
        f"{path}: not a readable checkpoint, truncated or damaged ({n_bytes} bytes; {reason});"
        " copy or download it again"
    )


def unsafe_globals(path: Path, refusal: str = "") -> list[str]:
    """Names of the functions and classes that a file needs and that are not allowed.

    Its pickles are scanned, not loaded. Empty for files without pickles.

    Args:
        refusal: torch's error message, which names the first global that it rejected.

    Returns:
        the names, sorted, torch's own last.
    """
    names = set(re.findall(r"GLOBAL (\S+) was not an allowed global", refusal))
    if zipfile.is_zipfile(path):
        try:
            names |= set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        except Exception as error:
            log.debug("%s: not scanned for globals (%s)", path, error)
    else:
        scanned = scan_pickles(path)
        names |= {n for n in scanned if not n.startswith("torch.") and n not in PLAIN}
    return sorted(names, key=lambda name: (name.startswith("torch."), name))


def scan_pickles(path: Path) -> set[str]:
    """All globals of a file of torch before 1.6: a series of pickles, followed by the tensors."""
    names = set()
    with open(path, "rb") as file:
        try:
            while True:
                names.update(pickled_globals(file))
        except Exception as error:
            log.debug("%s: end of its pickles (%s)", path, error)
    return names


def pickled_globals(file: BinaryIO) -> Iterator[str]:
    """Names of the globals in one pickle, by its opcodes; reads to the end of the pickle."""
    memo, strings = {}, []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            yield argument.replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings[-2:])
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif opcode.name.endswith("BINGET"):
            strings.append(memo.get(argument, ""))
        elif isinstance(argument, str):
            strings.append(argument)


def without_prefixes(state: Mapping, prefixes: tuple[str, ...] = LEGACY_PREFIXES) -> dict:
    """The same values under names without wrapper prefixes, in any order and number.

    The marks of torch.compile are removed at any place in a name: they mark compiled submodules.

    Raises:
        UserError: two names become equal.
    """
    stripped = {}
    for name, value in state.items():
        short = re.sub(COMPILED, "", str(name))
        while short.startswith(prefixes):
            short = short[len(next(p for p in prefixes if short.startswith(p))) :]
        if short in stripped:
            raise UserError(
                f"tensor {short!r} is in the checkpoint twice, once as {name!r}; keep one of the"
                " copies, preferably the EMA weights (ema_model)"
            )
        stripped[short] = value
    return stripped


def tensor_sha256(tensor: torch.Tensor) -> str:
    """Hash of dtype, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def state_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """Hash of all names and tensors; independent of their order."""
    lines = (f"{name} {tensor_sha256(state[name])}\n" for name in sorted(state))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def writable_problem(path: Path, source: Path, force: bool) -> str | None:
    """The reason why a checkpoint cannot be written to a path, or None.

    Args:
        source: the file that the checkpoint is made from; it must not change.
        force: whether a file at the path may be replaced.
    """
    if path.suffix.lower() not in kinds.SUFFIXES:
        return f"expected the name of a checkpoint file ({', '.join(kinds.SUFFIXES)})"
    if path.is_dir():
        return "expected a file, this is a folder"
    if path.exists() and source.exists() and path.samefile(source):
        return f"is the input file, {source}; give another name"
    if path.exists() and not force:
        return "already exists; give another name, or --force to overwrite it"
    return None


def write_atomic(path: Path, content: Mapping) -> None:
    """Write `.safetensors` (a flat dictionary of tensors) or `.pt` (nested) atomically.

    The bytes depend only on the content, not on the path, the time or the order of the names.
    """
    path = Path(path)
    with atomic(path, sync=True) as temporary:
        if path.suffix.lower() == ".safetensors":
            save_file({name: content[name].contiguous() for name in sorted(content)}, temporary)
        elif path.suffix.lower() in PICKLE_SUFFIXES:
            # use a file object: with a path, torch.save writes the file's name into the file
            with open(temporary, "wb") as file:
                torch.save(own_storage(content), file)
        else:
            raise ValueError(f"{path}: expected .safetensors or one of {PICKLE_SUFFIXES}")


def own_storage(value):
    """The same content with sorted names, each tensor with a storage of its own size."""
    if isinstance(value, Mapping):
        return {name: own_storage(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, torch.Tensor):
        # for a view, torch.save would write the whole storage
        return value.detach().clone(memory_format=torch.contiguous_format)
    return value
