"""A throwaway certificate authority and a server certificate under it, made by the `openssl` command."""

from __future__ import annotations

import ipaddress
import subprocess
from pathlib import Path

# Long enough for any test, short enough that a forgotten copy is worthless.
DAYS = "2"


def make_authority(directory: Path, *names: str) -> Path:
    """Write `ca.pem` (to be trusted) and `server.pem` (key and certificate for `names`); gives `ca.pem`.

    `localhost` and 127.0.0.1 are always among the names. The authority's own key is not kept.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    key, request, extensions = directory / "server.key", directory / "server.csr", directory / "server.ext"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS),
        *("-subj", "/CN=Stand-in authority", "-keyout", str(ca_key), "-out", str(ca)),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"),
    )
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=Stand-in", "-keyout", str(key), "-out", str(request)),
    )
    extensions.write_text(
        f"subjectAltName={','.join(_name(name) for name in ('localhost', '127.0.0.1', *names))}\n"
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial"),
        *("-days", DAYS, "-extfile", str(extensions), "-out", str(directory / "server.crt")),
    )
    (directory / "server.pem").write_bytes(key.read_bytes() + (directory / "server.crt").read_bytes())
    for leftover in (ca_key, key, request, extensions, directory / "server.crt", directory / "ca.srl"):
        leftover.unlink(missing_ok=True)
    # A container reads it as a user of its own.
    (directory / "server.pem").chmod(0o644)
    return ca


def make_request() -> tuple[str, str]:
    """A server's new key and a signing request for it, in PEM, as its machine makes them."""
    key = _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    return key, _openssl("req", "-new", "-subj", "/CN=gridtie", "-key", "/dev/stdin", given=key)


def _name(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _openssl(*words: str, given: str = "") -> str:
    done = subprocess.run(["openssl", *words], input=given, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]} failed: {done.stderr}")
    return done.stdout
