"""`gridtie fit MODEL` for all that people type: where a model is found, what it needs, what the engine says of it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridtie.catalogue import load_documents
from gridtie.host import cli
from gridtie.host.commands import fit_one
from gridtie.host.fit.memory import MIB, Settings, need_of_file
from gridtie.host.machine import detect
from gridtie.host.models.engine_server import EngineServer, NotAtHand
from gridtie.host.models.gguf_file import read_header
from standins import fit_shapes, header_gguf
from standins.model_hub import TOKEN, Hub, serving

CONFIG = Path(__file__).parents[4] / "config"
CARD = str(Path(__file__).parents[3] / "fixtures" / "hardware" / "nvidia-8gb.json")
BIG_CARD = str(Path(__file__).parents[3] / "fixtures" / "hardware" / "nvidia-2x24gb.json")
TEMPLATE = "{% if tools %}{{ tools }}{% endif %}"
Fit = Callable[..., int]


def write(path: Path, name: str, **more: object) -> Path:
    wanted = next(header for header in fit_shapes.headers() if header.name == name)
    header_gguf.write(path, wanted.architecture, {**wanted.keys, **more})
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    found = {name: write(folder / f"{name}.gguf", name) for name in ("qwen3-8b", "gemma3-270m", "gpt-oss-20b")}
    found["qwen3.5-9b"] = write(folder / "q.gguf", "qwen3.5-9b", **{"tokenizer.chat_template": TEMPLATE})
    found["gptoss"] = folder / "gptoss.gguf"
    shape = next(header for header in fit_shapes.headers() if header.name == "gpt-oss-20b")
    header_gguf.write(found["gptoss"], "gptoss", shape.keys, header_gguf.tensors_of("gpt-oss", shape.keys))
    return found


@pytest.fixture(scope="module")
def hub(files: dict[str, Path]) -> Iterator[Hub]:
    with serving() as found:
        found.publish("qwen3:4b", files["qwen3-8b"])
        found.publish("someone/oss:20b", files["gptoss"])
        found.upload("owner/x-GGUF", "x-Q4_K_M.gguf", files["qwen3.5-9b"])
        found.upload("lab/secret", "s-Q4_K_M.gguf", files["qwen3.5-9b"])
        found.gated.add("lab/secret")
        found.storage["/m.gguf"] = files["gemma3-270m"]
        yield found


@pytest.fixture(scope="module")
def documents() -> str:
    return json.dumps(load_documents(CONFIG / "models.yaml", CONFIG / "models.lock.yaml"))


@pytest.fixture
def fit(documents: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Runs `gridtie fit ...` as the program does; the station's mirror is the stand-in."""
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr(detect, "_measure", lambda cpus, memory: 1e10)
    (tmp_path / "models.json").write_text(documents)
    facts = {
        "engine": {"kind": "ollama", "version": "0.32.15", "mode": "container", "container": "gridtie-engine-1"},
        "models": [{"name": "gridtie/mine:7b", "catalogue": "mine:7b", "file": "ollama/blobs/sha256-abc"}],
        "sources": {"registry": hub.url, "ca_bundle": ""},
    }
    (tmp_path / "station.json").write_text(json.dumps(facts))
    hub.asked.clear()
    hub.sent = 0
    return lambda *arguments: cli.main(["fit", *arguments])


def document(fit: Fit, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    fit("--json", "--free", "40", *arguments)
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("typed", "file"),
    [
        ("qwen3:4b", "qwen3-8b"),
        ("library/qwen3:4b", "qwen3-8b"),
        ("hf.co/owner/x-GGUF:Q4_K_M", "qwen3.5-9b"),
        ("URL", "gemma3-270m"),
        ("PATH", "gpt-oss-20b"),
    ],
)
def test_what_is_typed_is_predicted_from_its_own_header(
    fit: Fit, hub: Hub, files: dict[str, Path], capsys: pytest.CaptureFixture[str], typed: str, file: str
) -> None:
    name = {"URL": f"{hub.storage_url}/m.gguf", "PATH": str(files[file])}.get(typed, typed)
    need = document(fit, capsys, name, "--context", "16384", "--parallel", "2")["need"]
    wanted = need_of_file(read_header(files[file]), Settings(16384, 2))

    parts = {"weights": wanted.weights, "cache": wanted.kv, "state": wanted.state, "compute": wanted.compute}
    assert need == {**parts, "total": wanted.total}
    assert hub.sent <= 9 * MIB


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (("--kv", "q8_0"), Settings(8192, kv_type="q8_0")),
        (("--flash-attention", "off"), Settings(8192, flash_attention=False)),
        (("--ubatch", "256"), Settings(8192, batch=256)),
        (("--build", "11549"), Settings(8192, build=11549)),
        (("--engine", "embedded"), Settings(8192, engine="embedded")),
        (("--machine", BIG_CARD), Settings(8192)),
    ],
)
def test_every_option_counts_for_a_file_of_ones_own(
    fit: Fit,
    files: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    settings: Settings,
) -> None:
    need = document(fit, capsys, str(files["qwen3-8b"]), "--context", "8192", *options)["need"]

    assert isinstance(need, dict)
    assert need["total"] == need_of_file(read_header(files["qwen3-8b"]), settings).total


def test_why_shows_the_sum_by_kind_of_layer_of_a_file_of_ones_own(
    fit: Fit, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--why", str(files["gemma3-270m"]), "--free", "4", "--context", "8192") == 0
    out = capsys.readouterr().out

    assert re.search(
        r"keeps +0\.02 GiB in layers of full attention, 0\.02 GiB in layers of sliding-window attention", out
    )
    assert "continue a text alone: its file has no chat template" in out
    assert "rank         none: no comparable score is published" in out


def test_a_model_that_the_station_has_is_found_by_its_name(
    fit: Fit, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs = tmp_path / "state" / "models" / "ollama" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "sha256-abc").symlink_to(files["qwen3-8b"])

    assert document(fit, capsys, "mine:7b")["need"] == document(fit, capsys, str(files["qwen3-8b"]))["need"]


def test_a_purpose_is_judged_by_what_the_header_says_that_it_can(
    fit: Fit, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    able = document(fit, capsys, "hf.co/owner/x-GGUF", "--for", "agents", "--machine", BIG_CARD)
    unable = document(fit, capsys, "qwen3:4b", "--for", "agents")

    assert (able["context"], able["usable"]) == (65536, True)
    assert str(unable["why"]).startswith("not for agents: it has no tools")


def test_layers_are_laid_on_the_card_as_somebody_wants(
    fit: Fit, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(files["qwen3-8b"])
    assert fit(name, "--machine", CARD, "--gpu-layers", "20", "--context", "8192") == 0
    out = capsys.readouterr().out
    assert "20 of 37 layers on NVIDIA GeForce RTX 4060 with " in out
    assert fit(name, "--machine", CARD, "--gpu-layers", "36", "--context", "32768") == 1
    assert re.search(r"does not fit: with 36 of 37 layers there, .* needs \d+\.\d GiB", capsys.readouterr().out)

    fit(name, "--machine", CARD, "--gpu-layers", "1", "--context", "8192", "--json")
    few = json.loads(capsys.readouterr().out)
    fit(name, "--machine", CARD, "--gpu-layers", "20", "--context", "8192", "--json")
    more = json.loads(capsys.readouterr().out)
    assert few["gpu_layers"] == 1 and more["gpu_layers"] == 20
    assert few["on_card"] < more["on_card"] and few["in_memory"] > more["in_memory"]


def test_layers_over_several_cards_are_as_many_as_wanted(
    fit: Fit, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(str(files["qwen3-8b"]), "--machine", BIG_CARD, "--gpu-layers", "12", "--json") == 0
    found = json.loads(capsys.readouterr().out)

    assert (found["gpu_layers"], found["layers"]) == (12, 37)


def test_a_token_comes_out_of_a_file_and_is_never_shown(
    fit: Fit, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")

    assert fit("hf.co/lab/secret", "--free", "40", "--token-file", str(tmp_path / "token")) == 0
    said = capsys.readouterr()
    assert TOKEN not in said.out + said.err
    assert any(asked.authorization for asked in hub.asked)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nope:1b",), r"the library http://127.0.0.1:\d+ has no nope:1b"),
        (("quen2.5-coder:7b",), r"has no quen2\.5-coder:7b; .* did you mean qwen2\.5-coder:7b"),
        (("hf.co/lab/secret",), r"lab/secret is gated: accept its terms at .*\(--token-file FILE\)"),
        (("hf.co/no/such",), r"Hugging Face has no no/such"),
        (("hf.co/lab/secret", "--token-file", "/no/token"), r"/no/token cannot be read: No such file or directory"),
        (("hf.co/lab/secret", "--token-file", "/dev/null"), r"/dev/null holds no token"),
        (("/no/where.gguf",), r"/no/where\.gguf: No such file or directory"),
        (("mine:7b",), r"sha256-abc: No such file or directory"),
        (("/etc/hostname",), r"/etc/hostname: not a GGUF file that can be read"),
        (("x:1b", "--registry", "ftp://host"), r"ftp://host.* only http and https"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_status_2(
    fit: Fit, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert fit("--free", "4", *arguments) == 2
    said = capsys.readouterr()

    assert said.out == ""
    assert re.fullmatch(rf"gridtie: .*{message}.*\n", said.err)


def test_a_registry_that_is_not_reached_is_told_in_seconds(
    fit: Fit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(
        fit_one, "Fetcher", lambda bundle, tries: fit_one_fetcher(bundle, tries=tries, pause=pauses.append)
    )

    assert fit("new:1b", "--registry", "http://127.0.0.1:9") == 2
    assert "cannot be fetched after 3 tries" in capsys.readouterr().err
    assert sum(pauses) < 5


fit_one_fetcher = fit_one.Fetcher


def test_a_header_that_only_ollamas_own_build_reads_is_told_before_a_byte_of_the_model_is_fetched(
    fit: Fit, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("someone/oss:20b", "--free", "40", "--engine", "embedded") in (0, 1)
    out = capsys.readouterr().out

    assert "llama.cpp as published cannot read the library's file: it calls its architecture 'gptoss'" in out
    assert hub.sent <= 9 * MIB


# What the engine itself says


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The engine's server is one that writes what is in this file; only the way to it is a stand-in."""
    said = tmp_path / "said.txt"
    program = tmp_path / "server.py"
    program.write_text(
        f"import sys, time\nsys.stderr.write(open({str(said)!r}).read())\nsys.stderr.flush()\ntime.sleep(60)\n"
    )
    server = EngineServer("ollama 0.32.15", [sys.executable, "-I", str(program)], tmp_path, str(tmp_path))
    monkeypatch.setattr(fit_one, "find_server", lambda *known: server)
    return said


def lines(weights: int, cache: float, compute: float) -> str:
    """llama.cpp b10566's own lines, with these figures in MiB."""
    return (
        f"llama_kv_cache: size = {cache:.2f} MiB (\n"
        f"sched_reserve:        CPU compute buffer size = {compute:.2f} MiB\n"
        f"common_memory_breakdown_print: |   - Host  |  {weights + 9} = {weights} + 5 + 4 |\n"
        "common_params_fit_impl: projected\n"
    )


def test_the_engines_own_figure_is_said_beside_the_prediction(
    fit: Fit, files: dict[str, Path], engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = need_of_file(read_header(files["qwen3-8b"]), Settings(8192))
    engine.write_text(lines(round(wanted.weights / MIB), wanted.kv / MIB, wanted.compute / MIB))
    assert fit(str(files["qwen3-8b"]), "--free", "20", "--context", "8192") == 0
    out = capsys.readouterr().out

    assert f"ollama 0.32.15 would reserve {wanted.total / (1 << 30):.2f} GiB (its own dry run)" in out
    assert "WARNING" not in out


def test_more_than_two_percent_of_difference_is_a_warning_that_names_the_rule(
    fit: Fit, files: dict[str, Path], engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.write_text(lines(4000, 3000, 400))
    found = document(fit, capsys, str(files["qwen3-8b"]), "--context", "8192")["engine"]

    assert isinstance(found, dict)
    assert found["need"]["total"] == 7413 * MIB or found["need"]["cache"] == 3000 * MIB
    assert "the rule for 'qwen3' does not hold for its build" in found["warning"]


def test_a_model_that_the_engine_cannot_load_is_told_with_its_own_reason(
    fit: Fit, files: dict[str, Path], engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.write_text("llama_model_load: error loading model: unknown model architecture: 'qwen3'\n")
    assert fit(str(files["qwen3-8b"]), "--free", "20") == 1

    assert "ollama 0.32.15 cannot load it: unknown model architecture: 'qwen3'" in capsys.readouterr().out


def test_an_engine_that_cannot_be_asked_is_said_and_changes_nothing(
    fit: Fit, files: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*known: object) -> EngineServer:
        raise NotAtHand("only root can start it as the engine's user: run it with sudo")

    monkeypatch.setattr(fit_one, "find_server", away)
    assert fit(str(files["qwen3-8b"]), "--free", "20") == 0
    assert "not asked: only root can start it" in capsys.readouterr().out


def test_another_machines_engine_is_not_asked(
    fit: Fit, files: dict[str, Path], engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(str(files["qwen3-8b"]), "--machine", BIG_CARD) == 0
    assert "engine   " not in capsys.readouterr().out
