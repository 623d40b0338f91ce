"""No message about a routing file shows a secret that stands in it, wherever people put one by mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fuzz.corpus import SECRET
from fuzz.strategies import EXAMPLES, bounded
from gridtie.config.load import ConfigError
from gridtie.gateway.settings import Settings
from standins.router import configure

# Where people put a key: into the file's name, the address, and other fields that take no key.
_FORMS = (SECRET, f"'{SECRET}'", f"OPENAI_API_KEY={SECRET}", f"Bearer {SECRET}", f" {SECRET} ")
_ADDRESSES = (
    f"https://user:{SECRET}@api.example.com/v1",
    f"https://{SECRET}@api.example.com",
    f"https://api.example.com/v1?api_key={SECRET}",
    f"http://:{SECRET}@[::1/v1",
    f"user:{SECRET}@api.example.com",
    f"https://u:{SECRET}@api.example.com:port/v1",
    f"https://u:{SECRET}@127.0.0.1:11434",
)
_KEYS = ("key", "api_key", "apikey", "token", "key_file", "password", "keyfile")


def _routing(provider: dict[str, Any], other_mistake: bool) -> str:
    """JSON is YAML."""
    there = {"type": "openai", "base_url": "https://api.example.com/v1", **provider}
    return json.dumps(
        {
            "version": 1,
            "providers": {"there": there},
            "models": {"coder": {"local": None, "cloud": {"provider": "there", "model": "big"}}},
            "rules": [{"name": "all", "use": ["claud" if other_mistake else "cloud"]}],
        },
        indent=1,
    )


_PROVIDER = st.one_of(
    st.fixed_dictionaries({"key_file": st.sampled_from(_FORMS)}),
    st.fixed_dictionaries({"base_url": st.sampled_from(_ADDRESSES)}),
    st.tuples(st.sampled_from(_KEYS), st.sampled_from(_FORMS)).map(lambda pair: dict([pair])),
    st.tuples(st.sampled_from(_KEYS), st.sampled_from(_FORMS)).map(lambda pair: {pair[0]: [pair[1]]}),
)


def _never_shown(
    directory: Path, first: dict[str, Any], second: dict[str, Any], other_mistake: bool, spoilt: str
) -> None:
    text = _routing({**first, **second}, other_mistake)
    middle = len(text) // 2
    (directory / "llm_routing.yaml").write_text(text[:middle] + spoilt + text[middle:])
    try:
        Settings(directory)
    except ConfigError as error:
        assert str(error)
        assert SECRET not in str(error), str(error).replace(SECRET, "<the secret>")


def test_no_message_about_a_routing_file_shows_a_secret(tmp_path: Path) -> None:
    """Whatever else is wrong with the file."""
    directory = configure(tmp_path / "config", _routing({}, False))

    @bounded(EXAMPLES)
    @given(_PROVIDER, _PROVIDER, st.booleans(), st.sampled_from(["", "\n ]", "\t", "\x00", "'"]))
    def holds(first: dict[str, Any], second: dict[str, Any], other_mistake: bool, spoilt: str) -> None:
        _never_shown(directory, first, second, other_mistake, spoilt)

    holds()
