"""The catalogue as a file of a station or a checkout."""

from __future__ import annotations

import json
from pathlib import Path

from gridtie.host.catalogue import Catalogue, parse
from gridtie.host.paths import StationError
from gridtie.host.plain_yaml import parse_plain


def read_catalogue(path: Path) -> Catalogue:
    """models.json or models.yaml. Raises `StationError`."""
    try:
        text = path.read_text(encoding="utf-8")
        content = parse_plain(text) if path.suffix in (".yaml", ".yml") else json.loads(text)
        return parse(content.get("catalogue", content))
    except FileNotFoundError:
        raise StationError(f"{path} is not there; run `make site`, or name a catalogue with --catalogue") from None
    except PermissionError:
        raise StationError(
            f"{path} may not be read by this user; run it with sudo, or name one with --catalogue"
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise StationError(f"{path} cannot be used: {error}; run `make site` to write it anew") from None
