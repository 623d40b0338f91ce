"""Memory that the real engine takes for the small model, at several contexts and parallelisms, against the prediction.

Beside the station's engine a second one runs from the same image with the same models, once for each parallelism: that
is a setting of the server, not of a request.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from python_on_whales import docker

from gridtie.catalogue import load
from gridtie.host.fit.memory import MIB, Settings, need, padded_context
from integration.station import Station, address, processes

CONTEXTS = (2048, 4096, 8192)
# Tokens that the model reads before its memory is looked at: more than the largest batch here (Ollama's 1024), so that
# a whole one goes through its buffers; few enough for the smallest context.
READ = 1101
SMALL = load(Path(__file__).parents[2] / "config" / "models.yaml").models["smollm2:135m"]


class Engine:
    """One Ollama container, and what it and its kernel say of the memory of its model."""

    def __init__(self, name: str, model: str, parallel: int) -> None:
        self.name, self.model, self.parallel = name, model, parallel
        self.http = httpx.Client(base_url=f"http://{address(docker.container.inspect(name))}:11434", timeout=110)
        self._resident: dict[int, int] = {}

    def wait(self, limit: float = 60) -> None:
        deadline = time.monotonic() + limit
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(docker.logs(self.name, tail=20))
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            return self.http.get("/api/version").status_code == 200
        except httpx.TransportError:
            return False

    def load(self, context: int, text: str = "") -> int:
        """Have the model read the text with that context, and tell in how many tokens. Another context is another
        server process.
        """
        asked = {
            "model": self.model,
            "prompt": text,
            "raw": True,
            "stream": False,
            "options": {"num_ctx": context, "num_predict": 1},
        }
        answer = self.http.post("/api/generate", json=asked)
        assert answer.status_code == 200, answer.text
        return int(answer.json().get("prompt_eval_count", 0))

    def reserved(self) -> int:
        """As Ollama says."""
        (found,) = self.http.get("/api/ps").json()["models"]
        return int(found["size"])

    def resident(self, context: int) -> int:
        """Of the model's server process after `READ` tokens, in the kernel's words. Reading takes long: once each."""
        if context not in self._resident:
            # The space at the end is a token of its own.
            assert self.load(context, "word " * (READ - 1)) == READ
            rows = processes(self.name)
            self._resident[context] = next(int(row.split()[1]) * 1024 for row in rows if "--model" in row)
        return self._resident[context]


@pytest.fixture(scope="module", params=[1, 2, 4])
def engine(station: Station, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The station's engine once more, with that many requests at once and no memory for old prompts."""
    told = docker.container.inspect(station.engine)
    name = f"{station.project}-memory-{uuid.uuid4().hex[:8]}"
    model = next(each["name"] for each in station.facts["models"] if "smoke-test" in each["purposes"])
    mount = next(each for each in told.mounts if each.destination == "/models")
    ours = {"OLLAMA_NUM_PARALLEL": str(request.param), "LLAMA_ARG_CACHE_RAM": "0"}
    environment = {**dict(text.split("=", 1) for text in told.config.env), **ours}
    docker.run(
        told.config.image,
        told.config.cmd,
        detach=True,
        remove=True,
        name=name,
        user=told.config.user,
        cap_drop=["ALL"],
        read_only=True,
        tmpfs=["/tmp:size=256m,mode=1777"],
        volumes=[(mount.source, "/models", "ro")],
        envs=environment,
    )
    try:
        found = Engine(name, model, request.param)
        with found.http:
            found.wait()
            yield found
    finally:
        docker.remove(name, force=True)


def predicted(context: int, parallel: int) -> int:
    return need(SMALL.shape, SMALL.file.tensors, Settings(context, parallel)).total


def touched(context: int, parallel: int) -> int:
    """Of what is predicted, the pages that `READ` tokens reach: the cache is cleared at the start, so all of it, and
    every row of a batch but, in its mask (two bytes for each token of the context), only the columns of what was read.
    """
    unread = padded_context(context) - padded_context(READ)
    return predicted(context, parallel) - 2 * Settings(context, parallel).ubatch * unread


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_engine_reserves_what_was_predicted(engine: Engine, context: int) -> None:
    """Within half a percent of what Ollama says, which reads it from the server's log."""
    engine.load(context)

    assert engine.reserved() == pytest.approx(predicted(context, engine.parallel), rel=0.005)


@pytest.mark.parametrize("context", [CONTEXTS[0], CONTEXTS[-1]])
def test_resident_memory_is_the_prediction_and_the_program(engine: Engine, context: int) -> None:
    """The program with its Python and libraries takes 20 to 100 MiB beside the model."""
    beside = engine.resident(context) - touched(context, engine.parallel)

    assert 20 * MIB <= beside <= 100 * MIB


def test_resident_memory_grows_with_the_context_as_predicted(engine: Engine) -> None:
    """What does not depend on the context (the program, its libraries, its threads) is the same on both sides."""
    grown = engine.resident(CONTEXTS[-1]) - engine.resident(CONTEXTS[0])

    assert grown == pytest.approx(
        touched(CONTEXTS[-1], engine.parallel) - touched(CONTEXTS[0], engine.parallel), rel=0.02
    )
