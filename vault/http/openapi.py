"""The OpenAPI document: built once from the routes, their guards and what they declare to answer.

Which problems a route may answer with follows from what it takes: nobody writes that down route by
route, and so nobody forgets one. The schemas are those of the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from vault.access import Permission
from vault.http.answers import Answers, answers_of
from vault.http.guard import PUBLIC, GuardedRoute, routes_of
from vault.http.problems import PROBLEM
from verify.strictjson import Object

_SCHEMAS = "#/components/schemas/"
_TERMS = "terms.json"
_BEARER = "bearer"

_MEANING: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "What was sent cannot be read; `detail` names the place.",
    HTTPStatus.UNAUTHORIZED: "No token, or none that is valid now.",
    HTTPStatus.FORBIDDEN: "The role that it takes is not held.",
    HTTPStatus.NOT_FOUND: "It is not there, or not for you to see: both look alike.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come in time; nothing was kept of it.",
    HTTPStatus.CONFLICT: "It cannot be said of what stands there now; nothing was sealed.",
    HTTPStatus.PRECONDITION_FAILED: "What you read is not what stands now; nothing was changed.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is over the limit; nothing was kept of it.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of no type that is taken here.",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "No byte lies in that range.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "What is stored, or was sent, does not verify.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too much at once; `Retry-After` says when to come back.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Store or index cannot be used now; try again.",
}

_PROBLEM: Object = {
    "title": "Problem",
    "description": "RFC 9457.",
    "type": "object",
    "properties": {
        "detail": {"type": "string", "description": "What was wrong, where, and what to do."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "type": {"type": "string", "pattern": "^urn:evidence-vault:problem:[a-z_]+$"},
    },
    "required": ["detail", "instance", "status", "title", "type"],
    "additionalProperties": False,
}


def describe(app: FastAPI, schemas: Mapping[str, Object]) -> Object:
    """The document of an app; `schemas` are those of the command line, by name."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    components = document.setdefault("components", {})
    known = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        known.pop(name, None)  # errors here are problems
    known.update(_components(schemas), problem=_PROBLEM)
    components["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
    document["security"] = [{_BEARER: []}]
    for route in routes_of(app):
        for method in route.methods or ():
            path = document["paths"].get(route.path_format, {})
            if (operation := path.get(method.lower())) is not None:
                _complete(operation, route)
    return document


def _complete(operation: Object, route: GuardedRoute) -> None:
    """An operation with a summary that says something, its answers, and its problems."""
    told = operation.get("description", "")
    operation["summary"] = told.split("\n\n")[0].replace("\n", " ").rstrip(".")
    answers = answers_of(route.endpoint) or Answers(None)
    done = _content(answers)
    responses: Object = {
        str(route.status_code or 200): {"description": "Done.", **done},
        **{str(status): {"description": why, **done} for status, why in answers.also.items()},
        **{
            str(status): {"description": why, **_content(Answers(schema))}
            for status, (why, schema) in answers.other.items()
        },
        **{str(status): {"description": why} for status, why in answers.empty.items()},
    }
    if not answers.problems:  # told by the route itself, in its protocol's own words
        responses = {
            status: each for status, each in operation["responses"].items() if status != "422"
        }
    body = {"content": {PROBLEM: {"schema": {"$ref": f"{_SCHEMAS}problem"}}}}
    for status in sorted({*_problems(operation, route), *map(HTTPStatus, answers.refuses)}):
        told = {"description": _MEANING[status], **(body if answers.problems else {})}
        responses.setdefault(str(int(status)), told)
    operation["responses"] = responses


def _content(answers: Answers) -> Object:
    schema = answers.schema or ({} if answers.media.endswith("json") else {"type": "string"})
    return {"content": {answers.media: {"schema": schema}}}


def _problems(operation: Object, route: GuardedRoute) -> Iterator[HTTPStatus]:
    """The problems that a route may answer with, by what it takes and what it does."""
    if route.path == "/healthz":
        return
    yield HTTPStatus.SERVICE_UNAVAILABLE
    if route.path == "/readyz":
        return
    yield HTTPStatus.TOO_MANY_REQUESTS
    if route.permission != PUBLIC:
        yield HTTPStatus.UNAUTHORIZED
    if isinstance(route.permission, Permission):
        yield HTTPStatus.FORBIDDEN
    parameters = operation.get("parameters", [])
    if parameters or "requestBody" in operation:
        yield HTTPStatus.BAD_REQUEST
    named = any(each["in"] == "path" for each in parameters)
    if named or (parameters and route.permission == PUBLIC):
        yield HTTPStatus.NOT_FOUND
    if any(each["name"].lower() == "if-match" for each in parameters):
        yield HTTPStatus.PRECONDITION_FAILED
    if parameters or route.permission != PUBLIC:
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if "POST" in (route.methods or ()):
        yield HTTPStatus.CONFLICT
        yield HTTPStatus.REQUEST_TIMEOUT
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def _components(schemas: Mapping[str, Object]) -> dict[str, Object]:
    """Schemas of files as components; terms are components of their own, `terms.NAME`."""
    found: dict[str, Object] = {}
    for name, schema in schemas.items():
        plain = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
        if name != _TERMS.removesuffix(".json"):
            found[name] = _moved(plain, within=name)
        for term, value in schema.get("$defs", {}).items():
            found[f"{name}.{term}"] = _moved(value, within=name)
    return found


def _moved(value: Any, *, within: str) -> Any:
    """A schema whose references to files are references to components."""
    if isinstance(value, list):
        return [_moved(each, within=within) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _place(each, within) if key == "$ref" else _moved(each, within=within)
        for key, each in value.items()
    }


def _place(reference: str, within: str) -> str:
    file, _, pointer = reference.partition("#")
    name = file.removesuffix(".json") or within
    term = pointer.removeprefix("/$defs/")
    return f"{_SCHEMAS}{name}.{term}" if pointer else f"{_SCHEMAS}{name}"
