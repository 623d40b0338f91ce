"""A file that holds a key holds nothing else, and says what it holds instead without showing it."""

from __future__ import annotations

from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.config.key_file import key_in, not_a_path

KEY = "sk-proj-Abc123_-Def456=="


@pytest.mark.parametrize("raw", [KEY, f"{KEY}\n", f"{KEY}\r\n", f"  {KEY}\t\n\n"])
def test_the_end_of_the_line_and_spaces_around_are_no_part_of_a_key(raw: str) -> None:
    assert key_in(raw.encode()) == KEY


@pytest.mark.parametrize(
    "key", ["sk-test", "EMPTY", "dummy", "gt-abc", "abc+/def==", "A1B2=", "your2key", "hereandthere", "user:pass"]
)
def test_what_may_be_a_key_is_taken_as_it_is(key: str) -> None:
    assert key_in(key.encode()) == key


PASTED = [
    (f'"{KEY}"', "in quotes"),
    (f"'{KEY}'", "in quotes"),
    (f"`{KEY}`", "in quotes"),
    (f"\u201c{KEY}\u201d", "characters that no key has"),
    (f"OPENAI_API_KEY={KEY}", "NAME=value"),
    (f"export OPENAI_API_KEY={KEY}", "NAME=value"),
    (f'export OPENAI_API_KEY="{KEY}"', "NAME=value"),
    (f"export X={KEY}", "NAME=value"),
    (f"set KEY={KEY}", "NAME=value"),
    (f"setx KEY={KEY}", "NAME=value"),
    (f"$env:KEY={KEY}", "NAME=value"),
    (f"api_key = {KEY}", "NAME=value"),
    (f"HF_HUB={KEY}", "NAME=value"),
    (f"api_key: {KEY}", "name: value"),
    (f"x-api-key: {KEY}", "name: value"),
    (f"Authorization: Bearer {KEY}", "name: value"),
    (f"Bearer {KEY}", "without Bearer"),
    (f"bearer {KEY}", "without Bearer"),
    (f'{{"api_key": "{KEY}"}}', "JSON"),
    ("<your-key-here>", "placeholder"),
    ("<OPENAI_KEY>", "placeholder"),
    ("changeme", "placeholder"),
    ("change-me", "placeholder"),
    ("CHANGE_ME", "placeholder"),
    ("sk-xxxx", "placeholder"),
    ("sk-xxxxxxxxxxxxxxxx", "placeholder"),
    ("sk-...", "placeholder"),
    ("sk-...AbCd", "placeholder"),
    ("sk-****AbCd", "placeholder"),
    ("your-api-key", "placeholder"),
    ("your_openai_key", "placeholder"),
    ("sk-your-key", "placeholder"),
    ("YOUR_API_KEY", "placeholder"),
    ("YOUR-KEY-HERE", "placeholder"),
    ("api-key", "placeholder"),
    ("insert-key-here", "placeholder"),
    ("replace_this", "placeholder"),
    ("TODO", "placeholder"),
    ("{{ openai_key }}", "placeholder"),
    ("${OPENAI_API_KEY}", "placeholder"),
    ("$OPENAI_API_KEY", "placeholder"),
    ("%OPENAI_API_KEY%", "placeholder"),
    ("\ufeff" + KEY, "byte-order mark"),
    (f"# my key\n{KEY}\n", "2 lines"),
    (f"{KEY}\r\n{KEY}\r\n", "2 lines"),
    (f"{KEY}\r{KEY}", "2 lines"),
    ("$ANSIBLE_VAULT;1.1;AES256\n3133\n", "ansible-vault"),
    (f"-----BEGIN PRIVATE KEY-----\n{KEY}\n", "PEM"),
    (f"{KEY} {KEY}", "does not hold one key"),
    (f"{KEY}\x07x", "does not hold one key"),
    (f"{KEY}\u200b", "characters that no key has"),
    (f"sk\u2013{KEY}", "characters that no key has"),
    ("", "empty"),
    ("\n", "empty"),
]


@pytest.mark.parametrize(("text", "says"), PASTED)
def test_what_people_paste_is_told_and_not_shown(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        key_in(text.encode())

    assert KEY not in str(caught.value)
    assert "AbCd" not in str(caught.value)


@pytest.mark.parametrize("raw", [KEY.encode("utf-16"), KEY.encode("utf-16-le"), b"\x00", b"sk-\xff\xfe"])
def test_what_is_no_plain_text_is_told_in_our_words(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is (UTF-16|no text)"):
        key_in(raw)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_key_for_a_header_or_a_fault_of_one_line(raw: bytes) -> None:
    try:
        key = key_in(raw)
    except ValueError as error:
        assert "\n" not in str(error)
        assert "codec" not in str(error)
    else:
        assert key.isascii()
        assert key.isprintable()
        assert key
        assert " " not in key


@given(st.permutations(ascii_letters + digits).map(lambda letters: "".join(letters[:40])))
def test_a_random_key_is_let_through(key: str) -> None:
    assert key_in(f"sk-{key}\n".encode()) == f"sk-{key}"


@pytest.mark.parametrize(
    "path", ["secrets/openai", "secrets/sk-prod", "/run/secrets/openai.key", "openai", "k", "../keys/my key.txt"]
)
def test_a_path_is_a_path(path: str) -> None:
    assert not_a_path(path) == ("", "")


def test_a_random_part_of_a_whole_path_is_a_path() -> None:
    assert not_a_path("/nix/store/2f3c8e1a9b7d6c5f4e3d2c1b0a9f8e7d-keys/openai") == ("", "")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (KEY, "looks like a key itself"),
        ("gt-abc", "looks like a key itself"),
        ("0123456789abcdef0123456789abcdef", "looks like a key itself"),
        ("AbCdEf/012345678901234567aB1c2D3e4F5", "looks like a key itself"),
        (f"secrets/{KEY}", "looks like a key itself"),
        (f"OPENAI_API_KEY={KEY}", "looks like a key itself"),
        (f"Bearer {KEY}", "looks like a key itself"),
        ("<path/to/key>", "looks like a key itself, or like what stands for one"),
        ("$OPENAI_API_KEY", "environment variables are not read"),
        ("${OPENAI_API_KEY}", "environment variables are not read"),
        ("os.environ/OPENAI_API_KEY", "environment variables are not read"),
        ("~/openai", "~ is not followed"),
        ("file:///etc/key", "it is a URL"),
        (f"-----BEGIN PRIVATE KEY-----\n{KEY}", "several lines"),
        ("secrets/\x00", "control characters"),
        ("", "empty"),
    ],
)
def test_what_names_no_file_is_told_and_not_shown(value: str, says: str) -> None:
    what, fix = not_a_path(value)

    assert says in what
    assert fix
    assert KEY not in what + fix
