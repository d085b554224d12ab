"""Errors as RFC 9457 problems: the one place that maps what went wrong to a status.

A failed audit is no problem: it is a 200 whose verdict is `failed`. What is not an error of ours is
an opaque 500; its text goes to the log of the server, never to who asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vault.errors import (
    ConflictError,
    NotFoundError,
    NotPermittedError,
    RecordError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from verify.errors import (
    DigestMismatchError,
    EvidenceError,
    MalformedError,
    UnsupportedError,
    VerificationError,
)
from verify.strictjson import Object

PROBLEM = "application/problem+json"
PRIVATE: Mapping[str, str] = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
}
"""Fields of every answer that is for who asked alone, problems among them."""
RETRY_AFTER = 2
"""Seconds after which it is worth trying again."""

_log = logging.getLogger("evault.http")

STATUS: Mapping[type[EvidenceError], HTTPStatus] = {
    MalformedError: HTTPStatus.BAD_REQUEST,
    UnsupportedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DigestMismatchError: HTTPStatus.UNPROCESSABLE_ENTITY,
    VerificationError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    RefusedError: HTTPStatus.CONFLICT,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    NotPermittedError: HTTPStatus.FORBIDDEN,
    RecordError: HTTPStatus.INTERNAL_SERVER_ERROR,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each class of error; a class that is not named has that of its nearest base."""


class TooManyRequestsError(EvidenceError):
    """More is asked for than one identity, or this process, may at once; nothing was done."""

    code = "too_many_requests"


class PreconditionError(EvidenceError):
    """What was read is not what stands now; nothing was changed."""

    code = "precondition_failed"


class TooLargeError(EvidenceError):
    """A body over the limit of its route; nothing was kept of it."""

    code = "too_large"


class UnsupportedMediaError(EvidenceError):
    """A body of a type, or in a coding, that its route does not take; nothing was kept of it."""

    code = "unsupported_media_type"


class TooSlowError(EvidenceError):
    """A body that did not come in time; nothing was kept of it."""

    code = "too_slow"


class BrokenOffError(EvidenceError):
    """A body that broke off, because its sender went away; nothing was kept of it."""

    code = "broken_off"


class RangeError(EvidenceError):
    """A range that has no byte of what there is; nothing was given."""

    code = "range_not_satisfiable"

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size


class DamagedError(EvidenceError):
    """What the store holds is not what was sealed: it is not given out."""

    code = "damaged"


_OWN: Mapping[type[EvidenceError], HTTPStatus] = {
    BrokenOffError: HTTPStatus.BAD_REQUEST,
    DamagedError: HTTPStatus.INTERNAL_SERVER_ERROR,
    RangeError: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    PreconditionError: HTTPStatus.PRECONDITION_FAILED,
    TooManyRequestsError: HTTPStatus.TOO_MANY_REQUESTS,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooSlowError: HTTPStatus.REQUEST_TIMEOUT,
    UnsupportedMediaError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}


def status_of(error: EvidenceError) -> HTTPStatus:
    """The status of an error, by its nearest class that has one."""
    for each in type(error).__mro__:
        if (found := _OWN.get(each) or STATUS.get(each)) is not None:
            return found
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem(status: HTTPStatus, code: str, detail: str, instance: str) -> Object:
    """A problem as an object."""
    return {
        "detail": detail,
        "instance": instance,
        "status": int(status),
        "title": status.phrase,
        "type": f"urn:evidence-vault:problem:{code}",
    }


def response_of(error: EvidenceError, instance: str) -> JSONResponse:
    """An error of ours as an answer."""
    status = status_of(error)
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="evidence vault"'
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["Retry-After"] = str(RETRY_AFTER)
    if isinstance(error, RangeError):
        headers["Content-Range"] = f"bytes */{error.size}"
    return answer(status, error.code, str(error), instance, headers)


def answer(
    status: HTTPStatus,
    code: str,
    detail: str,
    instance: str,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as an answer."""
    return JSONResponse(
        problem(status, code, detail, instance),
        status,
        {**PRIVATE, **(headers or {})},
        media_type=PROBLEM,
    )


_WORDS: Mapping[str, str] = {
    "bool_parsing": "takes true or false",
    "bool_type": "takes true or false",
    "dict_type": "takes an object",
    "enum": "takes one of {expected}",
    "greater_than_equal": "is at least {ge}",
    "int_parsing": "takes a whole number",
    "int_type": "takes a whole number",
    "less_than": "is less than {lt}",
    "less_than_equal": "is at most {le}",
    "list_type": "takes a list",
    "literal_error": "takes one of {expected}",
    "missing": "is missing",
    "model_attributes_type": "takes an object",
    "string_pattern_mismatch": "is not of the form that is taken here; /v1/openapi.json tells it",
    "string_too_long": "is a text of at most {max_length} characters",
    "string_too_short": "is a text of at least {min_length} characters",
    "string_type": "takes a text",
    "too_long": "has at most {max_length} members",
    "too_short": "has at least {min_length} members",
    "value_error": "{error}",
}
"""What a request lacks, by the framework's name of it."""


def unreadable_text(error: Mapping[str, Any], members: Sequence[str]) -> str:
    """Why a request cannot be read: the place, and what is taken there."""
    kind, place, known = str(error["type"]), list(error["loc"]), dict(error.get("ctx") or {})
    if kind == "json_invalid":
        return f"body: not JSON, at character {place[-1]}: {known.get('error', '')}".rstrip(": ")
    where = ".".join(str(each) for each in place)
    if kind == "extra_forbidden":
        # Of an object inside the body the members are not known here.
        taken = f"; there are {', '.join(members)}" if len(place) == 2 and members else ""
        return f"{where}: there is no such field{taken}"
    if kind not in _WORDS or any(isinstance(each, bytes) for each in known.values()):
        return f"{where}: {error['msg']}"
    return f"{where}: {_WORDS[kind].format_map(known)}"


def _members(request: Request) -> list[str]:
    """The fields of the body that a route takes, as they are sent."""
    field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(field, "field_info", None), "annotation", None)
    fields: Mapping[str, Any] = getattr(model, "model_fields", {})
    return [each.alias or name for name, each in fields.items()]


def install(app: FastAPI) -> None:
    """Have the app answer every error as a problem."""

    @app.exception_handler(EvidenceError)
    def ours(request: Request, error: EvidenceError) -> JSONResponse:
        if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("%s %s: %s", request.method, request.url.path, error)
        return response_of(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    def unreadable(request: Request, error: RequestValidationError) -> JSONResponse:
        detail = unreadable_text(error.errors()[0], _members(request))
        return answer(HTTPStatus.BAD_REQUEST, "malformed", detail, request.url.path)

    @app.exception_handler(HTTPException)
    def framework(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        return answer(
            status,
            status.phrase.lower().replace(" ", "_"),
            str(error.detail),
            request.url.path,
            error.headers,
        )

    @app.exception_handler(Exception)
    def unknown(request: Request, error: Exception) -> JSONResponse:
        _log.error("%s %s", request.method, request.url.path, exc_info=error)
        detail = "a defect in the vault, not in your evidence; nothing was acknowledged"
        return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail, request.url.path)
