"""A fault under load: what was sent, what came, what the ledger has of it, and what the cloud was given to bill."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scale.setting import BUDGET_USD, CLOUD_KEY, INPUT_USD, OUTPUT_USD, Setting
from scale.swarm import CLOUD, NAME, PORT, ROUTER, Database, Swarm, until
from standins.behaviour import Behaviour
from standins.judge import count_tokens, pieces

RATE = 20.0
# Before the fault, so that there is something under way, and behind it.
BEFORE_S, AFTER_S = 8.0, 12.0
CLOUD_PORT = 8443
# For the last requests' tries, on a machine that has much else to do.
LATER_S = 300.0


@dataclass(frozen=True)
class Row:
    """A line of the table. Amounts in US dollars."""

    fault: str
    routers: int
    sent: int
    answered: int
    # Answers that the SDK had after it had asked again by itself.
    retried: int
    # Streams that broke off, and were asked for again.
    broken_off: int
    # Requests without an answer after all tries, by what was the last one's end.
    failed: dict[str, int]
    # Answers without a row in the ledger, and rows too many.
    lost: int
    twice: int
    budget_usd: float
    # What the ledger says was spent, and what the cloud could bill by its own count.
    spent_usd: float
    billed_usd: float
    # The largest sum of leases that was seen.
    leased_usd: float
    slowest_s: float
    seconds: float

    @property
    def overdrawn_usd(self) -> float:
        """By whichever count it is more."""
        return max(0.0, max(self.billed_usd, self.spent_usd, self.leased_usd) - self.budget_usd)

    def told(self) -> dict[str, Any]:
        return {**asdict(self), "overdrawn_usd": round(self.overdrawn_usd, 6)}


@dataclass
class Chaos:
    """The lab, and what came of the faults so far."""

    swarm: Swarm
    database: Database
    setting: Setting
    authority: Path
    rows: list[Row] = field(default_factory=list)

    def play(self, fault: str, holder: str, *hosts: str, act: Callable[[], None]) -> Row:
        """Load of one key's holder through these hosts, from before `act` until it is over; the table's row."""
        self._forget()
        with self._load(holder, hosts) as load:
            # A busy machine takes long to start it.
            assert load.stdout is not None and load.stdout.readline() == "begun\n"
            time.sleep(BEFORE_S)
            act()
            time.sleep(AFTER_S)
            assert load.poll() is None, "the load ended before the fault did"
            load.terminate()
            out, errors = load.communicate(timeout=LATER_S)
        assert load.returncode == 0, errors[-3000:]
        found = json.loads(out)
        ids = found.pop("ids")
        in_ledger = self._settled(holder, set(ids))
        ((spent,),) = self.database.ask(
            f"SELECT coalesce(sum(spent_usd), 0) FROM gridtie.requests WHERE key = '{holder}'"
        )
        ((leased,),) = self.database.ask(f"SELECT coalesce(sum(usd), 0) FROM gridtie.leases WHERE budget = '{holder}'")
        row = Row(
            fault=fault,
            routers=len(hosts),
            **found,
            lost=len(set(ids) - set(in_ledger)),
            twice=len(in_ledger) - len(set(in_ledger)) + len(ids) - len(set(ids)),
            budget_usd=BUDGET_USD,
            spent_usd=round(float(spent), 6),
            billed_usd=round(self._billed(), 6),
            leased_usd=round(float(leased), 6),
        )
        self.rows.append(row)
        return row

    def rows_at(self, host: str) -> int:
        """How many requests are in the copy that the router of a host reads its reports from."""
        copy = "sqlite3.connect('file:/var/lib/gridtie/ledger/ledger.sqlite?mode=ro', uri=True)"
        program = f"import sqlite3; print(*{copy}.execute('SELECT count(*) FROM requests').fetchone())"
        return int(self.swarm[host].root(f'docker exec {self.swarm.container(host, ROUTER)} python3 -c "{program}"'))

    @contextmanager
    def _load(self, holder: str, hosts: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
        addresses = ",".join(self.swarm.addresses[host] for host in hosts)
        program = [sys.executable, str(Path(__file__).with_name("load.py")), "--name", NAME, "--port", str(PORT)]
        program += ["--addresses", addresses, "--rate", str(RATE)]
        own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        own |= {"GRIDTIE_LOAD_KEY": self.setting.keys[holder], "SSL_CERT_FILE": str(self.authority)}
        with subprocess.Popen(program, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as load:
            try:
                yield load
            finally:
                load.kill()

    def _settled(self, holder: str, ids: set[str]) -> list[str]:
        """The ids of the holder's rows, once those of all answers are there, or nothing has come for a while."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [id for (id,) in self.database.ask(f"SELECT id FROM gridtie.requests WHERE key = '{holder}'")]
            return ids <= set(found)

        try:
            until(there, "a row of each answer", 120)
        except TimeoutError:
            print(f"missing: {sorted(ids - set(found))[:20]}")
        return found

    def status(self, host: str) -> int:
        """What a question through the haproxy of a host comes to; 0 without an answer."""
        body = {"model": "coder", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
        headers = {"authorization": f"Bearer {self.setting.keys['station']}", "host": f"{NAME}:{PORT}"}
        asked = urllib.request.Request(
            f"https://{self.swarm.addresses[host]}:{PORT}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={**headers, "content-type": "application/json"},
        )
        try:
            with self._opened(asked) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def _cloud(self, method: str) -> Any:
        address = f"https://{self.swarm.addresses[CLOUD]}:{CLOUD_PORT}/standin/requests"
        with self._opened(urllib.request.Request(address, method=method)) as answer:
            return json.load(answer)

    def _opened(self, asked: urllib.request.Request) -> Any:
        trusted = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.authority)))
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), trusted).open(asked, timeout=60)

    def _forget(self) -> None:
        self._cloud("DELETE")

    def _billed(self) -> float:
        """US dollars for all that the cloud was asked, as if it had answered each to its end."""
        asked = [each for each in self._cloud("GET") if each["headers"].get("authorization") == f"Bearer {CLOUD_KEY}"]
        text = len(list(pieces(Behaviour().text)))
        return sum(
            (count_tokens(each["body"]["messages"]) * INPUT_USD + text * OUTPUT_USD) / 1e6
            for each in asked
            if each["method"] == "POST"
        )
