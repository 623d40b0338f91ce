"""Versions compared as numbers. As strings, "10" is smaller than "8" and "580.9" larger than "580.65"."""

from __future__ import annotations

import re

Version = tuple[int, ...]


def version(text: str) -> Version:
    """The leading numbers of a version: "580.95.05-0ubuntu1" is (580, 95, 5), "10" is (10,). Empty where none lead."""
    found = re.match(r"\s*v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def major(text: str) -> int:
    """The first number of a version; 0 where there is none."""
    return (version(text) or (0,))[0]


def at_least(found: str, wanted: Version) -> bool:
    """Whether a version is `wanted` or newer. An unknown one (no number) is not."""
    return bool(version(found)) and version(found) >= wanted


def same(one: str, other: str) -> bool:
    """Whether two versions are the same up to what a distribution appends to one of them."""
    return version(one) == version(other)
