"""Tools of a namespace, as Codex sends them, for servers that know functions alone: one name made of both, and back.

The name of the answer's call has to be taken apart without the request at hand, so the joint must stand in no name.
"""

from __future__ import annotations

JOINT = "-_-"


def joined(namespace: str, name: str) -> str:
    """The name of a tool in a namespace; that of any other is its own."""
    return f"{namespace}{JOINT}{name}" if namespace else name


def apart(name: str) -> tuple[str, str]:
    """Namespace ("" where there is none) and name."""
    namespace, joint, inner = name.partition(JOINT)
    return (namespace, inner) if joint else ("", name)
