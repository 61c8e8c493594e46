"""The gate of the page: who may ask, and which headers every answer carries.

As in Jupyter, a token is printed on the console and exchanged for a cookie. Requests for another host (DNS rebinding)
or from another site (CSRF) are refused, and the policy lets the page load nothing but its own files.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSRF_HEADER: Final = "x-daylight-csrf"
MAX_BODY: Final = 2**20  # bytes of a request: `desk.MAX_BATCH` images take a twentieth of it
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class TooLargeError(Exception):
    """A request of more than `MAX_BODY` bytes."""


class Gate:
    """Wraps the pages: a request without the cookie gets the form that asks for the token, and nothing else."""

    def __init__(self, app: ASGIApp, token: str, port: int, prefix: str, hosts: Collection[str] = ()) -> None:
        """Guards an app.

        Args:
            app: the pages.
            token: secret of this server; empty for a new one.
            port: port on which it listens.
            prefix: path below which its pages lie, such as `/review`; empty for none.
            hosts: names under which a proxy serves it.
        """
        self._app, self._prefix = app, prefix
        self.token = token or secrets.token_urlsafe(32)
        self._hosts = {*(f"{host}:{port}" for host in LOOPBACK), *hosts}
        self._cookie = f"daylight-review-{port}"

    @property
    def csrf(self) -> str:
        """The value of `CSRF_HEADER` that the pages send back."""
        return self._sign("csrf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request or hands it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = await self._refuse(Request(scope, receive)) or self._app
        await answer(scope, receive, send_safely)

    async def _refuse(self, request: Request) -> ASGIApp | None:
        """The answer to a request that may not pass; None if it may."""
        host = request.headers.get("host", "")
        if host not in self._hosts:
            return _error("this page is served under another name: use the address that make review printed", 421)
        path = request.url.path.removeprefix(self._prefix)
        if path.startswith("/static/"):
            return None
        if request.method == "POST" and not self._is_same_origin(request, host):
            return _error("the request comes from another site", 403)
        if path == "/login" and request.method == "POST":
            return await self._log_in(request)
        token = request.query_params.get("token")
        if token is not None and request.method == "GET":
            return self._exchange(request, token)
        cookie = request.cookies.get(self._cookie, "")
        if not hmac.compare_digest(cookie.encode(), self._sign("cookie").encode()):
            request.scope["is_stranger"] = True
            return None if path == "/" else _error("log in first: open the address that make review printed", 401)
        given = request.headers.get(CSRF_HEADER, "")
        if request.method == "POST" and not hmac.compare_digest(given.encode(), self.csrf.encode()):
            return _error("reload the page: it belongs to another start of the server", 403)
        return None

    def _is_same_origin(self, request: Request, host: str) -> bool:
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
        try:
            is_ours = origin is None or urlsplit(origin).netloc == host
        except ValueError:
            return False
        return is_ours and site in ("same-origin", "none")

    async def _log_in(self, request: Request) -> Response:
        try:
            fields = parse_qs((await read_body(request)).decode("utf-8", "replace"), max_num_fields=10)
        except ValueError:
            return _error("this is not the form", 400)
        return self._exchange(request, fields.get("token", [""])[0].strip())

    def _exchange(self, request: Request, token: str) -> Response:
        """Exchanges the token for the cookie, and removes it from the address."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            return RedirectResponse(f"{self._prefix}/?wrong=1", 303)
        kept = [pair for pair in request.query_params.multi_items() if pair[0] not in ("token", "wrong")]
        target = f"{self._prefix}/" + (f"?{urlencode(kept)}" if kept else "")
        response = RedirectResponse(target, 303)
        is_local = urlsplit(f"//{request.headers['host']}").hostname in ("127.0.0.1", "localhost", "::1")
        response.set_cookie(
            self._cookie,
            self._sign("cookie"),
            path=self._prefix or "/",
            secure=not is_local,
            httponly=True,
            samesite="lax",
        )
        return response

    def _sign(self, purpose: str) -> str:
        return hmac.new(self.token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


async def read_body(request: Request) -> bytes:
    """Reads the body of a request.

    Raises:
        TooLargeError: if it has more than `MAX_BODY` bytes.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLargeError(f"the request has more than {MAX_BODY} bytes")
    return bytes(body)


def _error(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status)
