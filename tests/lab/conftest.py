"""One bare machine for the whole story: its chapters run in order and each stands on the one before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import image
from lab.host import Host, host


@pytest.fixture(scope="session")
def machine() -> Iterator[Host]:
    """A Debian 13 machine with git, make and Python, an ordinary user with sudo, and nothing else."""
    with host(image.build()) as bare:
        yield bare
