"""The GPU: which device to use, whether its memory ran out, freeing it, how much was used."""

import gc
import logging

import torch

log = logging.getLogger("gpu")

# beside torch's own error: cuBLAS, CTranslate2 and the allocator of the CPU raise plain ones
MESSAGES = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


def device(gpus: int) -> str:
    """Where torch computes in a job with so many GPUs: `cuda` if one is usable, otherwise `cpu`."""
    return "cuda" if gpus and torch.cuda.is_available() else "cpu"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the device or of the host, ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in MESSAGES)


def free() -> None:
    """Free the memory of a failed attempt.

    The error and its traceback refer to each other and keep the tensors of the attempt alive until
    a garbage collection, while the next attempt needs the memory at once.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def in_use() -> str:
    """How much memory the device has and how much of it is free, for messages."""
    if not torch.cuda.is_available():
        return "the memory of this machine"
    unused, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    return f"the memory of {name} ({unused / 1e9:.1f} of {total / 1e9:.1f} GB are free)"


def log_peak() -> None:
    """Log the peak GPU memory of this job, if there is a GPU."""
    if torch.cuda.is_available():
        unused, total = torch.cuda.mem_get_info()
        log.info(
            "GPU memory: %.2f GB at most by torch; %.2f of %.2f GB in use on the device",
            *(torch.cuda.max_memory_allocated() / 1e9, (total - unused) / 1e9, total / 1e9),
        )
