"""How long it takes from a clone to the first answer in an editor's own client, on a machine that had nothing.

`python benchmarks/first_answer.py [--release] [--out FILE]`, after `make test PART=contract` (its client is used).

A lab host with git, make and Python is made; then, with the clock running: clone, `make site`, `gridtie connect
continue --write`, a question by Continue's own command, and a completion with the settings that it was given. The
client's program is there beforehand, as an editor is. `--release`: Ollama's release and the models come from stand-ins
of upstream's (`lab.upstream`), on a machine with Docker; else Ollama is compiled from package registries.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stand import ROOT

sys.path += [str(ROOT), str(ROOT / "tests"), str(ROOT / "src")]
from clients.environments import node
from lab import image, upstream
from lab.host import Host, host, succeeded

AGENT = ROOT / ".cache/clients/some-agents/node/node_modules"
CLIENT = "export PATH=/opt/client/bin:$PATH; /opt/client/node_modules/.bin/cn -p 'Say hello in one word.'"
# With what was written for the editor, as its completion asks.
COMPLETE = r"""
settings=~/.continue/config.yaml
of() { grep -m1 "$1:" $settings | sed 's/.*: *//'; }
curl -sSf "$(of apiBase)/completions" -H "Authorization: Bearer $(of apiKey)" -H 'Content-Type: application/json' \
  -d "{\"model\": \"$(of model)\", \"prompt\": \"def add(a, b):\\n    return\", \"max_tokens\": 16}"
"""


@contextmanager
def machine(release: bool) -> Iterator[tuple[Host, str]]:
    """A bare machine with the client on it, and what `make site` is told."""
    if release:
        with upstream.serve() as server, server.machine(hostname="mine", controller=False) as made:
            yield made, f'ARGS="-e {server.variables(made)}"'
    else:
        with host(image.build(more=("curl",)), hostname="mine") as made:
            yield made, ""


def put_client(made: Host) -> None:
    """Continue's command and the Node that runs it, below /opt/client."""
    made.root("mkdir -p /opt/client/bin")
    for source, target in ((AGENT, "/opt/client/"), (node(), "/opt/client/bin/node")):
        subprocess.run(["docker", "cp", "--quiet", str(source), f"{made.name}:{target}"], check=True)


def measure(release: bool) -> dict[str, float]:
    """Seconds of each step."""
    seconds: dict[str, float] = {}
    with machine(release) as (made, arguments):
        put_client(made)
        made.root("mv /home/dev/gridtie /srv/origin")
        made.run(
            "git init -q && git add -A && git -c user.name=a -c user.email=a@example.org commit -qm a",
            cwd="/srv/origin",
        )
        steps = {
            "clone": ("git clone -q /srv/origin gridtie", "/home/dev"),
            "make site": (f"make site {arguments}", "/home/dev/gridtie"),
            "connect": ("gridtie connect continue --write", "/home/dev/gridtie"),
            "answer": (CLIENT, "/home/dev/gridtie"),
            "completion": (COMPLETE, "/home/dev/gridtie"),
        }
        for name, (command, directory) in steps.items():
            began = time.monotonic()
            output = succeeded(made.run(command, cwd=directory, limit=1800))
            seconds[name] = round(time.monotonic() - began, 1)
            print(
                f"{name:12} {seconds[name]:7.1f} s   {output.strip().splitlines()[-1][:100] if output.strip() else ''}",
                flush=True,
            )
    return seconds


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true", help="from stand-ins of upstream's releases and models")
    parser.add_argument("--out", type=Path, help="write the seconds of each step there, as JSON")
    options = parser.parse_args()
    seconds = measure(options.release)
    print(f"{'together':12} {sum(seconds.values()):7.1f} s")
    if options.out:
        options.out.write_text(json.dumps({"release": options.release, "seconds": seconds}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
