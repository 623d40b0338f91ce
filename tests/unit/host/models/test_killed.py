"""A run that is killed, wherever it is, leaves nothing half-done that counts as done, and the next run finishes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from standins import shape_gguf
from standins.model_registry import serving
from standins.model_station import SHAPE

TESTS = Path(__file__).parents[3]

# In a process of its own with one thread, which is what may be forked. The registry is the test's.
WORK = """
import json, os, shutil, sys
from dataclasses import replace
from pathlib import Path

from gridtie.host.catalogue import Catalogue, OllamaSource, Pin
from gridtie.host.models import download
from gridtie.host.models.download import Fetcher
from gridtie.host.models.sources import Means
from gridtie.host.models.store import Checked, Store, sha256_of
from gridtie.host.models.order import Order, Directories
from gridtie.host.models.provision import provision
from standins.killed import kill_everywhere
from standins.model_station import AMPLE, SHAPE, SMALL, model

# A killed process loses nothing that the kernel has; only a power cut would.
os.fsync = lambda descriptor: None
# Read once, not by every child: it takes longer than all the rest.
download._trust("")
given = json.loads(sys.argv[1])
root = Path(given["root"])
directories = Directories(root / "models")
order = Order(
    directories=directories,
    catalogue=Catalogue({
        "coder:1b": model("coder:1b", OllamaSource("coder:1b"), ("code",), SHAPE, given["size"]),
        "probe:1m": model("probe:1m", OllamaSource("probe:1m"), ("smoke-test",), SMALL, given["size"]),
    }),
    lock={},
    models=["coder:1b"],
    engine="ollama",
    means=Means(directories.incoming, given["registry"], Fetcher()),
    budget=lambda: AMPLE,
    probe=dict,
)
mine = {"name": "mine:1", "gguf": given["file"], "sha256": sha256_of(Path(given["file"]))}


def sound(store, names):
    found = sorted(store.names())
    assert found == sorted(names), (found, names)
    for name in found:
        manifest = store.read(name)
        assert all(store.has(layer, Checked(root / "none", deep=True)) for layer in manifest.blobs), name


def empty():
    shutil.rmtree(directories.root, ignore_errors=True)


def install():
    provision(replace(order, models=["coder:1b", mine]))


def installed(step):
    library, own = ["coder:1b", "probe:1m"], ["gridtie/coder:1b", "gridtie/probe:1m", "gridtie/mine:1"]
    sound(directories.store("ollama"), library + own)
    assert not provision(replace(order, models=["coder:1b", mine])).changed, step
    assert list(directories.incoming.iterdir()) == [], step


def provisioned():
    empty()
    install()


def prune():
    provision(replace(order, models=["coder:1b"], prune=True))


def pruned(step):
    store = directories.store("ollama")
    sound(store, ["coder:1b", "probe:1m", "gridtie/coder:1b", "gridtie/probe:1m"])
    assert not store.blob("sha256:" + mine["sha256"]).exists(), step
    assert not provision(replace(order, models=["coder:1b"], prune=True)).changed, step


print(json.dumps([kill_everywhere(empty, install, installed), kill_everywhere(provisioned, prune, pruned)]))
"""


def test_installing_and_pruning_can_be_killed_at_every_change_of_the_disk(tmp_path: Path) -> None:
    with serving() as registry:
        weights = {}
        for name, count in (("coder:1b", 32768), ("probe:1m", 8192), ("mine", 4096)):
            weights[name] = _gguf(tmp_path / "x.gguf", count)
        for name in ("coder:1b", "probe:1m"):
            registry.add_model(name, weights[name])
        (tmp_path / "mine.gguf").write_bytes(weights["mine"])
        assert len({hashlib.sha256(content).digest() for content in weights.values()}) == 3
        given = {
            "root": str(tmp_path), "registry": registry.url, "size": len(weights["coder:1b"]),
            "file": str(tmp_path / "mine.gguf"),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", WORK, json.dumps(given)],
            env={"PYTHONPATH": f"{TESTS}:{TESTS.parent / 'src'}", "PATH": ""},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    installing, pruning = json.loads(done.stdout)
    assert installing > 30 and pruning > 5, "every step was reached"


def _gguf(path: Path, context: int) -> bytes:
    shape_gguf.write(path, replace(SHAPE, context_length=context))
    return path.read_bytes()
