"""X.509 on the controller: an authority of one's own, the certificates it signs, and when each has to be renewed.

Works on PEM text and a given moment; only `Authority.ensure` touches files. Uses `cryptography`, which Ansible itself
depends on.
"""

from __future__ import annotations

import datetime
import fcntl
import ipaddress
import os
from pathlib import Path
from typing import Any, Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# What marks an authority as made here, so that it may be renewed from here. A given one is its owner's business.
_OURS = "Gridtie"

# Clocks of a team differ by minutes; a certificate must not seem to be of tomorrow.
_SKEW = datetime.timedelta(hours=1)

# Behind a common name stands one of 64 characters at most (RFC 5280, ub-common-name).
_COMMON_NAME = 64


class CertificateError(Exception):
    """Authority or certificate cannot be used; the message says what to do."""


class Authority:
    """Signs. The first certificate of the bundle is the one that belongs to the key; older ones are still trusted."""

    def __init__(self, bundle: list[x509.Certificate], key: CertificateIssuerPrivateKeyTypes) -> None:
        self.certificate = bundle[0]
        self._bundle = bundle
        self._key = key

    @property
    def identifier(self) -> str:
        """The fingerprint of its key, by which those it signed name it."""
        return identifier(self.certificate)

    def signed(self, certificate: x509.Certificate) -> bool:
        """Whether the authority, or one before it that is still trusted, signed this."""
        return any(_signs(each, certificate) for each in self._bundle)

    def trusts(self, certificate: x509.Certificate) -> bool:
        """Whether this is the authority, or one before it."""
        return certificate in self._bundle

    @property
    def pem(self) -> str:
        """All certificates to be trusted."""
        return "".join(_pem(each) for each in self._bundle)

    @classmethod
    def of(
        cls, certificate_text: str, key_text: str, certificate: Path, key: Path, *, now: datetime.datetime, **how: Any
    ) -> tuple[Authority | None, str]:
        """The authority of two texts where they are given, else of two files, as `ensure`."""
        if certificate_text or key_text:
            return cls.told(certificate_text, key_text, now), ""
        return cls.ensure(certificate, key, now=now, **how)

    @classmethod
    def ensure(
        cls, certificate: Path, key: Path, *, days: int, renew_days: int, now: datetime.datetime, check: bool
    ) -> tuple[Authority | None, str]:
        """The authority of these two files, and why it was made or renewed; "" where nothing was.

        In check mode nothing is written, and there is no authority where one would have to be made. Raises
        `CertificateError`.
        """
        if certificate.is_file() is not key.is_file():
            missing = key if certificate.is_file() else certificate
            raise CertificateError(
                f"there is no {missing}, only the other half; restore it, or move both away to begin anew"
            )
        if not check:
            key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls._ensured(certificate, key, days, renew_days, now, check)

    @classmethod
    def _ensured(
        cls, certificate: Path, key: Path, days: int, renew_days: int, now: datetime.datetime, check: bool
    ) -> tuple[Authority | None, str]:
        if check:
            found = cls._read(certificate, key) if key.is_file() else None
            return found, "it is not there" if found is None else found._fault(renew_days, now)
        # Hosts are worked on in parallel: the first makes it, the others find it.
        with (key.parent / f".{key.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = cls._read(certificate, key) if key.is_file() else None
            why = "it is not there" if found is None else found._fault(renew_days, now)
            if why:
                found = cls._made(days, now, [] if found is None else found._bundle)
                _write(key, found._private(), 0o600)
                _write(certificate, found.pem, 0o644)
            return found, why

    @classmethod
    def _read(cls, certificate: Path, key: Path) -> Authority:
        try:
            found = cls._parsed(certificate.read_bytes(), key.read_bytes(), str(certificate), str(key))
        except OSError as error:
            raise CertificateError(f"{certificate} and {key} cannot be read: {error}") from error
        mode = key.stat().st_mode & 0o777
        if mode & 0o077:
            raise CertificateError(f"{key} has mode {mode:04o}; others must not read it: chmod 0600 {key}")
        return found

    @classmethod
    def told(cls, certificate: str, key: str, now: datetime.datetime) -> Authority:
        """The authority of two texts, as variables hold them. It is used as it is and never renewed from here."""
        names = ("gridtie_authority_certificate", "gridtie_authority_key")
        found = cls._parsed(certificate.encode(), key.encode(), *names)
        if (ends := found.certificate.not_valid_after_utc) <= now:
            raise CertificateError(f"the authority in {names[0]} expired on {ends:%Y-%m-%d}; put a valid one there")
        return found

    @classmethod
    def _parsed(cls, certificate: bytes, key: bytes, certificate_name: str, key_name: str) -> Authority:
        try:
            bundle = x509.load_pem_x509_certificates(certificate)
            private = serialization.load_pem_private_key(key, password=None)
        except (ValueError, TypeError) as error:
            raise CertificateError(
                f"{certificate_name} and {key_name} cannot be used ({error}); they must hold a certificate authority "
                "and its key without a passphrase, in PEM"
            ) from error
        if _public(private) != _public_of(bundle[0]):
            raise CertificateError(
                f"the key in {key_name} does not belong to the first certificate in {certificate_name}"
            )
        return cls(bundle, private)  # type: ignore[arg-type]

    @classmethod
    def _made(cls, days: int, now: datetime.datetime, before: Sequence[x509.Certificate]) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, _OURS),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{_OURS} authority {now:%Y-%m-%d}"),
            ]
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        made = (
            _builder(name, name, key.public_key(), now, now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        # The old one is trusted as long as it lasts: what it has signed is replaced host by host.
        return cls([made, *(each for each in before if each.not_valid_after_utc > now)], key)

    def _fault(self, renew_days: int, now: datetime.datetime) -> str:
        """Why the authority has to be renewed; raises where that is somebody else's business."""
        left = self.certificate.not_valid_after_utc - now
        if left > datetime.timedelta(days=renew_days):
            return ""
        owners = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if [each.value for each in owners] != [_OURS]:
            if left.total_seconds() > 0:
                return ""
            raise CertificateError(
                f"the given authority {self.certificate.subject.rfc4514_string()} expired on "
                f"{self.certificate.not_valid_after_utc:%Y-%m-%d}; give a valid one"
            )
        return f"it is valid until {self.certificate.not_valid_after_utc:%Y-%m-%d}"

    def issue(self, request: str, names: Sequence[str], *, days: int, now: datetime.datetime) -> str:
        """A certificate for these names and addresses and for the key of a signing request, in PEM.

        Of the request the key alone counts: what it says of itself decides nothing. Raises `CertificateError`.
        """
        key = _requested(request)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:_COMMON_NAME])])
        ends = min(now + datetime.timedelta(days=days), self.certificate.not_valid_after_utc)
        issued = (
            _builder(subject, self.certificate.subject, key, now, ends)
            .add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return _pem(issued)

    def why_renew(self, text: str, names: Sequence[str], *, renew_days: int, now: datetime.datetime) -> str:
        """Why a host's certificate has to be replaced; "" where it is as it shall be."""
        try:
            certificate = x509.load_pem_x509_certificate(text.encode())
        except ValueError:
            return "it is no certificate"
        if not _signs(self.certificate, certificate):
            return "another authority signed it"
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if set(found) != set(_general(names)):
            return f"it is for {', '.join(str(name.value) for name in found)}"
        ends = certificate.not_valid_after_utc
        if ends - now <= datetime.timedelta(days=renew_days):
            return f"it expire{'d' if ends <= now else 's'} on {ends:%Y-%m-%d}"
        return ""

    def _private(self) -> str:
        return _private_pem(self._key)


def _requested(request: str) -> ec.EllipticCurvePublicKey:
    """The key that a signing request is for, and that made it."""
    try:
        asked = x509.load_pem_x509_csr(request.encode())
        key = asked.public_key()
        held = asked.is_signature_valid
    except (ValueError, InvalidSignature) as error:
        raise CertificateError(f"the machine's signing request cannot be read: {error}") from error
    if not held:
        raise CertificateError("the machine's signing request is not signed by the key that it is for")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateError(f"the machine's signing request is for a {type(key).__name__}; wanted: P-256")
    return key


def given(certificate: Path, key: Path, names: Sequence[str], now: datetime.datetime) -> str:
    """A ready certificate with its chain and its key, as one PEM text. Raises `CertificateError`."""
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(f"{certificate} and {key} are no certificate and key in PEM: {error}") from error
    if _public(private) != _public_of(chain[0]):
        raise CertificateError(f"the key in {key} does not belong to the first certificate in {certificate}")
    if chain[0].not_valid_after_utc <= now:
        raise CertificateError(f"{certificate} expired on {chain[0].not_valid_after_utc:%Y-%m-%d}; give a valid one")
    try:
        covered = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise CertificateError(f"{certificate} is for no name; it needs one of {', '.join(names)}") from None
    if not set(_general(names[:1])) & set(covered):
        raise CertificateError(
            f"{certificate} is for {', '.join(str(name.value) for name in covered)}; other stations ask for {names[0]} "
            "(gridtie_address)"
        )
    return _private_pem(private) + "".join(_pem(each) for each in chain)


def identifier(certificate: x509.Certificate, *, issuer: bool = False) -> str:
    """The fingerprint of a certificate's key, or of its issuer's, as `openssl x509 -text` shows it."""
    try:
        if issuer:
            found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        else:
            found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        found = None
    if found is None:
        return (certificate.issuer if issuer else certificate.subject).rfc4514_string()
    return found.hex(":").upper()


def _signs(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    ends: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        # Random, 159 bits: two authorities of one name never give a serial number twice.
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name.strip("[]"))))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _public(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _public_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private_pem(key: PrivateKeyTypes) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _write(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step, never readable to more than it shall be."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
    draft.replace(path)
