"""The page and what it is made of: read once, sent with a policy under which nothing else runs or is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gridtie import page
from gridtie.gateway.admin.answer import refuse
from gridtie.gateway.dashboard.sign_in import PATH
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = "".join(
    f"{line}\r\n"
    for line in (
        f"content-security-policy: {_POLICY}",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "referrer-policy: no-referrer",
        "cross-origin-opener-policy: same-origin",
        "cross-origin-resource-policy: same-origin",
        # A page never runs with scripts of another version, and all of it is smaller than a picture.
        "cache-control: no-store",
    )
).encode()
_INDEX = "index.html"


class _File:
    """One file as it is sent."""

    def __init__(self, name: str, content: bytes) -> None:
        self.content = content
        self.fields = b"content-type: %b; charset=utf-8\r\n%b" % (_TYPES[Path(name).suffix].encode(), _HEADERS)


class Static:
    """The page, which says nothing about anybody: it is sent without a sign-in."""

    def __init__(self) -> None:
        own = Path(__file__).parent / "assets"
        self._files = {
            path.name: _File(path.name, path.read_bytes()) for path in own.iterdir() if path.suffix in _TYPES
        }
        # The report's colours and tables.
        style = Path(page.__file__).parent / "style.css"
        self._files["page.css"] = _File("page.css", style.read_bytes())

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path=PATH, get=lambda exchange: self._send(exchange, _INDEX), public=True),
            Route(path=f"{PATH}/assets/", get=lambda exchange: self._send(exchange, exchange.head.rest), public=True),
        )

    def _send(self, exchange: Exchange, name: str) -> None:
        file = self._files.get(name)
        if file is None:
            refuse(exchange, 404, "not_found", f"the dashboard has no {name[:80]!r}")
        else:
            exchange.respond(200, file.fields, file.content)
