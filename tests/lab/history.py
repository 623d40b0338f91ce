"""Earlier releases of this project, as this clone's history has them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml
from plugins.plugin_utils.gridtie_image_tree import read_tree

from lab import images
from lab.host import CHECKOUT, Host, succeeded

# By the commit that was released; there are no tags.
RELEASES = {"1.0.0": "710d345"}
ROUTING = "config/llm_routing.yaml"


def archive(version: str) -> bytes:
    """The files of a release as a tar archive. Raises LookupError where this clone lacks them."""
    commit = RELEASES[version]
    made = subprocess.run(["git", "archive", "--format=tar", commit], cwd=CHECKOUT, capture_output=True, check=False)
    if made.returncode:
        raise LookupError(
            f"the commit {commit}, which is gridtie {version}, is not in this clone ({made.stderr.decode().strip()}); "
            "a clone with its whole history is wanted: git fetch --unshallow"
        )
    return made.stdout


def clone(machine: Host, version: str) -> None:
    """Make the machine's checkout a repository at a release; the tag `new` is what it was."""
    commit = "git add -A && git -c user.name=x -c user.email=x@example.test commit -q -m"
    succeeded(machine.run(f"git init -q && {commit} new && git tag new && git rm -rq ."))
    unpack = ["docker", "exec", "-i", "--user", "dev", machine.name, "tar", "-x", "-C", "/home/dev/gridtie"]
    subprocess.run(unpack, input=archive(version), check=True)
    succeeded(machine.run(f"{commit} {version} && git tag {version}"))
    succeeded(machine.run("git config --global user.name Dev && git config --global user.email dev@example.test"))


def switch(machine: Host, version: str) -> None:
    """Another version of the machine's checkout, with the person's own routing file, as docs/upgrade.md says."""
    whole = f"git checkout --quiet stash@{{0}} -- {ROUTING} && git stash drop --quiet"
    succeeded(
        machine.run(f"git stash --quiet && git checkout --quiet {version} && (git stash pop --quiet || {{ {whole}; }})")
    )


def sources(directory: Path, version: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    """A release's files that images are made from, and what it pins; `directory` is an empty one to unpack into."""
    subprocess.run(["tar", "-x", "-C", directory], input=archive(version), check=True)
    pinned = yaml.safe_load((directory / "config/artefacts.yaml").read_text(encoding="utf-8"))
    return read_tree(directory), pinned


def router(directory: Path, version: str) -> str:
    """Tag of a release's router image, made here unless it is there; `directory` is an empty one to unpack into."""
    return images.Images().make(images.steps("router", "gridtie", *sources(directory, version)))
