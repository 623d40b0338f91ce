"""Reads the model catalogue and its lock from YAML, with errors that name file, line and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from gridtie.host.catalogue import Catalogue, CatalogueError, Pin, dotted, parse, parse_lock
from gridtie.host.catalogue import Path as KeyPath

try:
    # The same in a tenth of the time: an eighth of a second for the catalogue, which each run reads twice.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]


class CatalogueFileError(ValueError):
    """A catalogue file cannot be used. The message is `file:line: key: what is wrong`."""


def load(path: Path) -> Catalogue:
    """The catalogue in `path` (config/models.yaml). Raises CatalogueFileError."""
    return parse(_checked(path, parse))


def load_lock(path: Path) -> dict[str, Pin]:
    """The pins in `path` (config/models.lock.yaml), by model name. Raises CatalogueFileError."""
    return parse_lock(_checked(path, parse_lock))


def load_documents(catalogue: Path, lock: Path) -> dict[str, Any]:
    """Both files as plain documents `{"catalogue": ..., "lock": ...}`, checked: what a host is handed as JSON."""
    return {"catalogue": _checked(catalogue, parse), "lock": _checked(lock, parse_lock)}


def _checked(path: Path, check: Callable[[Any], object]) -> Any:
    document, root = _read(path)
    try:
        check(document)
    except CatalogueError as error:
        raise _located(path, root, error) from error
    return document


class _UniqueKeys(SafeLoader):
    """YAML lets a later key overwrite an earlier one in silence; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} is there twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> tuple[Any, yaml.Node | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogueFileError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        loader = _UniqueKeys(text)
        root = loader.get_single_node()
        return loader.construct_document(root) if root else None, root
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CatalogueFileError(f"{path}:{line}: {error.problem}") from error


def _located(path: Path, root: yaml.Node | None, error: CatalogueError) -> CatalogueFileError:
    where = dotted(error.path)
    return CatalogueFileError(f"{path}:{_line(root, error.path)}: {where + ': ' if where else ''}{error.message}")


def _line(node: yaml.Node | None, path: KeyPath) -> int:
    """The line of the value that `path` leads to, or of the nearest thing above it that exists."""
    line = node.start_mark.line + 1 if node else 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
