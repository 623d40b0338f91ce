"""The demo, end to end: its own exit status says whether the hidden tests passed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

# Seconds: five agents with retries on a slow machine.
_LIMIT = 900


def test_the_demo_ends_with_its_hidden_tests_passed(
    machine: Any, endpoint: str, checkout: Path, tmp_path: Path
) -> None:
    environ = {**os.environ, "OPENAI_BASE_URL": f"{endpoint}/v1", "OPENAI_API_KEY": machine.key()}
    # The package beside the demo, as for these tests: where Ansible runs it need not be installed.
    environ["PYTHONPATH"] = str(checkout / "src")
    command = [sys.executable, str(checkout / "demo_final.py")]
    with ExitStack() as stack:
        if not machine.is_here:
            # What the model writes runs in that machine's sandbox: whoever verifies it may have no Docker.
            stack.enter_context(machine.docker_in(tmp_path))
            environ["PATH"] = f"{tmp_path}{os.pathsep}{environ['PATH']}"
            command += ["--sandbox-image", machine.inspect(machine.router)["Image"]]
        done = subprocess.run(
            command, env=environ, cwd=checkout, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
