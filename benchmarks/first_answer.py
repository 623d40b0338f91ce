"""How long it takes from a clone to the first answer in an editor's own client, on a machine that had nothing.

`python benchmarks/first_answer.py [--release] [--out FILE]`, after `make test PART=contract` (its client is used).

A lab host with git, make and Python is made; then, with the clock running: clone, `make site`, `gridtie connect
continue --write`, a question by Continue's own command, and a completion with the settings that it was given. The
client's program is there beforehand, as an editor is. `--release`: Ollama's release and the models come from stand-ins
of upstream's (`lab.upstream`), on a machine with Docker; else Ollama is compiled from package registries.

Exit status 1 where all of it takes more than ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
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
# Without tools, as its chat asks: the small model that any machine can have knows none.
CLIENT = "export PATH=/opt/client/bin:$PATH; /opt/client/node_modules/.bin/cn --exclude '*' -p 'Say hello.'"
# With what was written for the editor, as its completion asks.
COMPLETE = r"""
exec python3 - << 'end'
import json, pathlib, re, urllib.request
settings = (pathlib.Path.home() / ".continue/config.yaml").read_text()
of = lambda name: re.search(rf"^ *{name}: *(.+)$", settings, re.M)[1]
question = {"model": of("model"), "prompt": "def add(a, b):\n    return", "max_tokens": 16}
headers = {"Authorization": "Bearer " + of("apiKey"), "Content-Type": "application/json"}
request = urllib.request.Request(of("apiBase") + "/completions", json.dumps(question).encode(), headers)
print(json.load(urllib.request.urlopen(request))["choices"][0]["text"].strip())
end
"""
MOST_S = 600.0


@contextmanager
def machine(release: bool) -> Iterator[tuple[Host, str]]:
    """A bare machine with the client on it, and what `make site` is told."""
    if release:
        with upstream.serve() as server, server.machine(hostname="mine", controller=False) as made:
            yield made, f'ARGS="-e {server.variables(made)}"'
    else:
        with host(image.build(), hostname="mine") as made:
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
            output = succeeded(made.run(command, cwd=directory, limit=1800)).strip()
            seconds[name] = round(time.monotonic() - began, 1)
            assert output or name == "clone", f"{name} said nothing"
            print(f"{name:12} {seconds[name]:7.1f} s   {output[-100:].splitlines()[-1] if output else ''}", flush=True)
    return seconds


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true", help="from stand-ins of upstream's releases and models")
    parser.add_argument("--out", type=Path, help="write the seconds of each step there, as JSON")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    seconds = measure(options.release)
    together = round(sum(seconds.values()), 1)
    print(f"{'together':12} {together:7.1f} s")
    if options.out:
        found = {"release": options.release, "load_before": load, "seconds": seconds, "together": together}
        options.out.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return int(together > MOST_S)


if __name__ == "__main__":
    sys.exit(main())
