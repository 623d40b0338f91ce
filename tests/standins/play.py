"""A playbook of a few tasks, run here with the project's plugins and with all that Ansible can be made to say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def play(
    directory: Path, tasks: Sequence[Mapping[str, Any]], variables: Mapping[str, Any], *options: str
) -> tuple[int, str]:
    """Run the tasks on localhost; the status and everything that was printed. `directory` is for what it writes."""
    book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": list(tasks)}]
    (directory / "book.yml").write_text(yaml.safe_dump(book))
    (directory / "vars.yml").write_text(yaml.safe_dump(dict(variables)))
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [program, directory / "book.yml", "-e", f"@{directory}/vars.yml", "-vvv", "--diff", *options]
    own = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(directory / "ansible")}
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr
