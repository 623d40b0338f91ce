"""An authority of one's own: made once, kept closed, renewed in time; and what it signs is what TLS checks."""

from __future__ import annotations

import base64
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from plugins.plugin_utils import gridtie_certificates as certificates

from standins.authority import make_request

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
NAMES = ["gpu-server", "10.0.0.7"]


def ensure(directory: Path, *, now: datetime.datetime = NOW, check: bool = False, **more: Any) -> Any:
    options = {"days": 3650, "renew_days": 180, **more}
    return certificates.Authority.ensure(directory / "ca.pem", directory / "ca.key", now=now, check=check, **options)


def issued_by(authority: Any) -> str:
    """A server's certificate of 90 days, for a new key."""
    return str(authority.issue(make_request()[1], NAMES, days=90, now=NOW))


def later(days: int) -> datetime.datetime:
    return NOW + datetime.timedelta(days=days)


def test_it_is_made_once_and_its_key_is_closed_to_others(tmp_path: Path) -> None:
    first, why = ensure(tmp_path / "ca")
    second, again = ensure(tmp_path / "ca")

    assert (why, again) == ("it is not there", "")
    assert first.pem == second.pem
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "ca/ca.key").stat().st_mode & 0o777 == 0o600


def test_check_mode_tells_and_writes_nothing(tmp_path: Path) -> None:
    assert ensure(tmp_path / "ca", check=True) == (None, "it is not there")
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    ensure(tmp_path)
    (tmp_path / "ca.key").chmod(0o644)

    with pytest.raises(certificates.CertificateError, match="chmod 0600"):
        ensure(tmp_path)


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_half_an_authority_is_named_and_not_written_over(tmp_path: Path, name: str) -> None:
    ensure(tmp_path)
    (tmp_path / name).unlink()

    with pytest.raises(certificates.CertificateError, match=name):
        ensure(tmp_path)


def test_before_it_ends_another_takes_over_and_both_are_trusted_until_then(tmp_path: Path) -> None:
    first, _ = ensure(tmp_path)
    second, why = ensure(tmp_path, now=later(3500))

    assert why.startswith("it is valid until")
    assert second.pem.endswith(first.pem)
    assert second.certificate != first.certificate
    third, _ = ensure(tmp_path, now=later(3500 + 3500))
    assert first.pem not in third.pem


def test_what_it_signs_holds_the_names_and_no_right_to_sign(tmp_path: Path) -> None:
    authority, _ = ensure(tmp_path)
    issued = x509.load_pem_x509_certificate(issued_by(authority).encode())
    extensions = {each.oid._name: each.value for each in issued.extensions}

    assert [str(name.value) for name in extensions["subjectAltName"]] == NAMES
    assert extensions["basicConstraints"].ca is False
    assert issued.not_valid_after_utc == later(90)
    assert issued.serial_number.bit_length() > 64


def test_nothing_outlives_its_authority(tmp_path: Path) -> None:
    authority, _ = ensure(tmp_path, days=30, renew_days=1)
    issued = x509.load_pem_x509_certificate(issued_by(authority).encode())

    assert issued.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_pythons_own_tls_takes_it_for_its_names_alone(tmp_path: Path) -> None:
    """Strict verification, as Python 3.13 has it by default: identifiers and usages must be there."""
    authority, _ = ensure(tmp_path, now=datetime.datetime.now(datetime.UTC))
    key, request = make_request()
    issued = authority.issue(request, NAMES, days=90, now=datetime.datetime.now(datetime.UTC))
    (tmp_path / "server.pem").write_text(key + issued)

    assert _handshake(tmp_path, "gpu-server") == ""
    assert _handshake(tmp_path, "10.0.0.7") == ""
    assert "not valid for 'other-server'" in _handshake(tmp_path, "other-server")


def _handshake(directory: Path, name: str) -> str:
    """What a client says against it, with both ends in memory."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=directory / "ca.pem")
    server.load_cert_chain(directory / "server.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(there, back, server_side=True), client.wrap_bio(back, there, server_hostname=name)]
    for _ in range(4):
        for end in reversed(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    return ""


def test_a_certificate_in_order_stays(tmp_path: Path) -> None:
    authority, _ = ensure(tmp_path)

    assert authority.why_renew(issued_by(authority), NAMES, renew_days=30, now=later(59)) == ""


@pytest.mark.parametrize(
    ("case", "names", "days", "wanted"),
    [
        ("soon at its end", NAMES, 61, "it expires on"),
        ("expired", NAMES, 91, "it expired on"),
        ("a name more", [*NAMES, "gpu"], 0, "it is for gpu-server, 10.0.0.7"),
        ("a name less", NAMES[:1], 0, "it is for gpu-server, 10.0.0.7"),
    ],
)
def test_one_that_is_not_in_order_is_renewed_and_why(
    tmp_path: Path, case: str, names: list[str], days: int, wanted: str
) -> None:
    authority, _ = ensure(tmp_path)
    text = issued_by(authority)

    assert authority.why_renew(text, names, renew_days=30, now=later(days)).startswith(wanted)


def test_one_of_another_authority_and_what_is_none_is_renewed(tmp_path: Path) -> None:
    ours, _ = ensure(tmp_path / "ours")
    theirs, _ = ensure(tmp_path / "theirs")

    def why(text: str) -> str:
        return str(ours.why_renew(text, NAMES, renew_days=30, now=NOW))

    assert why(issued_by(theirs)) == "another authority signed it"
    assert why("nonsense") == "it is no certificate"


def test_what_a_request_says_of_itself_decides_nothing(tmp_path: Path) -> None:
    """A machine that was taken over asks for the name of another one, and for the right to sign."""
    authority, _ = ensure(tmp_path)
    key = ec.generate_private_key(ec.SECP256R1())
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another-server")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("another-server")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = authority.issue(asked.public_bytes(serialization.Encoding.PEM).decode(), NAMES, days=90, now=NOW)
    issued = x509.load_pem_x509_certificate(text.encode())

    assert "another-server" not in str([each.value for each in issued.extensions]) + issued.subject.rfc4514_string()
    assert issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_a_request_for_a_weak_or_another_ones_key_is_refused(tmp_path: Path) -> None:
    authority, _ = ensure(tmp_path)
    weak = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    text = weak.sign(rsa.generate_private_key(65537, 1024), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    whole = base64.b64decode("".join(make_request()[1].splitlines()[1:-1]))
    forged = base64.encodebytes(whole[:-1] + bytes([whole[-1] ^ 1])).decode()

    for request, wrong in (
        (text.decode(), "wanted: P-256"),
        (f"-----BEGIN CERTIFICATE REQUEST-----\n{forged}-----END CERTIFICATE REQUEST-----\n", "not signed by the key"),
        ("nonsense", "cannot be read"),
    ):
        with pytest.raises(certificates.CertificateError, match=wrong):
            authority.issue(request, NAMES, days=90, now=NOW)


def test_a_ready_certificate_is_taken_with_its_key(tmp_path: Path) -> None:
    authority, _ = ensure(tmp_path)
    key, request = make_request()
    certificate = authority.issue(request, NAMES, days=90, now=NOW)
    (tmp_path / "own.key").write_text(key)
    (tmp_path / "own.pem").write_text(certificate)

    def given(names: list[str], now: datetime.datetime = NOW) -> str:
        return str(certificates.given(tmp_path / "own.pem", tmp_path / "own.key", names, now))

    assert given(NAMES) == key + certificate
    with pytest.raises(certificates.CertificateError, match="expired"):
        given(NAMES, later(91))
    with pytest.raises(certificates.CertificateError, match="ask for elsewhere"):
        given(["elsewhere"])
