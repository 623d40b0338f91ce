"""`gridtie models add` and `remove` as a person types them, on a station whose registry, engine and router stand in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gridtie.host import audit
from gridtie.host.cli import main
from gridtie.host.models import standing
from gridtie.host.models.install import InstallError
from gridtie.host.models.provision import provision
from standins import httpd, shape_gguf
from standins.model_registry import Registry, serving
from standins.model_station import AMPLE, SHAPE, SMALL

ARGUMENTS: dict[str, Any] = {
    "models": [], "purposes": ["code"], "engine": "ollama", "container": "", "docker": {}, "owner": None, "group": None,
    "parallel": 1, "kv_type": "f16", "flash_attention": True, "max_download_gb": "auto", "engine_version": "",
    "stock": False, "learned": {}, "learn": True, "graphics": False, "adopted_store": "", "ledger": "", "ca_bundle": "",
    "network": None, "accept_s": 0.0,
}  # fmt: skip


def entry(name: str, shape: Any, purpose: str, size: int) -> dict[str, Any]:
    shown = {key: value for key, value in vars(shape).items() if isinstance(value, (str, int)) and value is not False}
    shown.pop("kv_lora_rank"), shown.pop("rope_length")
    return {
        "name": name, "title": name, "maker": "nobody", "license": {"id": "Apache-2.0", "commercial": True},
        "parameters": 1000, "shape_source": {"kind": "header", "date": "2026-11"}, "shape": shown,
        "file": {"bytes": size, "size": "exact", "quantisation": "Q4_0"}, "capabilities": ["chat"],
        "purposes": [purpose], "sources": [{"ollama": name}],
    }  # fmt: skip


@dataclass
class Machine:
    """A station that the playbook provisioned, and what its command sees."""

    folder: Path
    registry: Registry
    engine: httpd.Httpd
    router: httpd.Httpd
    coder: bytes

    @property
    def models(self) -> Path:
        return self.folder / "state" / "models"

    def provisioned(self, **changes: Any) -> None:
        """What the playbook does: provision, write down what was asked, and describe the station."""
        given = {
            **ARGUMENTS, "models_dir": str(self.models), "registry": self.registry.url,
            "ollama_url": self.engine.url, "catalogue_json": str(self.folder / "models.json"), **changes,
        }  # fmt: skip
        content = json.loads((self.folder / "models.json").read_text())
        order = standing.order_of(given, content["catalogue"], content["lock"], budget=lambda: AMPLE, probe=dict)
        done = provision(order)
        standing.save(given)
        facts = {"schema": 1, "endpoint": self.router.url, "engine": {"kind": given["engine"], "mode": "native"}}
        self.station.write_text(json.dumps({**facts, "models": done.models, "pool": []}))

    @property
    def station(self) -> Path:
        return self.folder / "station.json"

    def served(self) -> dict[str, int]:
        return {model["catalogue"]: model["context"] for model in json.loads(self.station.read_text())["models"]}

    def offered(self, *names: str, context: int = 32768) -> None:
        """What the router lists."""
        data = [{"id": name, "gridtie": {"context": context}} for name in names]
        self.router.answers["/v1/models"] = (200, {"data": data})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with serving() as registry, httpd.serving() as engine, httpd.serving() as router:
        files = {}
        for name, shape in (("small:1m", SMALL), ("coder:1b", SHAPE)):
            path = tmp_path / f"{name}.gguf"
            shape_gguf.write(path, shape)
            files[name] = path.read_bytes()
            registry.add_model(name, files[name])
        engine.answers["/api/version"] = (200, {"version": "0.32.15"})
        engine.answers["/api/generate"] = (200, {"response": " there", "eval_count": 4})
        engine.answers["/api/ps"] = (200, {"models": []})
        registry.files["/v2/"] = b"{}"
        entries = [
            entry("small:1m", SMALL, "smoke-test", len(files["small:1m"])),
            entry("coder:1b", SHAPE, "code", len(files["coder:1b"])),
        ]
        content = {"catalogue": {"schema": 1, "models": entries}, "lock": {"schema": 1, "models": {}}}
        (tmp_path / "models.json").write_text(json.dumps(content))
        (tmp_path / "machine.json").write_text("{}")
        (tmp_path / "station.key").write_text("gt-key\n")
        (tmp_path / "state").mkdir()
        monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
        monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path / "state"))
        monkeypatch.setenv("SUDO_USER", "alice")
        monkeypatch.setattr("gridtie.host.machine.detect._measure", lambda *machine: 5e9)
        found = Machine(tmp_path, registry, engine, router, files["coder:1b"])
        found.provisioned()
        yield found


def added(machine: Machine) -> list[dict[str, Any]]:
    path = machine.models / "added.json"
    return list(json.loads(path.read_text())["models"]) if path.exists() else []


def test_a_model_of_the_catalogue_is_shown_fetched_served_and_remembered(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.offered("gridtie/coder:1b")
    assert main(["models", "add", "coder:1b", "--yes"]) == 0
    told = capsys.readouterr().out

    assert "licence      Apache-2.0" in told and "needs " in told and " MB (ollama: coder:1b)" in told
    assert 'served as "coder:1b": 32768 tokens of context' in told
    assert machine.served() == {"small:1m": 8192, "coder:1b": 32768}
    (noted,) = audit.read(audit.of_host(machine.station.parent))
    assert (noted["what"], noted["models"]) == ("models served", ["gridtie/small:1m", "gridtie/coder:1b"])
    assert [(each["name"], each["by"]) for each in added(machine)] == [("coder:1b", "alice")]
    asked = [each.body["model"] for each in machine.engine.asked if each.path == "/api/generate"]
    assert asked[-1] == "gridtie/coder:1b", "it answered before it was served"


def test_a_run_of_the_playbook_after_it_finds_nothing_to_change(machine: Machine) -> None:
    machine.offered("gridtie/coder:1b", context=4096)
    main(["models", "add", "coder:1b", "--yes", "--context", "4096"])
    before = json.loads(machine.station.read_text())
    machine.provisioned()

    assert json.loads(machine.station.read_text()) == before


def test_station_json_is_written_as_the_playbook_writes_it(machine: Machine) -> None:
    """Else the next run would say that it changed something. Ansible's own filter, with the role's arguments."""
    from ansible.plugins.filter.core import to_nice_json

    machine.station.chmod(0o640)
    machine.offered("gridtie/coder:1b")
    main(["models", "add", "coder:1b", "--yes"])
    text = machine.station.read_text()

    assert text == to_nice_json(json.loads(text), indent=2) + "\n"
    assert machine.station.stat().st_mode & 0o777 == 0o640
    assert not list(machine.folder.glob(".station*"))


def test_a_model_of_the_library_that_nobody_listed(machine: Machine, tmp_path: Path) -> None:
    shape_gguf.write(tmp_path / "fable.gguf", replace(SHAPE, vocab_size=200))
    manifest = machine.registry.add_model("fable:12b", (tmp_path / "fable.gguf").read_bytes())
    machine.offered("gridtie/fable:12b", context=2048)
    assert main(["models", "add", "fable:12b", "--yes", "--context", "2048"]) == 0

    (kept,) = added(machine)
    assert (kept["ollama"], kept["manifest"], kept["context"]) == ("fable:12b", manifest.digest[7:], 2048)
    assert machine.served()["fable:12b"] == 2048


def test_a_file_by_url_and_one_by_path(machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine.registry.files["/files/My.Model-Q4.gguf"] = machine.coder
    machine.offered("gridtie/my.model-q4:latest", "gridtie/mine:1")
    assert main(["models", "add", f"{machine.registry.url}/files/My.Model-Q4.gguf", "--yes"]) == 0
    shape_gguf.write(tmp_path / "other.gguf", replace(SHAPE, vocab_size=300))
    assert main(["models", "add", str(tmp_path / "other.gguf"), "--name", "mine:1", "--yes"]) == 0

    first, second = added(machine)
    assert first["sha256"] == hashlib.sha256(machine.coder).hexdigest() and first["name"] == "my.model-q4:latest"
    assert second["gguf"] == str(tmp_path / "other.gguf") and second["name"] == "mine:1"
    assert "gridtie_models: [{name: mine:1, context: 32768, gguf: " in capsys.readouterr().out


@pytest.mark.parametrize("engine", ["ollama", "embedded"])
def test_a_model_of_ones_own_gets_another_context_by_the_name_that_it_has_here(
    machine: Machine, tmp_path: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file need not be where it was."""
    machine.engine.answers["/health"] = (200, {"status": "ok"})
    machine.engine.answers["/completion"] = (200, {"content": " there", "tokens_predicted": 4})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gridtie.host.models.standing.reached", lambda url, container, docker: machine.engine.url)
        machine.provisioned(engine=engine)
        shape_gguf.write(tmp_path / "mine.gguf", replace(SHAPE, vocab_size=300))
        machine.offered("gridtie/mine:1", context=2048)
        first = ["add", str(tmp_path / "mine.gguf"), "--name", "mine:1"]
        assert main(["models", *first, "--context", "2048", "--yes"]) == 0
        (tmp_path / "mine.gguf").unlink()
        machine.offered("gridtie/mine:1", context=4096)
        assert main(["models", "add", "mine:1", "--context", "4096", "--yes"]) == 0
        capsys.readouterr()
        assert main(["models", "add", "mine:1", "--yes"]) == 1

    assert "mine:1 is here already, with 4096 tokens of context" in capsys.readouterr().err
    assert machine.served() == {"small:1m": 8192, "mine:1": 4096}
    assert [each["context"] for each in added(machine)] == [4096]


def test_removed_it_is_no_longer_served_nor_on_the_disk(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.offered("gridtie/coder:1b")
    main(["models", "add", "coder:1b", "--yes"])
    digest = next(
        m["digest"] for m in json.loads(machine.station.read_text())["models"] if m["catalogue"] == "coder:1b"
    )
    loaded = {"name": "gridtie/coder:1b", "digest": digest[7:], "size": 1}
    machine.engine.answers["/api/ps"] = (200, {"models": [loaded]})
    machine.offered("gridtie/small:1m")
    capsys.readouterr()
    assert main(["models", "remove", "coder:1b"]) == 0

    told = capsys.readouterr().out
    assert "unloaded from the engine: gridtie/coder:1b" in told and "coder:1b is no longer served" in told
    assert machine.served() == {"small:1m": 8192} and added(machine) == []
    assert hashlib.sha256(machine.coder).hexdigest() not in str(list((machine.models / "ollama" / "blobs").iterdir()))


def test_the_list_says_where_each_is_from(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.offered("gridtie/coder:1b", context=4096)
    main(["models", "add", "coder:1b", "--yes", "--context", "4096"])
    capsys.readouterr()
    assert main(["models", "list"]) == 0

    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "added by alice, " in rows["gridtie/coder:1b"] and " 4096 " in rows["gridtie/coder:1b"]
    assert " gridtie_models " in rows["gridtie/small:1m"]
    assert " the library, or a person " in rows["coder:1b"]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["nothing:9b"], 1, "has no nothing:9b"),
        (["codr:1b"], 1, "did you mean coder:1b"),
        (["/nowhere/x.gguf"], 1, "/nowhere/x.gguf: No such file or directory"),
        (["coder:1b", "--context", "65536"], 1, "coder:1b was trained for 32768 tokens of context, found 65536"),
        (["coder:1b", "--context", "-1"], 2, "--context is -1; wanted: a number of tokens"),
        (["coder:1b", "--name", "mine:1"], 1, "coder:1b is a name of the catalogue"),
        (["small:1m"], 1, "small:1m is here already, with 8192 tokens"),
        (["{url}/none.gguf"], 1, "none.gguf cannot be fetched: HTTP 404"),
        (["{url}/text.gguf"], 1, "not a GGUF file that can be read"),
        (["{url}/mine.gguf", "--name", "mine"], 1, "'mine' is not of the form model:tag"),
        (["{url}/mine.gguf", "--name", "coder:1b"], 1, "coder:1b is a name of the catalogue"),
        (["gpt-oss:120b-cloud"], 1, "runs at ollama.com"),
        (["coder:1b", "--token-file", "/nowhere"], 2, "/nowhere cannot be read: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_added_is_one_sentence_and_nothing_is_fetched(
    machine: Machine, arguments: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.registry.files.update({"/mine.gguf": machine.coder, "/text.gguf": b"<html>sign in</html>" * 99})
    before = sorted(machine.models.rglob("*"))
    assert main(["models", "add", *(word.format(url=machine.registry.url) for word in arguments), "--yes"]) == status
    told = capsys.readouterr()

    assert sentence in told.err and len(told.err.splitlines()) == 1
    assert sorted(machine.models.rglob("*")) == before and machine.served() == {"small:1m": 8192}


def test_a_context_that_does_not_fit_is_refused_with_one_that_does(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = replace(AMPLE, total=1 << 28, available=150 << 20)
    monkeypatch.setattr("gridtie.host.commands.models_change.budget_for", lambda *machine: tight)
    machine.provisioned(parallel=4)
    assert main(["models", "add", "coder:1b", "--context", "32768", "--yes"]) == 1
    told = capsys.readouterr().err

    assert "does not fit" in told and "gridtie_models:" not in told
    context = int(told.split("it fits as --context ")[1])
    machine.offered("gridtie/coder:1b", context=context)
    assert main(["models", "add", "coder:1b", "--context", str(context), "--yes"]) == 0


def test_a_full_disk_is_told_before_anything_is_fetched(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        free = 1 << 20

    monkeypatch.setattr("gridtie.host.models.install_all.shutil.disk_usage", lambda path: Full)
    machine.registry.requests.clear()
    assert main(["models", "add", "coder:1b", "--yes"]) == 1

    assert "too little disk at" in capsys.readouterr().err
    assert not [path for path, _ in machine.registry.requests if "/blobs/" in path]


def test_where_nobody_can_be_asked_it_wants_to_be_told(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.registry.requests.clear()
    assert main(["models", "add", "coder:1b"]) == 2

    assert "say --yes" in capsys.readouterr().err and added(machine) == []
    assert not [path for path, _ in machine.registry.requests if "/blobs/" in path]


@pytest.mark.parametrize(("answer", "status"), [("n\n", 1), ("\n", 1), ("y\n", 0)])
def test_a_person_is_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, status: int
) -> None:
    class Terminal:
        isatty = staticmethod(lambda: True)
        readline = staticmethod(lambda: answer)

    machine.offered("gridtie/coder:1b")
    monkeypatch.setattr("gridtie.host.commands.models_change.sys.stdin", Terminal)
    assert main(["models", "add", "coder:1b"]) == status

    assert "Fetch coder:1b and serve it? [y/N]" in capsys.readouterr().out
    assert bool(added(machine)) is (status == 0)


def test_what_the_inventory_declares_is_changed_there(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.provisioned(models=[{"name": "coder:1b", "context": 4096}])
    assert main(["models", "add", "coder:1b", "--context", "8192", "--yes"]) == 1
    assert (
        "declared by gridtie_models with 4096 tokens of context: change it in the inventory" in capsys.readouterr().err
    )
    assert main(["models", "remove", "coder:1b"]) == 1
    assert "coder:1b is declared or chosen by gridtie_models" in capsys.readouterr().err
    assert main(["models", "remove", "other:1b"]) == 1
    assert "no model 'other:1b' was added on this machine" in capsys.readouterr().err


def test_where_pins_are_required_what_has_none_is_refused(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.registry.files["/mine.gguf"] = machine.coder
    machine.provisioned(learn=True)
    given = standing.load(machine.models)
    standing.save({**given, "learn": False, "learned": {"small:1m": {"manifest": "0" * 64}}})
    assert main(["models", "add", f"{machine.registry.url}/mine.gguf", "--yes"]) == 1
    assert (
        "gridtie_pins is require, and no digest is known for it: give its sha256 with --sha256"
        in capsys.readouterr().err
    )
    assert main(["models", "add", "coder:1b", "--yes"]) == 1
    assert "fill the inventory's lock" in capsys.readouterr().err


def test_a_wrong_hash_is_told_and_nothing_is_kept(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.registry.files["/mine.gguf"] = machine.coder
    assert main(["models", "add", f"{machine.registry.url}/mine.gguf", "--sha256", "0" * 64, "--yes"]) == 1

    assert "has the wrong content" in capsys.readouterr().err and added(machine) == []


def test_a_router_that_does_not_take_it_up_is_told(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridtie.host.models.served.WAIT_S", 0.1)
    machine.router.answers["/v1/models"] = (401, {"error": {"message": "this key is not known", "code": "key"}})
    assert main(["models", "add", "coder:1b", "--yes"]) == 1

    assert "coder:1b is installed, and this key is not known" in capsys.readouterr().err
    assert [each["name"] for each in added(machine)] == ["coder:1b"]


def test_who_may_not_change_models_is_told_to_use_sudo(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Membership in the group reads and changes nothing: models are root's."""
    monkeypatch.setattr("gridtie.host.commands.models_change.os.access", lambda path, mode: False)
    for command in (["add", "coder:1b", "--yes"], ["remove", "coder:1b"]):
        assert main(["models", *command]) == 2
        assert "models are root's; run it with sudo" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "sentence"), [(None, "no station of this version"), ("{", "cannot be used")])
def test_without_a_run_of_this_version_it_says_what_to_do(
    machine: Machine, capsys: pytest.CaptureFixture[str], text: str | None, sentence: str
) -> None:
    path = machine.models / "order.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert main(["models", "add", "coder:1b", "--yes"]) == 2

    told = capsys.readouterr().err
    assert sentence in told and "run `make site`" in told


@pytest.mark.parametrize("words", [["add", "coder:1b", "--yes"], ["remove", "coder:1b"]])
def test_a_station_that_has_turned_to_vllm_keeps_its_model(
    machine: Machine, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """What Ollama was asked for is still written down."""
    station = {**json.loads(machine.station.read_text()), "engine": {"kind": "vllm", "mode": "container"}}
    machine.station.write_text(json.dumps(station))

    assert main(["models", *words]) == 2

    assert "engine is vllm, which serves the one model that its inventory names" in capsys.readouterr().err
    assert json.loads(machine.station.read_text()) == station


def test_on_vllm_its_model_is_listed_and_no_store_is_wanted(
    machine: Machine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    checkpoint = {"name": "gridtie/qwen3:8b", "context": 32768, "bytes": 16_400_000_000, "digest": "sha256:abc"}
    station = {"schema": 1, "engine": {"kind": "vllm"}, "models": [checkpoint]}
    machine.station.write_text(json.dumps(station))

    assert main(["models", "list"]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert row.split() == ["gridtie/qwen3:8b", "gridtie_vllm_model", "32768", "16.40", "GB", "sha256:abc"]
    assert main(["models", "export", str(tmp_path / "copy")]) == 2
    assert "engine is vllm" in capsys.readouterr().err


def test_what_is_written_down_is_for_root_alone(machine: Machine) -> None:
    """It has the way out of the machine in it, and a proxy's address may have a password."""
    machine.provisioned(network={"https_proxy": "http://user:secret@proxy:3128"})

    assert (machine.models / "order.json").stat().st_mode & 0o777 == 0o600
    assert standing.load(machine.models)["network"] == {"https_proxy": "http://user:secret@proxy:3128"}


@pytest.mark.parametrize("content", ["old\nhf_s3cret\n", "hf_s3cret\U0001f600", ""])
def test_a_file_that_holds_no_token_is_told_and_shown_to_nobody(
    content: str, machine: Machine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    assert main(["models", "add", "hf.co/owner/x-GGUF:Q4_K_M", "--token-file", str(path)]) == 2
    told = capsys.readouterr()

    assert "holds no token" in told.err and "s3cret" not in told.err + told.out


@pytest.mark.parametrize("engine", ["ollama", "embedded"])
@pytest.mark.parametrize("ends", ["it does not run", "somebody ends it", "station.json cannot be written"])
def test_a_model_that_cannot_have_more_context_stays_as_it_was(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, ends: str
) -> None:
    machine.engine.answers["/health"] = (200, {"status": "ok"})
    machine.engine.answers["/completion"] = (200, {"content": " there", "tokens_predicted": 4})
    monkeypatch.setattr("gridtie.host.models.standing.reached", lambda url, container, docker: machine.engine.url)
    machine.provisioned(engine=engine)
    shape_gguf.write(tmp_path / "mine.gguf", replace(SHAPE, vocab_size=300))
    machine.offered("gridtie/mine:1", context=2048)
    assert main(["models", "add", str(tmp_path / "mine.gguf"), "--name", "mine:1", "--context", "2048", "--yes"]) == 0
    kept = [machine.models / name for name in ("added.json", "embedded.json")] + [machine.station]
    kept += [path for path in (machine.models / engine / "manifests").rglob("*") if path.is_file()]
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in kept if path.exists()}

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if ends == "it does not run":
        failure = (500, {"error": {"message": "out of memory"}})
        machine.engine.answers.update({"/api/generate": failure, "/completion": failure})
    elif ends == "somebody ends it":
        monkeypatch.setattr("gridtie.host.models.shown.answers", interrupted)
    else:
        monkeypatch.setattr("gridtie.host.models.served._write", full)
    assert main(["models", "add", "mine:1", "--context", "4096", "--yes"]) in (1, 2, 130)

    assert {path: (path.read_bytes(), path.stat().st_mode) for path in before} == before
    assert not list(machine.models.glob(".added.json*")) and "mine:1" in machine.served()


def test_what_was_added_is_told_to_the_router_before_another_run_may_begin(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the slower of two would write what it knew before the other."""
    held = []

    def told(path: Path, models: Any) -> None:
        with pytest.raises(InstallError, match="another run is installing models"):
            machine.provisioned()
        held.append(len(models))

    monkeypatch.setattr("gridtie.host.models.served._write", told)
    monkeypatch.setattr("gridtie.host.models.served.WAIT_S", 0.0)
    machine.offered("gridtie/coder:1b")
    assert main(["models", "add", "coder:1b", "--yes"]) == 0
    assert held == [2]


def test_removing_on_a_full_disk_is_one_sentence_and_can_be_done_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.offered("gridtie/coder:1b")
    main(["models", "add", "coder:1b", "--yes"])
    with monkeypatch.context() as patch:

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device", str(machine.models))

        patch.setattr("gridtie.host.models.provision.write_added", full)
        capsys.readouterr()
        assert main(["models", "remove", "coder:1b"]) == 1
        assert capsys.readouterr().err == f"gridtie: {machine.models}: No space left on device\n"
    machine.offered("gridtie/small:1m")
    assert main(["models", "remove", "coder:1b"]) == 0
