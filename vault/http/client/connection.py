"""The connection to a served vault: one host, kept alive, and its problems told as our errors.

What is asked again after a failure is only what may be asked twice. A token travels over TLS, or
within this host; it stands in no error and in no log. Certificates are always checked.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from vault import errors as kept
from vault.errors import (
    NotPermittedError,
    RecordError,
    RefusedError,
    StaleHeadError,
    UnauthenticatedError,
    UnavailableError,
)
from verify import errors as checked
from verify import strictjson
from verify.errors import DigestMismatchError, EvidenceError, MalformedError
from verify.strictjson import Object

_PROBLEM = "urn:evidence-vault:problem:"
_ANSWER_LIMIT = 64 << 20
"""Bytes of an answer that is read whole."""
_PIECE = 1 << 20
_CONNECT_SECONDS = 10.0
_ATTEMPTS = 4
_BACK_OFF = (0.2, 0.6, 1.8)
"""Seconds before the second, third and fourth attempt, unless the server names its own."""
LONG_PATIENCE = 6 * 3600.0
"""Seconds that a server may take over what reads all of the evidence."""
_LOOK_SECONDS = (0.1, 5.0)
"""Between two looks at what goes on at the server: at first, and at most."""
_PATIENCE = 30.0
"""Seconds of a Retry-After that are waited for; whoever is told to wait longer is told so."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}\Z")

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "HTTP_REQUEST")
"""What OpenSSL calls an answer that is no TLS, from version to version."""

_PLAIN: tuple[type[EvidenceError], ...] = (
    EvidenceError,
    checked.MalformedError,
    checked.UnsupportedError,
    checked.VerificationError,
    checked.SignatureError,
    checked.ChainError,
    checked.ProofError,
    kept.VaultError,
    kept.NotFoundError,
    kept.ConflictError,
    kept.StaleHeadError,
    kept.DepositConflictError,
    kept.RefusedError,
    kept.UnauthenticatedError,
    kept.RecordError,
    kept.UnavailableError,
    kept.IndexDamagedError,
)
_BY_CODE: Mapping[str, type[EvidenceError]] = {
    **{each.code: each for each in _PLAIN},
    # What only a server can say, as whoever asks has to take it.
    "precondition_failed": StaleHeadError,
    "too_large": RefusedError,
    "too_many_requests": UnavailableError,
    "too_slow": UnavailableError,
    "internal": UnavailableError,
    "object_conflict": kept.ConflictError,
    "split_view": checked.VerificationError,
}


@dataclass(frozen=True, slots=True)
class Server:
    """Where a vault is served, and the token that is shown there."""

    url: str
    """Without a slash at its end."""
    token: str = field(repr=False)


def check_server(url: str, token: str, *, insecure: bool = False) -> Server:
    """The server that a URL and a token name. Raises `MalformedError`, never with the token.

    Plain HTTP is for this host alone, unless `insecure` says that the way is safe: a tunnel.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MalformedError(f"EVAULT_URL {url!r} is no URL like https://vault.example.org")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise MalformedError("EVAULT_URL names a host, a port and a path, and nothing else")
    if parts.scheme == "http" and not insecure and not _is_here(parts.hostname):
        raise MalformedError(
            f"EVAULT_URL {url!r} would send your token unencrypted; use https://, or set "
            "EVAULT_INSECURE=1 where the way there is safe, such as a tunnel"
        )
    if not token:
        raise UnauthenticatedError(
            "EVAULT_URL names a server, and no token is there for it; set EVAULT_TOKEN, or "
            "EVAULT_TOKEN_FILE with the file that holds it"
        )
    if not _TOKEN.match(token):
        raise MalformedError("the token has characters that no token has; copy it again")
    return Server(url.rstrip("/"), token)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def json(self, where: str) -> Object:
        """The JSON object that it is. Raises `MalformedError`."""
        return strictjson.load_object(self.data, where=where, limit=_ANSWER_LIMIT)


class Connection:
    """Requests to one server, by one person or collector."""

    def __init__(
        self,
        server: Server,
        *,
        user_agent: str,
        timeout: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect when first asked; `timeout` is for each reading and writing, in seconds."""
        self.server = server
        self.writes = 0
        """How many requests changed something: what was read before them may have changed."""
        self._sleep = sleep
        self._seconds = timeout
        self._shown = {"Authorization": f"Bearer {server.token}"}
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=4,
            retries=False,
            headers={"User-Agent": user_agent},
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.clear()

    def get(self, path: str, /, **query: object) -> Heard:
        """Read something whole. Raises what the server says, and `UnavailableError`."""
        return self._asked("GET", _with(path, query), repeatable=True)

    def get_public(self, path: str, /) -> Heard:
        """Read something that needs no token, without showing it."""
        return self._asked("GET", path, repeatable=True, public=True)

    def get_json(self, path: str, /, **query: object) -> Object:
        """Read a JSON object."""
        return self.get(path, **query).json(path)

    def pages(self, path: str, /, **query: object) -> Iterator[Object]:
        """The items of all pages, from the first on."""
        cursor: str | None = None
        while True:
            page = self.get_json(path, **query, cursor=cursor)
            items = page.get("items")
            if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
                raise MalformedError(f"{self.server.url}{path}: a page without items")
            yield from items
            following = page.get("next")
            if following is None:
                return
            if not isinstance(following, str) or following == cursor:
                raise MalformedError(f"{self.server.url}{path}: a page that leads nowhere")
            cursor = following

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        patience: float | None = None,
        **query: object,
    ) -> Object:
        """Have something done; `repeatable` if doing it twice does it once.

        `patience` is how many seconds its answer may take, where that is long.
        """
        self.writes += 1
        data = strictjson.dumps(dict(body or {}))
        sent = {"Content-Type": "application/json", **(headers or {})}
        heard = self._asked(
            "POST", _with(path, query), data, sent, repeatable=repeatable, patience=patience
        )
        return heard.json(path)

    def wait_for(self, path: str, begun: Object) -> Object:
        """What goes on at the server, once it does no more; it is looked at again and again."""
        now, pause = begun, _LOOK_SECONDS[0]
        while now.get("state") == "running":
            self._sleep(pause)
            pause = min(2 * pause, _LOOK_SECONDS[1])
            now = self.get_json(path)
        return now

    def send(
        self, path: str, body: Iterable[bytes], *, headers: Mapping[str, str], **query: object
    ) -> Object:
        """Send a body as it is made, once. What stops its making stops the request.

        Raises what `body` raises, what the server says, and `UnavailableError`.
        """
        self.writes += 1
        pieces = _Told(body)
        try:
            heard = self._whole(self._request("POST", _with(path, query), pieces, headers))
        except (HTTPError, OSError) as error:
            if pieces.failure is not None:
                raise pieces.failure from None
            raise self._unreachable(error) from error
        if heard.status >= 300:
            raise self._problem(heard)
        return heard.json(path)

    @contextmanager
    def stream(
        self, path: str, *, patience: float | None = None, **query: object
    ) -> Iterator[tuple[Mapping[str, str], Iterator[bytes]]]:
        """The headers and the bytes of what is read, as they come."""
        self.writes += 1  # that it is read may be sealed
        try:
            answer = self._request("GET", _with(path, query), None, {}, patience)
        except (HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        try:
            if answer.status >= 300:
                raise self._problem(self._whole(answer))
            yield answer.headers, self._pieces(answer)
        finally:
            answer.close()

    def _pieces(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from answer.stream(_PIECE, decode_content=False)
        except (HTTPError, OSError) as error:
            raise self._unreachable(error) from error

    def _asked(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool,
        patience: float | None = None,
        public: bool = False,
    ) -> Heard:
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                answer = self._request(method, target, body, headers or {}, patience, public)
                heard = self._whole(answer)
            except (HTTPError, OSError) as error:
                if last or not (repeatable or _never_sent(error)):
                    raise self._unreachable(error) from error
                self._sleep(_BACK_OFF[attempt])
                continue
            if heard.status < 300:
                return heard
            # 429 is said before anything was looked at; 503 only where nothing was acknowledged.
            again = heard.status == 429 or (repeatable and heard.status in (502, 503, 504))
            wait = _wait(heard.headers.get("Retry-After"), _BACK_OFF[min(attempt, 2)])
            if last or not again or wait > _PATIENCE:
                raise self._problem(heard)
            self._sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
        patience: float | None = None,
        public: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        shown = {} if public else self._shown
        return self._pool.request(
            method,
            f"{self.server.url}{target}",
            body=body,
            headers={**self._pool.headers, **shown, **headers},
            redirect=False,  # a token is shown to the host that was named, and to no other
            preload_content=False,
            decode_content=False,
            timeout=self._timeout(patience),
        )

    def _timeout(self, patience: float | None) -> urllib3.Timeout:
        read = self._seconds if patience is None else patience
        return urllib3.Timeout(connect=_CONNECT_SECONDS, read=read)

    def _whole(self, answer: urllib3.BaseHTTPResponse) -> Heard:
        data = answer.read(_ANSWER_LIMIT + 1)
        if len(data) > _ANSWER_LIMIT:
            answer.close()
            raise MalformedError(f"{self.server.url} answered with over {_ANSWER_LIMIT:,} bytes")
        answer.release_conn()
        return Heard(answer.status, answer.headers, data)

    def _problem(self, heard: Heard) -> EvidenceError:
        """What the server says, as the error that it was there."""
        try:
            problem = heard.json("problem")
            kind, detail = str(problem["type"]), str(problem["detail"])
        except (EvidenceError, KeyError):
            return UnavailableError(
                f"{self.server.url} answered {heard.status}, and not as a vault does; is the "
                "address right, and what stands before the vault well?"
            )
        return error_of(kind.removeprefix(_PROBLEM), detail, heard.status)

    def _unreachable(self, error: Exception) -> UnavailableError:
        return UnavailableError(f"cannot reach the vault at {self.server.url}: {_reason(error)}")


def error_of(code: str, detail: str, status: int = 400) -> EvidenceError:
    """The error that a problem was, with the same words."""
    if code in (DigestMismatchError.code, "damaged"):
        return ToldMismatchError(detail)
    if code == NotPermittedError.code:
        return NotPermittedError(detail, permission="")
    if code == RecordError.code:
        return RecordError(detail)
    known = _BY_CODE.get(code)
    if known is None:
        known = UnavailableError if status >= 500 else RefusedError
    return known(detail)


class ToldMismatchError(DigestMismatchError):
    """That a content is not what a digest says, in the words of who found it."""

    def __init__(self, detail: str) -> None:
        EvidenceError.__init__(self, detail)
        self.sealed = self.found = ""


class _Told:
    """A body, and what stopped its making: not the same as what stopped its sending."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe=":")


def _with(path: str, query: Mapping[str, object]) -> str:
    said = {name: str(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(said)}" if said else path


def _wait(told: str | None, otherwise: float) -> float:
    """Seconds to wait; dates are not understood, as our server sends none."""
    return float(told) if told is not None and told.isascii() and told.isdigit() else otherwise


def _never_sent(error: Exception) -> bool:
    return isinstance(error, (urllib3.exceptions.NewConnectionError, ConnectionRefusedError))


def _looked_up(error: Exception) -> str:
    cause = error.__cause__
    return cause.strerror or "no answer" if isinstance(cause, OSError) else "no answer"


def _reason(error: Exception) -> str:
    """Why, in words; from inside what urllib3 wraps it in, which may name headers."""
    if isinstance(error, urllib3.exceptions.SSLError) or "certificate" in str(error).lower():
        if any(each in str(error) for each in _NO_TLS):
            return "it does not speak TLS there; is it http:// perhaps, or another port?"
        return f"its certificate is not trusted ({error}); SSL_CERT_FILE names others to trust"
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return f"its host name cannot be found ({_looked_up(error)}); is it right?"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "it does not answer"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "it did not answer in time"
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the connection broke off"
