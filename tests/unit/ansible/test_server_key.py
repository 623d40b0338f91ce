"""A server's key is made where it is used; the controller sees a request and signs a certificate."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from plugins.modules import gridtie_server_key as server_key
from plugins.plugin_utils import gridtie_certificates as certificates

from standins.authority import make_request
from standins.play import play

NAMES = ["gpu-server", "10.0.0.7"]
NOW = datetime.datetime.now(datetime.UTC)

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="the files are root's"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here"),
]

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Have a certificate, as the role does; the output."""

    def certify(*options: str, names: list[str] = NAMES, days: int = 90, **more: str) -> str:
        task: dict[str, Any] = {
            "name": "Show a certificate",
            "gridtie.gridtie.gridtie_certificate": {
                "path": str(tmp_path / "tls/server.pem"), "group": "root", "names": names, "days": days,
                "renew_days": 30, "authority": str(tmp_path / "ca/ca.pem"),
                "authority_key": str(tmp_path / "ca/ca.key"), **more,
            },
        }  # fmt: skip
        status, output = play(tmp_path, [task], {}, *options)
        assert status == 0, output
        return output

    return certify


@pytest.fixture
def authority(tmp_path: Path) -> certificates.Authority:
    made, _ = certificates.Authority.ensure(
        tmp_path / "ca/ca.pem", tmp_path / "ca/ca.key", days=3650, renew_days=0, now=NOW, check=False
    )
    assert made is not None
    return made


def changed(output: str) -> bool:
    return re.search(r"changed=1\b", output) is not None


def key_of(file: Path) -> str:
    return file.read_text().partition("-----BEGIN CERTIFICATE-----")[0]


def test_the_key_is_made_on_the_machine_and_no_output_shows_it(
    tmp_path: Path, run: Run, authority: certificates.Authority
) -> None:
    file = tmp_path / "tls/server.pem"

    outputs = [run("--check")]
    assert not file.exists()
    outputs += [run(), run()]

    assert [changed(output) for output in outputs] == [True, True, False]
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)
    issued = x509.load_pem_x509_certificate(file.read_bytes())
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == NAMES
    issued.verify_directly_issued_by(authority.certificate)
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]
    lines = [line for line in key_of(file).splitlines() if not line.startswith("-----")]
    assert lines
    assert [line for line in lines if any(line in output for output in outputs)] == []


def test_another_name_means_another_key(tmp_path: Path, run: Run, authority: certificates.Authority) -> None:
    file = tmp_path / "tls/server.pem"
    run()
    before = key_of(file)

    assert "it is for gpu-server" in run(names=["gpu-server"])
    assert key_of(file) != before


def test_a_key_that_the_controller_made_is_kept_until_its_certificate_is_renewed(
    tmp_path: Path, run: Run, authority: certificates.Authority
) -> None:
    """As every server of 1.0.0 has one."""
    key, request = make_request()
    file = tmp_path / "tls/server.pem"
    file.parent.mkdir(mode=0o750)
    file.write_text(key + authority.issue(request, NAMES, days=90, now=NOW))
    file.chmod(0o640)
    assert not changed(run())
    assert key_of(file) == key

    file.write_text(key + authority.issue(request, NAMES, days=29, now=NOW))
    assert "it expires on" in run()
    assert key_of(file) != key


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path, run: Run, authority: certificates.Authority) -> None:
    file = tmp_path / "tls/server.pem"
    file.parent.mkdir()
    (file.parent / "server.pem.new-key").write_text("half a k")

    run()

    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)
    assert list(file.parent.iterdir()) == [file]


def test_a_given_certificate_is_installed_with_its_key_and_the_key_is_not_shown(
    tmp_path: Path, run: Run, authority: certificates.Authority
) -> None:
    key, request = make_request()
    (tmp_path / "own.key").write_text(key)
    (tmp_path / "own.pem").write_text(authority.issue(request, NAMES, days=90, now=NOW))
    own = {"certificate": str(tmp_path / "own.pem"), "key": str(tmp_path / "own.key")}

    outputs = [run(**own), run(**own)]

    assert [changed(output) for output in outputs] == [True, False]
    assert key_of(tmp_path / "tls/server.pem") == key
    assert [line for line in key.splitlines()[1:-1] if any(line in output for output in outputs)] == []


def test_what_is_no_key_with_its_certificate_is_recognised(tmp_path: Path, authority: certificates.Authority) -> None:
    (key, request), (other, _) = make_request(), make_request()
    certificate = authority.issue(request, NAMES, days=90, now=NOW)
    file = tmp_path / "server.pem"

    assert server_key.fault_of(str(file)) == "there is none yet"
    for text, wrong in (
        (key + certificate, ""),
        (other + certificate, "key values mismatch"),
        (certificate, "it is not a key and its certificate"),
        ("nonsense", "it is not a key and its certificate"),
    ):
        file.write_text(text)
        assert wrong in server_key.fault_of(str(file))
        assert bool(server_key.fault_of(str(file))) == bool(wrong)
