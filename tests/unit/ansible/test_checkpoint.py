"""The module that brings vLLM's checkpoint: what it returns to the role, and that a second run changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plugins.module_utils import gridtie_room
from plugins.module_utils.gridtie_host.acceptance.record import Acceptance
from plugins.modules import gridtie_checkpoint as module

from gridtie.host.machine.hardware import from_document
from standins import checkpoints
from standins.checkpoints import SMOLLM2

HARDWARE = Path(__file__).parents[2] / "fixtures" / "hardware"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The module's arguments, on a machine with a card of 24 GB."""
    found = from_document(json.loads((HARDWARE / "nvidia-24gb.json").read_text()))
    monkeypatch.setattr(gridtie_room, "hardware", lambda *_, **__: found)
    source = checkpoints.write(tmp_path / "source", SMOLLM2, checkpoints.llama_tensors(SMOLLM2))
    options = {name: option.get("default") for name, option in module._OPTIONS.items()}
    model = {"name": "small:135m", "source": str(source), "context": 4096}
    return {**options, "model": model, "models_dir": str(tmp_path / "models")}


def test_it_brings_the_checkpoint_and_says_how_to_start(given: dict[str, Any], tmp_path: Path) -> None:
    done = module._bring(given, check=False)

    assert done["changed"]
    assert (tmp_path / "models/vllm/small-135m/model.safetensors").is_file()
    assert done["arguments"][:4] == ["--model", "/models/vllm/small-135m", "--served-model-name", "gridtie/small:135m"]
    assert (done["cache_gib"], done["model"]["context"], done["model"]["source"]) == (0, 4096, "directory")
    assert not module._bring(given, check=False)["changed"]


def test_what_the_model_has_shown_to_this_version_stays_said_of_it(given: dict[str, Any], tmp_path: Path) -> None:
    given["version"] = "0.32.0"
    model = module._bring(given, check=False)["model"]
    records = module.Acceptances(tmp_path / "models" / module.ACCEPTED)
    same = {"catalogue": model["catalogue"], "digest": model["digest"], "context": 4096, "parallel": 8}
    engine = {"engine": "vllm", "engine_version": "0.32.0"}
    records.add(Acceptance(model=model["name"], **same, **engine, date="2026-11-30", seconds=1.0, results=[]))

    assert module._bring(given, check=False)["model"]["acceptance"]["date"] == "2026-11-30"
    assert "acceptance" not in module._bring({**given, "version": "0.33.0"}, check=False)["model"]


def test_a_check_says_that_it_would_be_brought_and_brings_nothing(given: dict[str, Any], tmp_path: Path) -> None:
    assert module._bring(given, check=True)["changed"]
    assert not (tmp_path / "models").exists()


def test_the_processor_serves_the_model_of_its_image(given: dict[str, Any], tmp_path: Path) -> None:
    done = module._bring({**given, "model": {"name": "smollm2:135m"}, "processor": True}, check=False)

    assert not done["changed"]
    assert done["cache_gib"] > 0
    assert not (tmp_path / "models").exists()


def test_a_model_that_does_not_fit_is_refused_once_its_files_say_so(given: dict[str, Any], tmp_path: Path) -> None:
    config = {**SMOLLM2, "num_key_value_heads": 9, "head_dim": 8192}
    source = checkpoints.write(tmp_path / "wide", config, {"model.embed_tokens.weight": (64,)})

    with pytest.raises(module.CheckpointError, match="does not fit"):
        module._bring({**given, "model": {"name": "wide:1b", "source": str(source)}}, check=False)
