"""Which URLs are taken, and that no message shows what is in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.ledger.postgres.address import Address, AddressError, read

SECRET = "hunter2"


def address(tmp_path: Path, url: str, **environ: str) -> Address:
    (tmp_path / "database").write_text(url)
    return read(tmp_path / "database", environ)


def test_a_database_on_another_machine_is_spoken_to_with_tls_and_its_name_is_checked(tmp_path: Path) -> None:
    found = address(tmp_path, f"postgresql://u:{SECRET}@db.example/gridtie\n", SSL_CERT_FILE="/etc/ca.crt")
    assert found.parameters["sslmode"] == "verify-full"
    assert found.parameters["sslrootcert"] == "/etc/ca.crt"
    assert (found.shown, repr(found)) == ("db.example:5432/gridtie", "Address('db.example:5432/gridtie')")


def test_an_authority_of_ones_own_is_named_in_the_url(tmp_path: Path) -> None:
    found = address(tmp_path, "postgresql://u@db/gridtie?sslrootcert=/etc/gridtie/db-ca.pem", SSL_CERT_FILE="/x")
    assert found.parameters["sslrootcert"] == "/etc/gridtie/db-ca.pem"


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
@pytest.mark.parametrize("host", ["db.example", "192.0.2.7", "127.0.0.1,db.example", "[2001:db8::1]"])
def test_a_weaker_mode_is_refused_unless_the_database_is_on_this_machine(tmp_path: Path, host: str, mode: str) -> None:
    with pytest.raises(AddressError, match=f"sslmode={mode} .*wanted: verify-full"):
        address(tmp_path, f"postgresql://u:{SECRET}@{host}/gridtie?sslmode={mode}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "%2Frun%2Fpostgresql"])
def test_on_this_machine_no_tls_is_wanted(tmp_path: Path, host: str) -> None:
    found = address(tmp_path, f"postgresql://u@{host}/gridtie?sslmode=disable")
    assert found.parameters["sslmode"] == "disable"


def test_a_host_that_is_hidden_in_hostaddr_counts(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="verify-full"):
        address(tmp_path, "postgresql://u@localhost/gridtie?hostaddr=192.0.2.7&sslmode=disable")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (SECRET, "holds no URL"),
        ("mysql://u:hunter2@h/d", "holds no URL"),
        ("postgresql://u:hunter2%zz@h/d", "cannot be read"),
        ("postgresql://u:hunter2@h/d?nonsense=hunter2", "cannot be read"),
        ("postgresql://u:hunter2@/d", "without a host"),
        ("postgresql://u:hunter2@h", "without the name of a database"),
        ("postgresql://u:hunter2@h/d " + "x" * 20000, "holds no URL"),
        (b"\xff\xfehunter2", "no text"),
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "database"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AddressError, match=said) as refused:
        read(path, {})
    assert SECRET not in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match=r"No such file.*GRIDTIE_DATABASE_FILE"):
        read(tmp_path / "database", {})


def test_what_the_url_sets_is_kept(tmp_path: Path) -> None:
    found = address(tmp_path, "postgresql://u@localhost/d?connect_timeout=2&options=-c%20search_path%3Dx")
    assert found.parameters["connect_timeout"] == "2"
    assert str(found.parameters["options"]).startswith("-c search_path=x ")
