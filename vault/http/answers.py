"""What each route answers when it did what was asked, as its part of the OpenAPI document says it.

Most answers are documents of the command line, and are declared by the name of its schema; what the
API alone tells has its shape here. Nothing here changes an answer: tests hold answers against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from verify.strictjson import Object

JSON = "application/json"
TEXT = "text/plain"
BYTES = "application/octet-stream"

_ANSWERS = "__evault_answers__"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Answers:
    """The body of a success, the other statuses that a route answers with, and when."""

    schema: Object | None
    media: str = JSON
    also: Mapping[int, str] = field(default_factory=dict)
    """Other successes with the same body."""
    other: Mapping[int, tuple[str, Object]] = field(default_factory=dict)
    """Other successes with another body."""
    empty: Mapping[int, str] = field(default_factory=dict)
    """Answers without a body."""
    refuses: tuple[int, ...] = ()
    """Problems besides those that follow from what the route takes."""
    problems: bool = True
    """Whether failures are problems (RFC 9457), and not as another protocol has them."""


def tells(
    shape: str | Object | None = None,
    *,
    media: str = JSON,
    **more: Any,
) -> Callable[[Endpoint], Endpoint]:
    """Declare what a route answers: a schema of the command line by its name, or a shape.

    `more` are the other members of `Answers`.
    """
    schema = ref(shape) if isinstance(shape, str) else shape

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ANSWERS, Answers(schema, media, **more))
        return endpoint

    return declare


def answers_of(endpoint: Callable[..., Any]) -> Answers | None:
    """What an endpoint declares, None for nothing."""
    found = getattr(endpoint, _ANSWERS, None)
    assert found is None or isinstance(found, Answers)
    return found


def ref(name: str) -> Object:
    """A reference to a schema of the command line; `name#/…` is a part of it."""
    return {"$ref": f"#/components/schemas/{name.replace('#', '', 1)}"}


def a_page_of(items: Object) -> Object:
    """A page: `next` is the cursor of the one behind it, null for the last."""
    return _exactly({"items": {"type": "array", "items": items}, "next": _or_null(_TEXT)})


def _exactly(members: Mapping[str, Object]) -> Object:
    return {
        "type": "object",
        "properties": dict(members),
        "required": sorted(members),
        "additionalProperties": False,
    }


def _or_null(shape: Object) -> Object:
    return {"anyOf": [shape, {"type": "null"}]}


def _texts(items: Object | None = None) -> Object:
    return {"type": "array", "items": items or _TEXT}


def _one_of(words: Sequence[str]) -> Object:
    return {"enum": list(words)}


_TEXT: Object = {"type": "string"}
_COUNT: Object = {"type": "integer", "minimum": 0}

ALIVE = _exactly({"status": _one_of(["alive"])})
READY = _exactly({"log_size": _COUNT, "status": _one_of(["ready"])})
ENVELOPE: Object = {"type": "object", "description": "A DSSE envelope, as stored."}
STORED: Object = {"type": "object", "description": "As stored; see verify/FORMAT.md."}

WHOAMI = _exactly(
    {
        "authenticated": _one_of(["token", "oidc"]),
        "chains": _or_null(_texts()),
        "expires": _or_null(ref("terms.instant")),
        "grants": {
            "type": "array",
            "items": _exactly(
                {
                    "chains": _texts(),
                    "from": ref("terms.instant"),
                    "role": ref("terms.granted_role"),
                    "to": _or_null(ref("terms.instant")),
                }
            ),
        },
        "id": _TEXT,
        "kind": _one_of(["person", "collector"]),
        "permissions": _texts(),
        "roles": _texts(),
        "token": _or_null(_TEXT),
    }
)
ABOUT = _exactly(
    {
        "origin": _TEXT,
        "store": _exactly(
            {
                "checksums": {"type": "boolean"},
                "kind": _one_of(["directory", "s3"]),
                "locks": {"type": "boolean"},
                "versions": {"type": "boolean"},
                "words": _TEXT,
            }
        ),
        "version": _TEXT,
    }
)
HEAD = _exactly(
    {
        "chain": _TEXT,
        "leaf_hash": ref("terms.sha256"),
        "sealed": {"type": "boolean"},
        "sequence": _COUNT,
    }
)
HEADS = a_page_of(HEAD)
MANIFESTS = a_page_of(
    _exactly(
        {
            "envelope": {"type": "string", "description": "The exact text of a DSSE envelope."},
            "index": _or_null(_COUNT),
            "leaf_hash": ref("terms.sha256"),
            "sequence": _COUNT,
        }
    )
)
DESCRIPTIONS = a_page_of(
    _exactly(
        {
            "description": {"type": "string", "description": "The exact text of a description."},
            "exhibit": _TEXT,
        }
    )
)
REQUEST = ref("request")
SWEEPING = _exactly(
    {
        "depth": _one_of(["checksums", "bytes"]),
        "failure": _or_null(_exactly({"code": _TEXT, "detail": _TEXT})),
        "id": _TEXT,
        "receipt": _or_null(ref("receipt")),
        "requester": _TEXT,
        "result": _or_null(ref("sweep#/oneOf/0")),
        "started_at": ref("terms.instant"),
        "state": _one_of(["running", "done", "failed", "lost"]),
    }
)
SIGHTED = _exactly(
    {
        "chain": ref("terms.chain_id"),
        "checkpoint": _or_null(_TEXT),
        "envelope": {"type": "string", "description": "The exact text of a DSSE envelope."},
        "exhibit": _TEXT,
        "index": _or_null(_COUNT),
        "leaf_hash": ref("terms.sha256"),
        "proof": _or_null({"type": "string", "description": "A C2SP tlog-proof."}),
        "received_at": ref("terms.instant"),
        "sequence": _COUNT,
        "size": _COUNT,
        "withdrawn": _or_null(_TEXT),
    }
)
_JUDGE = _exactly({"origin": _TEXT, "sha256": ref("terms.sha256"), "whose": _one_of(["server"])})
_KNOWN: Object = {
    "counts": _exactly({"known": _COUNT}),
    "digest": ref("terms.sha256"),
    "items": {"type": "array", "items": SIGHTED},
    "state": _one_of(["known", "unknown"]),
    "trust": _JUDGE,
}
KNOWN_FILE = _exactly({**_KNOWN, "size": _COUNT})
AUDITED: Object = {
    "type": "object",
    "description": "An audit report (schema audit-report), and by whose trust it was judged.",
    "properties": {
        "trust": _JUDGE,
        "verdict": _one_of(["passed", "failed", "inconclusive"]),
    },
    "required": ["findings", "trust", "verdict"],
}
VERIFIED: Object = {"oneOf": [_exactly(_KNOWN), AUDITED]}
EXPORTED = _exactly(
    {
        "counts": _exactly({"included": _COUNT, "withdrawn": _COUNT, "withheld": _COUNT}),
        "incident": ref("terms.incident_id"),
        "receipt": ref("receipt"),
        "sequence": _COUNT,
        "sha256": ref("terms.sha256"),
        "size": _COUNT,
        "withdrawn": ref("terms.left_out"),
        "withheld": ref("terms.left_out"),
    }
)
TAKEN = _exactly(
    {
        "incident": ref("terms.chain_id"),
        "items": {"type": "array", "items": ref("exhibit")},
        "receipt": ref("receipt"),
        "state": _TEXT,
    }
)
RECEIVED = _exactly(
    {
        "incident": ref("terms.chain_id"),
        "items": _COUNT,
        "receipts": {"type": "array", "items": ref("receipt")},
    }
)
TAKES = _exactly({"chain": ref("terms.chain_id"), "collector": _or_null(_TEXT)})
CLOSED = _exactly(
    {
        "incident": ref("terms.incident_id"),
        "locked": _or_null(_exactly({"gone": _COUNT, "objects": _COUNT})),
        "open": ref("incident-close#/properties/open"),
        "receipt": ref("receipt"),
    }
)
