"""A station of 1.0.0 with a ledger, keys and edited rules becomes one of this checkout, and goes back.

The tests are the chapters of one story and run in the order they stand in. What is typed is what docs/upgrade.md says.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import history
from lab.host import CHECKOUT, Host, succeeded
from lab.prepared import load, prepared

TESTS = Path(__file__).parents[1]
OLD = "1.0.0"
SITE = 'make site ARGS="-e gridtie_engine=embedded"'
LEDGER = "/var/lib/gridtie/ledger/ledger.sqlite"
COPIES = "/var/lib/gridtie/ledger/ledger-schema1-*.sqlite"
# What a station of 1.0.0 recorded at first use, in its own two files.
PINS = {
    "/etc/gridtie/pins.json": {"schema": 1, "images": {"docker.io/library/debian:trixie-slim": f"sha256:{'a' * 64}"}},
    "/var/lib/gridtie/models/pins.json": {"schema": 1, "models": {"llama3.2:1b": {"manifest": "b" * 64}}},
}
# What was called otherwise then, as an owner of 1.0.0 has it: a variable in the inventory, a machine that was recorded.
# The routing file of 1.0.0 has the others (`floor`, the alias and the purpose `probe`), and stays as it is.
INVENTORY = "inventories/localhost/group_vars/all.yml"
OLD_VARIABLE = "gridtie_require_pins: false\n"
RECORDED = "~/machine.json"
STATION_KEY, APP_KEY = ".config/gridtie/key", "app.key"
CLOUD_PORT = 8443

# A person's edits, each at its line: a cloud, a rule with a tag in capitals, an alias in capitals, a budget.
EDITS = {
    "rules:\n": """rules:
  - name: health
    when: {tags: [HIPAA]}
    use: [local]
    never: cloud

""",
    "budgets: []\n": "budgets:\n  - {name: app, usd: 0.01, period: month, key: app}\n",
    "    # cloud: {provider: openai, model: gpt-5.4-mini}\n": "    cloud: {provider: openai, model: gpt-5.4-mini}\n",
    "  chat:\n": """  Reviewer:
    local: auto
    purpose: code
    cloud: {provider: openai, model: gpt-5.4-mini}

  chat:
""",
    "models:\n": """  openai:
    type: openai
    base_url: https://{address}:{port}/v1
    locality: cloud
    key_file: secrets/openai
    ca_file: /etc/gridtie/cloud-ca.pem

models:
""",
}
# Prompts of which one costs $0.006 at the cloud that is priced as gpt-5.4-mini: the budget pays one of them, not two.
LONG, SHORT = "word " * 6400, "Say hello."
VISION = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
]

# One request as a program of somebody sends it, and what came back. `leave`: gone after the first piece of the answer.
ASK = """
import json, sys, urllib.error, urllib.request
from pathlib import Path
asked = json.load(sys.stdin)
key = Path.home().joinpath(asked["key"]).read_text().strip()
body = {"model": asked["model"], "max_tokens": asked["max_tokens"], "stream": asked["leave"],
        "messages": [{"role": "user", "content": asked["prompt"]}]}
body = {name: value for name, value in body.items() if value is not None}
headers = {"authorization": f"Bearer {key}", "content-type": "application/json", **asked["headers"]}
request = urllib.request.Request("http://127.0.0.1:8484/v1/chat/completions", json.dumps(body).encode(), headers)
try:
    answer = urllib.request.urlopen(request, timeout=120)
except urllib.error.HTTPError as error:
    answer = error
text = answer.readline().decode() if asked["leave"] else answer.read().decode()
answer.close()
told = {name.lower().removeprefix("x-gridtie-"): value for name, value in answer.headers.items()}
print(json.dumps({"status": answer.status, "text": text, **told}))
"""
ROWS = (
    "import json, sqlite3, sys; ledger = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True);"
    "ledger.row_factory = sqlite3.Row;"
    "print(json.dumps({row['id']: dict(row) for row in ledger.execute('SELECT * FROM requests')}))"
)
VERSION = (
    "import sqlite3, sys; print(*sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)"
    ".execute('PRAGMA user_version').fetchone())"
)


class Before:
    """What the station of 1.0.0 had in the end."""

    def __init__(self, asked: dict[str, str], rows: dict[str, Any], usage: dict[str, Any]) -> None:
        self.asked, self.rows, self.usage = asked, rows, usage


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A machine with a clone that is at 1.0.0, where `new` is this checkout; a cloud listens on its own address."""
    tag = history.router(tmp_path_factory.mktemp("old"), OLD)
    with prepared("router", "engine-embedded", options=(f"--volume={TESTS}:/tests:ro",)) as host:
        load(host, tag)
        history.clone(host, OLD)
        yield host


def add_cloud(machine: Host) -> str:
    """A stand-in cloud of the machine's owner, its key and authority where the router reads them; gives its address."""
    address = machine.root("hostname -i").split()[0]
    run = (
        f"-p WorkingDirectory=/tests -E PYTHONDONTWRITEBYTECODE=1 python3 -m standins.cloud --openai-port {CLOUD_PORT}"
    )
    machine.root(f"systemd-run --quiet --unit=cloud {run} --host 0.0.0.0 --name {address} --directory /srv/cloud")
    machine.root(f"for i in $(seq 100); do ss -Hltn | grep -q :{CLOUD_PORT} && exit; sleep 0.1; done; exit 1")
    machine.root("install -m 0640 -g gridtie /dev/stdin /etc/gridtie/secrets/openai <<<sk-standin")
    machine.root("install -m 0644 /srv/cloud/ca.pem /etc/gridtie/cloud-ca.pem")
    return address


def edit(machine: Host, **values: object) -> None:
    """Change config/llm_routing.yaml line by line, as a person with an editor does."""
    path = "config/llm_routing.yaml"
    text = succeeded(machine.run(f"cat {path}"))
    for line, instead in EDITS.items():
        assert text.count(f"\n{line}") == 1, line
        for name, value in values.items():
            instead = instead.replace("{" + name + "}", str(value))
        text = text.replace(f"\n{line}", f"\n{instead}")
    machine.write(f"/home/dev/gridtie/{path}", text)


def ask(
    machine: Host,
    prompt: object = SHORT,
    *,
    key: str = STATION_KEY,
    model: str = "coder",
    max_tokens: int | None = 16,
    leave: bool = False,
    **claims: str,
) -> dict[str, Any]:
    """What came of one chat; `claims` are headers of ours."""
    headers = {f"x-gridtie-{name}": value for name, value in claims.items()}
    given = {"key": key, "model": model, "max_tokens": max_tokens, "leave": leave, "prompt": prompt, "headers": headers}
    command = ["docker", "exec", "-i", "--user", "dev", machine.name, "python3", "-c", ASK]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows(machine: Host, ledger: str = LEDGER) -> dict[str, Any]:
    """The rows of a ledger, by the ids of their requests."""
    found: dict[str, Any] = json.loads(machine.root(f'python3 -c "{ROWS}" {ledger}'))
    return found


def rows_of(machine: Host, ids: set[str]) -> dict[str, Any]:
    """The rows of the station's ledger once those of these requests are among them."""
    deadline = time.monotonic() + 20
    while not ids <= (found := rows(machine)).keys():
        assert time.monotonic() < deadline, ids - found.keys()
        time.sleep(0.5)
    return found


def schema(machine: Host, ledger: str = LEDGER) -> int:
    return int(machine.root(f'python3 -c "{VERSION}" {ledger}'))


def usage(machine: Host) -> dict[str, Any]:
    """The report of `gridtie usage`, with its lines by key."""
    report: dict[str, Any] = json.loads(succeeded(machine.run("gridtie usage --by key --json")))
    return report | {"keys": {line["group"]: line for line in report["groups"]}}


def healthy(machine: Host) -> None:
    assert json.loads(succeeded(machine.run("sudo gridtie doctor --json")))["verdict"] == "PASS"


def tried(machine: Host, answer: dict[str, Any]) -> set[str]:
    """Where a request was sent, as the router tells it."""
    row = json.loads(succeeded(machine.run(f"gridtie requests {answer['request-id']} --json")))
    return {attempt["locality"] for attempt in row["tries"] if attempt["outcome"] != "skipped"}


@pytest.fixture(scope="module")
def before(machine: Host) -> Before:
    """The station of 1.0.0: made, given a cloud, a key and rules of its owner's, and used."""
    machine.write(f"/home/dev/gridtie/{INVENTORY}", OLD_VARIABLE)
    succeeded(machine.run(SITE))
    edit(machine, address=add_cloud(machine), port=CLOUD_PORT)
    succeeded(machine.run(f"umask 077; sudo gridtie keys add app --environment production >~/{APP_KEY}"))
    succeeded(machine.run(SITE))
    came = {
        "answered": ask(machine),
        "private": ask(machine, tags="private"),
        "refused": ask(machine, VISION, tags="private"),
        "left": ask(machine, leave=True, max_tokens=400),
        "tagged": ask(machine, environment="production", tags="hipaa"),
        "paid": ask(machine, LONG, key=APP_KEY),
        "above the budget": ask(machine, LONG, key=APP_KEY),
    }
    told = {name: (answer["status"], answer.get("locality")) for name, answer in came.items()}
    assert told["answered"] == told["private"] == told["left"] == (200, "local"), came
    # What its owner upgrades for: the rule has the tag in capitals.
    assert told["paid"] == told["tagged"] == (200, "cloud"), came
    assert told["refused"][0] == 400, came
    assert told["above the budget"][0] == 402, came
    asked = {name: str(answer["request-id"]) for name, answer in came.items()}
    succeeded(machine.run(f"sudo gridtie fit --json >{RECORDED}"))
    assert schema(machine) == 1
    return Before(asked, rows_of(machine, set(asked.values())), usage(machine))


def test_a_clone_without_the_history_is_told_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shallow = ["git", "clone", "--quiet", "--depth", "1", f"file://{CHECKOUT}", str(tmp_path / "clone")]
    subprocess.run(shallow, check=True, capture_output=True)
    monkeypatch.setattr(history, "CHECKOUT", tmp_path / "clone")

    with pytest.raises(LookupError, match=r"gridtie 1\.0\.0, is not in this clone .* git fetch --unshallow"):
        history.archive(OLD)


def test_a_routing_file_that_it_would_not_accept_stops_the_upgrade_before_anything_changes(
    machine: Host, before: Before
) -> None:
    history.switch(machine, "new")
    path = "config/llm_routing.yaml"
    succeeded(machine.run(f"cp {path} ~/kept && sed -i '/^  Reviewer:/i\\  reviewer: {{local: auto}}' {path}"))

    result = machine.run(SITE)

    succeeded(machine.run(f"cp ~/kept {path}"))
    assert result.code != 0
    assert "differ by case alone" in result.output
    assert "Nothing has been changed." in result.output
    assert schema(machine) == 1
    assert ask(machine)["locality"] == "local"


def test_the_playbook_of_this_checkout_upgrades_it_and_the_doctor_passes(machine: Host, before: Before) -> None:
    for path, pins in PINS.items():
        machine.root(f"echo '{json.dumps(pins)}' >{path}")

    output = succeeded(machine.run(SITE))

    assert "PASS" in output
    healthy(machine)


def test_what_it_had_recorded_of_digests_is_in_the_lock_and_still_where_it_was(machine: Host) -> None:
    lock = yaml.safe_load(succeeded(machine.run("cat inventories/localhost/gridtie.lock.yaml")))

    assert lock["images"] == {
        reference: {"digest": digest, "learned_by": "localhost"}
        for reference, digest in PINS["/etc/gridtie/pins.json"]["images"].items()
    }
    assert lock["models"] == {"llama3.2:1b": {"manifest": "b" * 64, "learned_by": "localhost"}}
    # 1.0.0 reads them there, should the station go back.
    assert {path: json.loads(machine.root(f"cat {path}")) for path in PINS} == PINS


@pytest.fixture(scope="module")
def second_run(machine: Host) -> str:
    """What a run says that finds the station upgraded, with lines that a terminal broke put together."""
    return " ".join(succeeded(machine.run(SITE)).split())


def test_a_second_run_changes_nothing(second_run: str) -> None:
    assert "changed=0" in second_run


def test_a_variable_by_its_old_name_counts_and_each_run_says_the_new_one_once(machine: Host, second_run: str) -> None:
    told = "gridtie_require_pins is called gridtie_pins now (true is require, false is learn)"
    assert second_run.count(told) == 1
    # Neither the file nor what it says was touched.
    assert succeeded(machine.run(f"cat {INVENTORY}")) == OLD_VARIABLE

    refused = machine.run(f'{SITE[:-1]} -e gridtie_require_pins=perhaps"')

    assert refused.code != 0
    assert "gridtie_require_pins is 'perhaps'" in " ".join(refused.output.split())


def test_old_names_in_the_routing_file_hold_and_the_doctor_tells_each_new_one_once(machine: Host) -> None:
    checks = json.loads(succeeded(machine.run("sudo gridtie doctor --json")))["checks"]
    (found,) = (check["found"] for check in checks if "`floor` is called" in check["found"])

    assert found.count("`floor` is called `min_score` since 1.1.0") == 1
    assert found.count('the alias "probe" is called "smoke-test" since 1.1.0') == 1
    assert found.count('the purpose "probe" is called "smoke-test" since 1.1.0') == 1
    for alias in ("probe", "smoke-test"):
        assert ask(machine, model=alias)["locality"] == "local"


def test_options_by_their_old_names_do_what_the_new_ones_do_and_say_so_beside_the_output(machine: Host) -> None:
    old = f"gridtie fit --json --profile {RECORDED} --kv-type f16 --no-flash-attention"
    new = f"gridtie fit --json --machine {RECORDED} --kv f16 --flash-attention off"

    told = succeeded(machine.run(f"{old} 2>&1 >~/old.json"))
    silent = succeeded(machine.run(f"{new} 2>&1 >~/new.json"))

    assert told.splitlines() == [
        "--profile is called --machine since 1.1.0; both work",
        "--kv-type is called --kv since 1.1.0; both work",
        "--no-flash-attention is called --flash-attention off since 1.1.0; both work",
    ]
    assert silent == ""
    found, wanted = (json.loads(succeeded(machine.run(f"cat ~/{name}.json"))) for name in ("old", "new"))
    assert found == wanted
    # What a program of before reads.
    assert found["room"] == found["available_memory"]
    assert {model["largest_context"] == model["max_context"] for model in found["models"]} == {True}


def test_its_engine_is_a_user_of_its_own_and_models_are_roots(machine: Host) -> None:
    users = machine.root("docker inspect --format '{{.Config.User}}' gridtie-engine-1 gridtie-router-1").split()

    assert users[0] == machine.root("echo $(id -u gridtie-engine):$(id -g gridtie-engine)").strip()
    assert users[1] == machine.root("echo $(id -u gridtie):$(id -g gridtie)").strip()
    assert machine.root("find /var/lib/gridtie/models ! -user root") == ""


def test_its_old_requests_are_there_and_no_row_of_them_has_changed(machine: Host, before: Before) -> None:
    now = rows(machine)

    assert schema(machine) == 3
    for name, id in before.asked.items():
        assert {column: now[id][column] for column in before.rows[id]} == before.rows[id], name


def test_usage_shows_them_under_the_new_names_and_its_sums_add_up(machine: Host, before: Before) -> None:
    report = usage(machine)

    app, old = report["keys"]["app"], before.usage["keys"]["app"]
    same = ("requests", "answered", "refused", "failed", "cost_usd", "input_tokens", "output_tokens")
    assert {name: app[name] for name in same} == {name: old[name] for name in same}
    station = report["keys"]["station"]
    assert {"interrupted", "cancelled", "unpriced", "estimated"} <= set(station)
    assert "broken_off" not in station
    assert station["refused"] == 1
    assert station["interrupted"] + station["cancelled"] == 1
    for line in report["groups"]:
        parts = ("answered", "refused", "failed", "interrupted", "cancelled")
        assert line["requests"] == sum(line[part] for part in parts), line
    assert "interrupted" in succeeded(machine.run("gridtie usage"))
    succeeded(machine.run("sudo gridtie usage --recompute"))


def test_a_copy_of_the_ledger_as_it_was_lies_beside_it(machine: Host, before: Before) -> None:
    (copy,) = machine.root(f"ls {COPIES}").split()

    assert schema(machine, copy) == 1
    copied = rows(machine, copy)
    assert {id: copied[id] for id in before.rows} == before.rows


def test_keys_of_the_old_station_work(machine: Host, before: Before) -> None:
    assert ask(machine)["locality"] == "local"
    assert ask(machine, key=APP_KEY, tags="private")["locality"] == "local"


def test_the_edited_rules_are_in_force_and_the_rule_with_the_tag_in_capitals_keeps_prompts_here(
    machine: Host, before: Before
) -> None:
    for spelling in ("hipaa", "HIPAA"):
        kept = ask(machine, environment="production", tags=spelling)

        assert (kept["status"], kept["rule"], kept["locality"]) == (200, "health", "local")
        assert tried(machine, kept) == {"local"}
    assert ask(machine, environment="production")["locality"] == "cloud"


def test_the_edited_alias_is_found_however_it_is_spelt(machine: Host, before: Before) -> None:
    for spelling in ("Reviewer", "reviewer"):
        assert ask(machine, model=spelling, environment="production")["locality"] == "cloud"


def test_the_budget_knows_what_was_spent_before_the_upgrade(machine: Host, before: Before) -> None:
    above = ask(machine, LONG, key=APP_KEY)
    within = ask(machine, key=APP_KEY, max_tokens=None)

    assert above["status"] == 402
    assert within["locality"] == "cloud"
    # Where money is limited and the client names no limit, one is written: at most what is left, $0.004, pays.
    assert 0 < int(within["output-limit"]) < 1000


def test_the_way_back_is_a_copy_and_the_old_playbook(machine: Host, before: Before) -> None:
    machine.root("docker stop gridtie-router-1")
    machine.root(f"cd $(dirname {LEDGER}); mkdir newer; mv ledger.sqlite* newer/; cp -p {COPIES} ledger.sqlite")
    history.switch(machine, OLD)

    output = succeeded(machine.run(SITE))

    assert "PASS" in output
    healthy(machine)
    assert schema(machine) == 1
    now = rows(machine)
    assert {id: now[id] for id in before.rows} == before.rows


def test_there_usage_and_keys_are_what_they_were(machine: Host, before: Before) -> None:
    report = usage(machine)

    assert report["keys"]["app"] == before.usage["keys"]["app"]
    assert ask(machine)["locality"] == "local"
    assert ask(machine, key=APP_KEY, tags="private")["locality"] == "local"
