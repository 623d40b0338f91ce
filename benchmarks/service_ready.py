"""How long the image for pipelines (`make image`) takes from `docker run` until it can serve, cold and warm.

Cold: nothing of the image's files is in memory; only this image's own are dropped, which needs root. Warm: it ran just
before. The clock begins before `docker run` and ends with the first 200 of /readyz; then the first answer is asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

HARD = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
LIMIT_S = 120


def docker(*words: str, **environ: str) -> str:
    return subprocess.run(
        ["docker", *words], env={**os.environ, **environ}, check=True, capture_output=True, text=True
    ).stdout.strip()


def forget(image: str) -> None:
    """Drop the image's files from memory, and nobody else's."""
    data = json.loads(docker("image", "inspect", "--format", "{{json .GraphDriver.Data}}", image))
    layers = [data["UpperDir"], *filter(None, data.get("LowerDir", "").split(":"))]
    os.sync()
    for path in (path for layer in layers for path in Path(layer).rglob("*")):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def once(image: str) -> tuple[float, float]:
    """Seconds until it can serve, and seconds of the first answer after that."""
    key = secrets.token_hex(16)
    began = time.monotonic()
    container = docker(
        *("run", "--detach", *HARD, "--env", "GRIDTIE_KEY", "--publish", "127.0.0.1::8484", image), GRIDTIE_KEY=key
    )
    try:
        url = f"http://{docker('port', container, '8484/tcp').splitlines()[0]}"
        while not _ready(url):
            if time.monotonic() - began > LIMIT_S:
                raise TimeoutError(docker("logs", container))
            time.sleep(0.02)
        ready = time.monotonic()
        body = {"model": "probe", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
        asked = urllib.request.Request(
            f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
            answer.read()
        return ready - began, time.monotonic() - ready
    finally:
        docker("rm", "--force", "--volumes", container)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2):
            return True
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    once(asked.image)
    for kind in ("warm", "cold"):
        found = []
        for _ in range(asked.rounds):
            if kind == "cold":
                forget(asked.image)
            found.append((*once(asked.image), os.getloadavg()[0]))
        ready = [seconds for seconds, _, _ in found]
        print(f"{kind}: ready after {statistics.median(ready):.2f} s ({min(ready):.2f} to {max(ready):.2f}), ", end="")
        print(f"the first answer {statistics.median(row[1] for row in found):.2f} s after that; ", end="")
        print("load " + ", ".join(f"{row[2]:.1f}" for row in found))


if __name__ == "__main__":
    main()
