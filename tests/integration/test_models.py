"""What the models role wrote into the store, seen by the real Ollama; and what it predicted, by what Ollama takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from gridtie.catalogue import load
from gridtie.host.fit.memory import Settings, need
from integration.station import Station

CONFIG = Path(__file__).parents[2] / "config"
SMALL = load(CONFIG / "models.yaml").models["smollm2:135m"]


@pytest.fixture(scope="module")
def model(station: Station) -> dict[str, Any]:
    """The small model's entry in station.json."""
    found: dict[str, Any] = next(each for each in station.facts["models"] if "smoke-test" in each["purposes"])
    return found


def ask(url: str, path: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(url + path, json={"stream": False, **body}, timeout=110)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def resident(url: str, name: str) -> int:
    """Bytes that Ollama says the loaded model takes."""
    loaded = httpx.get(url + "/api/ps", timeout=10).json()["models"]
    return int(next(each["size"] for each in loaded if each["name"] == name))


def test_ollama_lists_the_model_with_the_digest_that_station_json_has(ollama_url: str, model: dict[str, Any]) -> None:
    listed = {m["name"]: m["digest"] for m in httpx.get(ollama_url + "/api/tags", timeout=10).json()["models"]}

    assert "sha256:" + listed[model["name"]] == model["digest"]


def test_the_context_length_is_our_own(ollama_url: str, model: dict[str, Any]) -> None:
    shown = ask(ollama_url, "/api/show", model=model["name"])

    assert shown["parameters"].split() == ["num_ctx", str(model["context"])]
    assert shown["model_info"]["llama.context_length"] == SMALL.shape.context_length


def test_the_chat_template_of_the_model_file_is_used(ollama_url: str, model: dict[str, Any]) -> None:
    """It adds a system message of its own: three words of a person are some thirty tokens for the model."""
    hello = [{"role": "user", "content": "Say hello, please."}]
    answer = ask(ollama_url, "/api/chat", model=model["name"], messages=hello, options={"num_predict": 8})

    assert answer["prompt_eval_count"] > 20
    assert answer["message"]["content"].strip()


@pytest.mark.parametrize("context", [2048, 4096, 8192])
def test_the_loaded_model_takes_what_was_predicted_and_not_more(
    ollama_url: str, model: dict[str, Any], context: int
) -> None:
    """The build that stations run reserves a little less than the formula says, so it errs to the safe side."""
    ask(ollama_url, "/api/generate", model=model["name"], options={"num_ctx": context})
    predicted = need(SMALL.shape, SMALL.file.bytes, Settings(context, model["parallel"])).total
    taken = resident(ollama_url, model["name"])

    assert predicted * 0.97 <= taken <= predicted
