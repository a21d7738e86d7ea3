"""Digests of the inputs of a result: configuration, code, files."""

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError

BLOCK_BYTES = 1 << 20


def canonical(value: Any) -> Any:
    """`value` as builtin types with sorted keys, so that equal settings compare equal.

    Snakemake compares params by `repr`, where the order of keys counts.
    """
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def to_json(value: Any) -> str:
    """Canonical JSON text of `value`: sorted keys, no spaces, no NaN."""
    return json.dumps(
        canonical(value),
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )


def sha256_json(value: Any) -> str:
    """SHA-256 (hex) of `to_json(value)`."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def require_sha256(path: Path, expected: str | None, key: str) -> None:
    """Check a file against the hash in the configuration.

    Args:
        expected: SHA-256 (hex); None accepts any file.
        key: key of the configuration, for the message.

    Raises:
        UserError: the hashes differ.
    """
    if expected is None:
        return
    found = sha256_file(path)
    if found != expected:
        raise UserError(
            f"{path}: its SHA-256 is {found}, but {key} expects {expected}; download the "
            "file again, or correct the key"
        )


def _imported(tree: ast.Module, root: Path) -> Iterable[Path]:
    """Library files that a module imports, at any place in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "voicekiln":
                continue
            # importing a.b.c runs a/__init__ and a/b/__init__ too
            for n in range(1, len(parts) + 1):
                base = root.joinpath(*parts[:n])
                for file in (base.with_suffix(".py"), base / "__init__.py"):
                    if file.is_file():
                        yield file


def _without_descriptions(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _without_descriptions(v) for k, v in content.items() if k != "description"}
    return [_without_descriptions(v) for v in content] if isinstance(content, list) else content


@cache
def _module(path: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    """Digest of a module, and the library files that it imports.

    Comments, docstrings and layout do not count. Tables (.tsv) that the module names count, and for
    a package the YAML files next to its `__init__`, without comments and descriptions.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    imported = tuple(sorted(set(_imported(tree, root))))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    node.body[0] = ast.Pass()
    digest = hashlib.sha256(ast.unparse(tree).encode())
    for node in ast.walk(tree):  # tables that the module reads
        if isinstance(node, ast.Constant) and str(node.value).endswith(".tsv"):
            for table in sorted(root.rglob(str(node.value))):
                digest.update(table.read_bytes())
    if path.name == "__init__.py":
        for file in sorted(path.parent.glob("*.yaml")):
            # imported here, because most environments have no yaml and do not need it
            import yaml

            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            digest.update(sha256_json(_without_descriptions(content)).encode())
    return digest.hexdigest(), imported


def code_digest(script: Path, *modules: str) -> str:
    """Digest of a script and all library modules that it imports, directly or not.

    Snakemake compares scripts by modification time and ignores imports. As a param, this digest
    reruns a rule if the meaning of its code changes, and only then.

    Args:
        script: script of the rule, next to the library `voicekiln/`.
        modules: dotted names of library modules that the script imports by name at run time.

    Raises:
        ModuleNotFoundError: one of `modules` does not exist.
    """
    script = Path(script).resolve()
    root = script.parent
    queue = [script]
    for name in modules:
        base = root.joinpath(*name.split("."))
        files = [f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()]
        if not files:
            raise ModuleNotFoundError(f"{script}: there is no library module {name}", name=name)
        queue += files
    digests: dict[str, str] = {}
    while queue:
        path = queue.pop()
        name = path.relative_to(root).as_posix()
        if name not in digests:
            digests[name], imported = _module(path, root)
            queue += imported
    return sha256_json(digests)[:16]
