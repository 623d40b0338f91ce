"""`gridtie fit` on a machine whose catalogue is at hand."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gridtie.catalogue import load_documents
from gridtie.host.acceptance.record import FAILED, Acceptance, Acceptances, Result
from gridtie.host.commands import fit as command
from gridtie.host.machine import detect
from gridtie.host.machine.hardware import from_document
from gridtie.host.paths import StationError
from standins import fit_shapes, header_gguf

CONFIG = Path(__file__).parents[4] / "config"
MACHINES = Path(__file__).parents[3] / "fixtures" / "hardware"
Fit = Callable[..., int]


@pytest.fixture(scope="module")
def documents() -> str:
    return json.dumps(load_documents(CONFIG / "models.yaml", CONFIG / "models.lock.yaml"))


@pytest.fixture
def fit(documents: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Runs `gridtie fit ...` with the station's directory under tmp_path."""
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(command, "read_loaded", lambda directory: ())
    names = [model["name"] for model in json.loads(documents)["catalogue"]["models"]]
    (tmp_path / "models.json").write_text(json.dumps({**json.loads(documents), "names": names}))

    def run(*arguments: str) -> int:
        parser = argparse.ArgumentParser()
        command.register(parser.add_subparsers())
        args = parser.parse_args(["fit", *arguments])
        return int(args.run(args))

    return run


def test_the_table_has_every_model_and_says_which_are_recommended_and_installed(
    fit: Fit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    facts = {"engine": {"kind": "ollama"}, "models": [{"catalogue": "smollm2:135m"}]}
    (tmp_path / "station.json").write_text(json.dumps(facts))
    assert fit("--free", "7") == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if line.startswith("MODEL"))
    rows = {line.split()[0]: line for line in lines[lines.index(head) + 2 :] if ":" in line.split(" ")[0]}

    assert set(rows) == set(json.loads((tmp_path / "models.json").read_text())["names"])
    small = rows["smollm2:135m"]
    assert small[head.index("INSTALLED") :].startswith("yes")
    assert small[head.index("RECOMMENDED") :].startswith("smoke-test")
    assert not rows["llama3.3:70b"][head.index("INSTALLED") : head.index("CONTEXT")].strip()


def test_every_purpose_has_a_recommendation_or_a_reason(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--machine", str(MACHINES / "nvidia-8gb.json"), "--free", "3")
    out = capsys.readouterr().out
    advice = out[out.index("RECOMMENDED") : out.index("Each line stands for itself")]

    assert [line.split()[0] for line in advice.splitlines()[1:] if not line.startswith(" ")] == [
        *("code", "chat", "agents", "completion", "embeddings"),
    ]
    assert "agents       none" in advice and "the nearest is" in advice


def test_one_purpose_alone_is_judged_by_what_it_asks_for(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--free", "40", "--for", "agents", "--json")
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}

    assert "Ollama warns" in models["llama3.1:8b"]["why"]
    assert models["codellama:7b"]["why"].startswith("not for agents: it has no tools")
    assert {purpose for model in models.values() for purpose in model["recommended"]} <= {"agents", "smoke-test"}


def test_what_is_not_known_is_no_number(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--free", "40", "--json")
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    fit("--free", "40", "--why", "llama3.2:1b")

    assert models["llama3.2:1b"]["score"] is None and models["llama3.2:1b"]["rank"] is None
    assert models["codellama:7b"]["score"] > 0
    assert "rank         none: no comparable score is published" in capsys.readouterr().out


@pytest.mark.parametrize(("source", "status"), [("release", 1), ("packages", 0)])
def test_memory_is_counted_for_the_build_that_the_stations_engine_has(
    source: str, status: int, fit: Fit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    facts = {"engine": {"kind": "ollama", "version": "0.32.15", "source": source}, "models": []}
    (tmp_path / "station.json").write_text(json.dumps(facts))
    path = tmp_path / "maple.gguf"
    header_gguf.write(path, "maple", next(each.keys for each in fit_shapes.headers() if each.architecture == "maple"))

    assert fit(str(path), "--free", "100") == status
    assert ("llama.cpp b10488 does not know the architecture 'maple'" in capsys.readouterr().out) is bool(status)


def test_a_rank_says_on_what_it_rests_and_how_sure_it_is(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--free", "100", "--why", "qwen3:8b")
    out = capsys.readouterr().out

    assert re.search(r"read from the Artificial Analysis index 4.3 over \d+ models or more that have both figures", out)
    assert "by the figures anything from" in out
    assert (
        "7.4 on the Artificial Analysis index 4.3 (Artificial Analysis, as whichllm 0.5.21 has it, 2026-06-29)" in out
    )


def test_an_existing_station_is_offered_what_it_could_have_and_keeps_what_it_has(
    fit: Fit, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"engine": {"kind": "ollama"}, "models": [{"catalogue": "codellama:7b"}]}
    (tmp_path / "station.json").write_text(json.dumps(facts))
    recorded = from_document(json.loads((MACHINES / "nvidia-12gb.json").read_text()))
    monkeypatch.setattr(command, "_this_machine", lambda *found: recorded)
    fit()

    assert "What this station has stays. Today `gridtie_models: auto` would take" in capsys.readouterr().out


def test_models_are_judged_by_the_cards_that_the_station_uses(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"engine": {"kind": "ollama"}, "models": [], "expected": {"gpu_devices": [1]}}
    (tmp_path / "station.json").write_text(json.dumps(facts))
    recorded = from_document(json.loads((MACHINES / "nvidia-24gb.json").read_text()))
    asked: list[tuple[str, ...]] = []

    def look(record: object, again: bool, devices: tuple[str, ...]) -> object:
        asked.append(devices)
        return recorded

    monkeypatch.setattr(command, "this_machine", look)
    monkeypatch.setattr(command, "virtual_memory", lambda directory: 0)
    fit()

    assert asked == [("1",)]


def test_a_card_that_the_station_uses_and_is_not_there_is_told(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"engine": {"kind": "ollama"}, "models": [], "expected": {"gpu_devices": ["GPU-0"]}}
    (tmp_path / "station.json").write_text(json.dumps(facts))

    with pytest.raises(StationError, match=r"gridtie_gpu_devices names GPU-0, which .*; (name some of these|leave it)"):
        fit()


def test_a_model_that_lost_its_calls_on_this_engine_is_not_recommended_for_agents(
    fit: Fit, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the engine's present version; another may do better."""
    recorded = from_document(json.loads((MACHINES / "nvidia-24gb.json").read_text()))
    monkeypatch.setattr(command, "_this_machine", lambda *found: recorded)
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path))

    def best(version: str) -> str:
        station = {"schema": 1, "engine": {"kind": "ollama", "version": version}, "models": []}
        (tmp_path / "station.json").write_text(json.dumps(station))
        fit("--for", "agents", "--json")
        models = json.loads(capsys.readouterr().out)["models"]
        return next(model["name"] for model in models if "agents" in (model["recommended"] or ()))

    before = best("0.32.15")
    lost = Result("tools", FAILED, "0 of 10 calls well-formed")
    shown = Acceptance("gridtie/x", before, "sha256:a", 65536, 1, "ollama", "0.32.15", "2026-11-29", 9.0, (lost,))
    (tmp_path / "models").mkdir()
    Acceptances(tmp_path / "models" / "accepted.json").add(shown)

    assert best("0.32.15") != before == best("0.33.3")


@pytest.mark.parametrize(
    ("former", "now"),
    [
        (("--kv-type", "q8_0"), ("--kv", "q8_0")),
        (("--no-flash-attention",), ("--flash-attention", "off")),
        (("--profile", str(MACHINES / "mac-16gb.json")), ("--machine", str(MACHINES / "mac-16gb.json"))),
    ],
)
def test_an_option_by_its_former_name_does_the_same_and_says_so(
    fit: Fit, capsys: pytest.CaptureFixture[str], former: tuple[str, ...], now: tuple[str, ...]
) -> None:
    fit(*former, "--free", "20", "--machine", str(MACHINES / "mac-16gb.json"), "--json")
    old = capsys.readouterr()
    fit(*now, "--free", "20", "--machine", str(MACHINES / "mac-16gb.json"), "--json")
    new = capsys.readouterr()

    assert json.loads(old.out)["models"] == json.loads(new.out)["models"]
    called = now[0] if len(former) == len(now) else " ".join(now)
    assert (old.err, new.err) == (f"{former[0]} is called {called} since 1.1.0; both work\n", "")


def test_json_has_the_need_in_bytes_and_the_reasons(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--free", "7", "--json")
    models = {m["name"]: m for m in json.loads(capsys.readouterr().out)["models"]}
    need = models["qwen2.5-coder:7b"]["need"]

    assert need["total"] == need["weights"] + need["cache"] + need["state"] + need["compute"]
    assert "does not fit" in models["llama3.3:70b"]["why"]


def test_why_explains_one_model_and_says_by_its_exit_status_whether_it_fits(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--free", "7", "--why", "llama3.3:70b") == 1
    assert fit("--free", "7", "--why", "qwen2.5-coder:7b") == 0
    out = capsys.readouterr().out

    assert "no context fits" in out and "weights 4.36 + cache 1.75" in out


def test_why_says_which_layers_keep_what(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--free", "100", "--why", "qwen3-coder-next:latest", "--context", "32768")
    out = capsys.readouterr().out

    assert "0.75 GiB in layers of full attention, 0.07 GiB in layers of recurrent state" in out


@pytest.mark.parametrize(
    ("arguments", "cache_bytes"),
    [
        (("--context", "4096"), 56 * 1024 * 4096),
        (("--context", "4096", "--parallel", "3"), 3 * 56 * 1024 * 4096),
        (("--context", "4096", "--kv", "q8_0"), 56 * 1024 * 4096 * 17 // 32),
    ],
)
def test_context_parallel_and_cache_type_are_counted(
    fit: Fit, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], cache_bytes: int
) -> None:
    fit("--why", "qwen2.5-coder:7b", "--json", "--free", "100", *arguments)

    assert json.loads(capsys.readouterr().out)["need"]["cache"] == cache_bytes


def test_what_is_counted_with_is_the_stations_own_number_of_requests(
    fit: Fit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    models = [{"catalogue": "smollm2:135m", "parallel": 3}]
    (tmp_path / "station.json").write_text(json.dumps({"engine": {"kind": "ollama"}, "models": models}))

    def cache(*arguments: str) -> int:
        fit("--why", "qwen2.5-coder:7b", "--json", "--free", "100", "--context", "4096", *arguments)
        return int(json.loads(capsys.readouterr().out)["need"]["cache"])

    assert cache() == cache("--parallel", "3") == 3 * cache("--parallel", "1")
    assert cache("--machine", str(MACHINES / "mac-16gb.json")) == cache("--parallel", "1"), (
        "another machine's is unknown"
    )


def test_the_batch_that_is_worked_on_at_once_and_the_build_are_counted(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    def compute(*arguments: str) -> int:
        fit("--why", "qwen2.5-coder:7b", "--json", "--free", "100", "--context", "8192", *arguments)
        return int(json.loads(capsys.readouterr().out)["need"]["compute"])

    assert compute("--ubatch", "256") < compute() == compute("--ubatch", "1024") < compute("--ubatch", "2048")
    assert compute() < compute("--build", "11549"), "later builds keep one copy of the embedding more"


def test_another_machine_is_judged_by_its_profile(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--machine", str(MACHINES / "nvidia-2x24gb.json")) == 0
    out = capsys.readouterr().out

    assert "44.3 GiB of 2 cards" in out
    assert "qwen2.5-coder:32b" in out


def test_what_json_says_of_a_machine_is_a_profile_of_it(
    fit: Fit, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fit("--machine", str(MACHINES / "mac-16gb.json"), "--json")
    first = capsys.readouterr().out
    (tmp_path / "again.json").write_text(first)
    fit("--machine", str(tmp_path / "again.json"), "--json")

    assert capsys.readouterr().out == first


def test_main_memory_can_be_asked_for_beside_a_card(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--machine", str(MACHINES / "nvidia-8gb.json"), "--device", "memory", "--json")

    assert json.loads(capsys.readouterr().out)["available_memory"]["name"] == "memory"


def test_names_of_the_version_before_stay_beside_todays(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--machine", str(MACHINES / "nvidia-8gb.json"), "--json")
    found = json.loads(capsys.readouterr().out)

    assert found["room"] == found["available_memory"]
    for model in found["models"]:
        assert model["largest_context"] == model["max_context"]
        assert model["largest_parallel"] == model["max_parallel"]
        assert model["layers_in_room"] == model["gpu_layers"]


def test_no_layer_is_a_graphics_cards_where_the_processor_computes(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    fit("--machine", str(MACHINES / "laptop-8gb.json"), "--json")
    memory = json.loads(capsys.readouterr().out)["models"]
    fit("--machine", str(MACHINES / "mac-16gb.json"), "--json")
    metal = json.loads(capsys.readouterr().out)["models"]

    assert {model["gpu_layers"] for model in memory} <= {0, None}
    assert any(model["gpu_layers"] == model["layers"] for model in metal if model["usable"])


def test_what_others_hold_can_be_left_out(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    profile = str(MACHINES / "laptop-8gb.json")

    assert fit("--machine", profile, "--why", "qwen2.5-coder:7b") == 1
    assert "other programs hold 2.9 GiB" in capsys.readouterr().out
    assert fit("--machine", profile, "--why", "qwen2.5-coder:7b", "--total") == 0


def test_the_figure_that_was_written_down_is_shown_and_nothing_is_measured(
    fit: Fit, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(cpus: list[int], memory: object) -> float:
        raise AssertionError("measured anew")

    monkeypatch.setattr(detect, "_measure", lambda cpus, memory: 1e9)
    fit("--measure", "--json")
    first = json.loads(capsys.readouterr().out)["hardware"]["bandwidth"]
    monkeypatch.setattr(detect, "_measure", unwanted)
    fit("--json")

    assert json.loads(capsys.readouterr().out)["hardware"]["bandwidth"] == first
    assert json.loads((tmp_path / "machine.json").read_text())["bandwidth"] == first


def test_a_speed_that_the_ledger_has_is_called_measured(
    fit: Fit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "tokens_per_second", lambda ledger: {"smollm2:135m": 73.4})
    fit("--why", "smollm2:135m", "--free", "7")
    fit("--json", "--free", "7")
    said, _, document = capsys.readouterr().out.partition("{")
    models = {m["name"]: m for m in json.loads("{" + document)["models"]}

    assert "speed        73.4 tokens/s, measured (" in said
    assert models["smollm2:135m"]["measured_tokens_per_second"] == 73.4
    assert models["smollm2:135m"]["estimated_tokens_per_second"] is None
    assert models["qwen2.5-coder:1.5b"]["measured_tokens_per_second"] is None


def test_one_model_in_full_says_where_it_lies_and_how_many_requests_fit(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    fit("--machine", str(MACHINES / "nvidia-2x24gb.json"), "--why", "qwen2.5-coder:32b")
    out = capsys.readouterr().out

    assert "wholly in 2 cards, split over 2 cards" in out
    assert "at most 2 requests with 32768 tokens each" in out


def test_a_model_that_lies_partly_in_main_memory_says_how_much_and_how_slow(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--machine", str(MACHINES / "nvidia-8gb.json"), "--why", "qwen2.5-coder:14b") == 1
    out = capsys.readouterr().out

    assert (
        "28 of 49 layers on NVIDIA GeForce RTX 4060 with 6.02 GiB, the rest in main memory with 4.37 GiB (as llama.cpp "
        "lays it, not measured)"
    ) in out
    assert "tokens/s, an estimate" in out


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ({"total": 1, "available": 1, "free": 1}, r"memory\.free: unknown key"),
        ({"total": 1}, r"memory\.available is missing"),
        (None, "memory: a mapping was expected"),
    ],
)
def test_a_profile_that_is_not_as_it_should_be_is_refused_by_the_key(
    fit: Fit, tmp_path: Path, memory: dict[str, int] | None, message: str
) -> None:
    profile = json.loads((MACHINES / "mac-16gb.json").read_text())
    profile["hardware"]["memory"] = memory
    (tmp_path / "odd.json").write_text(json.dumps(profile))

    with pytest.raises(StationError, match=rf"odd\.json cannot be used: {message}"):
        fit("--machine", str(tmp_path / "odd.json"))


def test_a_macs_own_graphics_are_named_with_what_they_may_take(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit("--machine", str(MACHINES / "mac-16gb.json"))

    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("graphics"))
    assert line == "graphics   part of Apple M2 (Metal), 10.7 GiB of the memory above at most: used"


def test_asking_for_graphics_without_any_says_what_is_wrong_with_the_cards(fit: Fit) -> None:
    with pytest.raises(StationError, match="Iris Xe Graphics: part of the processor"):
        fit("--machine", str(MACHINES / "laptop-8gb.json"), "--device", "graphics")


@pytest.mark.parametrize("amount", ["nan", "inf", "-3", "much"])
def test_an_amount_of_memory_that_cannot_be_is_refused(
    fit: Fit, capsys: pytest.CaptureFixture[str], amount: str
) -> None:
    with pytest.raises(SystemExit):
        fit(f"--free={amount}")

    assert f"a number of GiB from 0 on was expected, this is '{amount}'" in capsys.readouterr().err


def test_pretended_memory_has_nothing_of_the_engines_in_it(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    machine = {**json.loads((MACHINES / "laptop-8gb.json").read_text())["hardware"], "engine_memory": 1 << 30}
    path = Path(os.environ["GRIDTIE_CONFIG_DIR"]) / "busy.json"
    path.write_text(json.dumps(machine))
    fit("--machine", str(path))
    assert "1.0 by the engine's idle models" in capsys.readouterr().out

    fit("--machine", str(path), "--free", "7")
    assert "idle models" not in capsys.readouterr().out


def test_nothing_that_fits_is_exit_status_one(fit: Fit) -> None:
    assert fit("--free", "0.01") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--why", "qwen3:8b", "qwen3:14b"), "two models were named"),
        (("qwen3:8b", "--gpu-layers", "9"), "--gpu-layers is about graphics cards with memory of their own"),
        (("--catalogue", "/none.json"), "/none.json is not there; run `make site`"),
        (("--kv", "q8_0", "--flash-attention", "off"), "needs flash attention"),
    ],
)
def test_what_cannot_be_asked_is_explained(fit: Fit, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(StationError, match=message):
        fit(*arguments)


def test_a_catalogue_that_is_damaged_is_named(fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text('{"catalogue": {"schema": 1}}')

    with pytest.raises(StationError, match=r"models\.json cannot be used: the key 'models' is missing"):
        fit()


def test_without_a_station_of_ones_own_the_installed_catalogue_is_read(tmp_path: Path) -> None:
    program, installed = tmp_path / "opt" / "bin" / "gridtie", tmp_path / "opt" / "etc" / "models.json"
    assert command.default_catalogue(tmp_path / "etc", program) == CONFIG / "models.yaml", "a checkout has its own"
    installed.parent.mkdir(parents=True)
    installed.write_text("{}")

    assert command.default_catalogue(tmp_path / "etc", program) == installed


def test_whoever_may_not_read_the_stations_own_catalogue_gets_the_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary user on a station: /etc/gridtie is the router's, /opt/gridtie everybody's."""
    own, installed = tmp_path / "etc" / "models.json", tmp_path / "opt" / "etc" / "models.json"
    for path in (own, installed):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) == installed)

    assert command.default_catalogue(own.parent, installed.parents[1] / "bin" / "gridtie") == installed


@pytest.mark.parametrize("model", [[], ["qwen3.5:9b"]], ids=["all of them", "one"])
def test_a_checkout_needs_the_standard_library_alone(tmp_path: Path, model: list[str]) -> None:
    """Without site-packages, and without a station: nobody has to install anything to see what fits."""
    options = [*model, "--machine", str(MACHINES / "mac-16gb.json")]
    done = subprocess.run(
        [sys.executable, "-S", "-m", "gridtie.host", "fit", *options],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(CONFIG.parent / "src"), "GRIDTIE_CONFIG_DIR": str(tmp_path)},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert "unified memory (Metal)" in done.stdout and "qwen3.5:9b" in done.stdout
