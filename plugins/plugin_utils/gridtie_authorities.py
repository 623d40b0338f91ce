"""Whether the hosts of an inventory know another authority than the one that signs here.

Stations that trust an authority are cut off from each server that shows a certificate of another one. So none that is
known is replaced unasked, by a second controller least of all: it would make a new one without knowing of the first.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Iterator

from cryptography import x509

from . import gridtie_certificates as certificates

Problem = dict[str, str]


def at_hand(given: Mapping[str, Any], now: datetime.datetime) -> certificates.Authority | None:
    """The authority that signs here: of the two variables, else of the two files; none where there is neither yet.

    Raises `CertificateError`.
    """
    certificate, key = (str(given.get(f"gridtie_authority_{each}") or "") for each in ("certificate", "key"))
    at, key_at = files(given)
    found, _ = certificates.Authority.of(certificate, key, at, key_at, days=1, renew_days=0, now=now, check=True)
    return found


def files(given: Mapping[str, Any]) -> tuple[Path, Path]:
    """Where certificate and key are on the controller."""
    return Path(given["gridtie_ca_certificate"]).expanduser(), Path(given["gridtie_ca_key"]).expanduser()


def foreign(
    shown: Mapping[str, Mapping[str, str]],
    signed_here: Mapping[str, bool],
    authority: certificates.Authority | None,
    now: datetime.datetime,
) -> dict[str, list[str]]:
    """Fingerprint of each authority that hosts know and that is not ours, to what shows it.

    ``shown`` has each host's certificates by file, as the module gridtie_host_state gives them; ``signed_here`` tells
    of each host whether its certificate is to be one of the authority at hand.
    """
    found: dict[str, list[str]] = {}
    for host, by_file in shown.items():
        for name, text in by_file.items():
            for identifier in _unknown(host, name, text, signed_here, authority, now):
                found.setdefault(identifier, []).append(f"{host} (tls/{name})")
    return found


def _unknown(
    host: str,
    name: str,
    text: str,
    signed_here: Mapping[str, bool],
    authority: certificates.Authority | None,
    now: datetime.datetime,
) -> Iterator[str]:
    try:
        # What has expired is trusted by nobody: to replace it cuts nobody off.
        there = [each for each in x509.load_pem_x509_certificates(text.encode()) if each.not_valid_after_utc > now]
    except ValueError:
        return
    if not there:
        return
    if name == "server.pem":
        if signed_here.get(host) and not (authority and authority.signed(there[0])):
            yield certificates.identifier(there[0], issuer=True)
        return
    member = name.removeprefix("pool-").removesuffix(".pem")
    if signed_here.get(member) and not (authority and any(map(authority.trusts, there))):
        yield certificates.identifier(there[0])


def problems(
    given: Mapping[str, Any],
    shown: Mapping[str, Mapping[str, str]],
    signed_here: Mapping[str, bool],
    now: datetime.datetime,
) -> list[Problem]:
    """What stands in the way of signing here, each with what to do."""
    try:
        authority = at_hand(given, now)
    except (certificates.CertificateError, OSError) as error:
        return [{"found": str(error), "fix": "correct gridtie_ca_certificate and gridtie_ca_key, or the two files"}]
    known = foreign(shown, signed_here, authority, now)
    if not known:
        return []
    told = "; ".join(f"{identifier} by {', '.join(hosts)}" for identifier, hosts in known.items())
    count = "another authority is" if len(known) == 1 else f"{len(known)} other authorities are"
    return [{"found": f"{count} known to hosts: {told}. {_ours(given, authority)}", "fix": _fix(given)}]


def _ours(given: Mapping[str, Any], authority: certificates.Authority | None) -> str:
    certificate, key = files(given)
    if authority is None:
        return (
            f"This controller has none: gridtie_authority_certificate is not set, and there is no {certificate} with "
            f"{key}"
        )
    source = "gridtie_authority_certificate" if given.get("gridtie_authority_certificate") else str(certificate)
    return f"The one of this controller is {authority.identifier} ({source})"


def _fix(given: Mapping[str, Any]) -> str:
    certificate, key = files(given)
    return (
        f"copy both files of the authority from the machine that made it: the certificate to {certificate} (mode 0644) "
        f"and the key to {key} (mode 0600, in a directory of mode 0700); or put their texts into "
        "gridtie_authority_certificate and gridtie_authority_key, the latter encrypted by ansible-vault. To replace "
        "what the hosts know, run this for all of them at once with -e gridtie_replace_authority=true"
    )
