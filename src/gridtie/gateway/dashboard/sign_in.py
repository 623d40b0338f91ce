"""Signing in: a key gets a code (`POST /gridtie/sign-in`), the page turns it into a session (`/dashboard/session`).

The key itself is in no address and in no browser. The session's token is in a cookie that scripts cannot read, that
comes from pages of our own alone (SameSite=Strict), and that is sent to the dashboard's paths alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from time import monotonic, time

import msgspec

from gridtie.gateway.admin.answer import refuse, tell
from gridtie.gateway.dashboard.sessions import CODE_SECONDS, SESSION_SECONDS, Sessions
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.keys import Key, Keys, presented
from gridtie.gateway.response import JSON
from gridtie.gateway.routes import Route

PATH = "/dashboard"
_NOT_SIGNED_IN = "not signed in, or no longer; `gridtie dashboard` on the station prints an address to open"
_CODE_OVER = "this code opens nothing: it was used, or is older than two minutes; `gridtie dashboard` prints a new one"


class Viewer(msgspec.Struct, frozen=True):
    """Who looks."""

    key: Key
    token: str

    @property
    def whose(self) -> str | None:
        """Whose requests he sees, by the key's name; None: everybody's."""
        return None if self.key.admin else self.key.name

    def sees(self, key: str) -> bool:
        """Whether a request of the key with this name is shown to him."""
        return self.whose in (None, key)


class _Redeemed(msgspec.Struct, frozen=True):
    code: str


class SignIn:
    """Opens and ends sessions, and says whose one is."""

    def __init__(self, sessions: Sessions, keys: Callable[[], Keys]) -> None:
        """`keys` gives those that are in force."""
        self._sessions = sessions
        self._keys = keys

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/gridtie/sign-in", post=self.code),
            # Public, since a session stands in for a key here, which is asked for with each request.
            Route(path=f"{PATH}/session", get=self.session, post=self.open, delete=self.close, public=True),
        )

    # -- a key's side ------------------------------------------------------------------------------------------------

    def code(self, exchange: Exchange) -> None:
        """A code for whoever has the key that asks."""
        code = self._sessions.code(sha256(presented(exchange.head.headers)).digest(), monotonic())
        tell(exchange, {"code": code, "seconds": CODE_SECONDS, "path": f"{PATH}#code={code}"})

    # -- the page's side ---------------------------------------------------------------------------------------------

    def open(self, exchange: Exchange) -> None:
        """Turn a code into a session."""
        if not from_our_page(exchange):
            return
        try:
            code = msgspec.json.decode(exchange.body, type=_Redeemed).code
        except (msgspec.DecodeError, UnicodeDecodeError):
            refuse(exchange, 400, "invalid_body", 'the body is no {"code": "..."}')
            return
        token = self._sessions.redeem(code, monotonic())
        viewer = self._viewer(token)
        if viewer is None:
            refuse(exchange, 401, "invalid_code", _CODE_OVER)
            return
        cookie = _cookie(exchange, token, round(SESSION_SECONDS))
        exchange.respond(200, JSON + cookie, _told(viewer))

    def session(self, exchange: Exchange) -> None:
        """Who is signed in."""
        viewer = self.viewer(exchange)
        if viewer is not None:
            exchange.respond(200, JSON, _told(viewer))

    def close(self, exchange: Exchange) -> None:
        """Sign out."""
        if from_our_page(exchange):
            self._sessions.end(_token(exchange))
            exchange.respond(200, JSON + _cookie(exchange, "", 0), b"{}")

    def viewer(self, exchange: Exchange) -> Viewer | None:
        """Whose session the request is of; if it is nobody's, he has been told."""
        # Cookies do not tell ports apart: another server's page on this machine would bring ours along.
        if exchange.head.headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            refuse(exchange, 403, "not_our_page", "a page of another origin asks; the dashboard answers its own alone")
            return None
        viewer = self.of(_token(exchange))
        if viewer is None:
            refuse(exchange, 401, "not_signed_in", _NOT_SIGNED_IN)
            return None
        # What a slow viewer makes the router hold is counted as its key's.
        exchange.head.key = viewer.key
        return viewer

    def of(self, token: str) -> Viewer | None:
        """The same for a token, by the keys that are in force now."""
        return self._viewer(token) if token else None

    def _viewer(self, token: str) -> Viewer | None:
        digest = self._sessions.key(token, monotonic())
        key = None if digest is None else self._keys().of_digest(digest, time())
        if key is None:
            self._sessions.end(token)
            return None
        return Viewer(key, token)


def from_our_page(exchange: Exchange) -> bool:
    """Whether a change was asked for by our own page, as its browser says; if not, it has been refused.

    Browsers send Origin with each of these. That it is the very host that was asked is more than the router asks of
    others: pages of declared origins may ask models, and end nobody's requests.
    """
    head = exchange.head
    _, separator, host = head.headers.get(b"origin", b"").partition(b"://")
    if separator and host.lower() == head.host.lower():
        return True
    message = "this changes something, and is for the dashboard's own page (an Origin of this very host)"
    refuse(exchange, 403, "not_our_page", message)
    return False


def _told(viewer: Viewer) -> bytes:
    return msgspec.json.encode({"name": viewer.key.name, "admin": viewer.key.admin})


def _name(exchange: Exchange) -> str:
    """The cookie's name has the port, since browsers give the cookies of a machine to all servers on it."""
    port = exchange.head.host.rpartition(b":")[2]
    return f"gridtie_{port.decode('latin-1') if port.isdigit() else 'default'}"


def _token(exchange: Exchange) -> str:
    wanted = f"{_name(exchange)}="
    pairs = (each.strip() for each in exchange.header(b"cookie").split(";"))
    return next((each[len(wanted) :] for each in pairs if each.startswith(wanted)), "")


def _cookie(exchange: Exchange, token: str, seconds: int) -> bytes:
    secure = "; Secure" if exchange.head.headers.get(b"origin", b"").lower().startswith(b"https:") else ""
    name = _name(exchange)
    return f"set-cookie: {name}={token}; Path={PATH}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}\r\n".encode()
