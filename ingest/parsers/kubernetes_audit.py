"""Kubernetes audit logs: who asked the API server for what, whether it was allowed, and by what.

Read are events one a line, one after another, in lists, or in an `EventList`. A request is logged
in stages that share an `auditID`: `records` and `activities` count events, `decisions` requests.
A request that was received, and of which no more is logged here, was decided if the event says so.

- `principals` are user names, and those whom they impersonated; activity is the real user's.
- `decisions`: the answer 401 or 403, or an authorizer that said no, is `denied`; another error is
  `failed`, although it was permitted.
- `permissions` are what the authorizer was asked (`create pods/exec`, in a namespace) and said.
  Impersonation is one: `impersonate`, on the name that was taken.
- `scopes` are the roles that the authorizer says it allowed this by, and the user's groups.
- `datasets` are secrets and config maps: `kubernetes:secrets/<namespace>/<name>`.
- Events of level Metadata hold no bodies.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.access import (
    MOST_KNOWN,
    Actor,
    Datasets,
    Requests,
    marked,
    of_status,
    recognised,
    summary,
)
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader
from verify.facts import Permission

NO_REQUEST_BODIES = "request bodies"
NO_RESPONSE_BODIES = "response bodies"

MOST_OPEN = 50_000
"""How many requests are followed at a time, until their last stage comes."""

_KEYS = ("items",)
_MARKS = marked("auditID", "stage", "verb", "requestURI", "level", "stageTimestamp")
_OWN = marked("auditID")
_DECISION = "authorization.k8s.io/decision"
_REASON = "authorization.k8s.io/reason"
_ROLE = re.compile(r'of (ClusterRole|Role) "([^"]{1,253})"')
_DATA = ("secrets", "configmaps")
_LAST_STAGES = ("ResponseComplete", "Panic")


class KubernetesAuditParser:
    """Reads audit events of all versions of `audit.k8s.io`."""

    name = "k8s-audit"
    version = 1
    kinds = ("access_log",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is an audit event."""
        del name
        return recognised(head, _MARKS, 3, _is_event, _KEYS, own=_OWN)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every event."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_event)
        log = _Log()
        for offset, value in reader:
            if _is_event(value):
                log.take(value)
                continue
            items = value.get("items") if isinstance(value, dict) else value
            for each in items if isinstance(items, list) else (value,):
                if _is_event(each):
                    log.take(each)
                else:
                    reader.note_bad(offset, "not an audit event")
        return log.reading(self, reader)


def _is_event(value: object) -> bool:
    return isinstance(value, dict) and "auditID" in value and ("stage" in value or "verb" in value)


class _Request:
    """What is the same for all events of one user, verb, resource, stage and outcome."""

    __slots__ = ("actor", "count", "decision", "secret", "unfinished")

    def __init__(self, actor: Actor | None, decision: str) -> None:
        self.actor = actor
        self.decision = decision
        self.count = 0
        self.secret: str | None = None
        self.unfinished = False


class _Log:
    def __init__(self) -> None:
        self._requests = Requests(gaps=True)
        self._datasets = Datasets()
        self._known: dict[tuple[object, ...], _Request] = {}
        self._groups: dict[object, object] = {}
        self._open: dict[str, _Request] = {}
        self._closed: set[str] = set()
        self._levels: set[object] = set()

    def take(self, event: dict[str, Any]) -> None:
        """Take one event."""
        get = event.get
        user = get("user")
        name = user.get("username") if isinstance(user, dict) else None
        target = get("objectRef")
        if isinstance(target, dict):
            within = target.get
            thing, part = within("resource"), within("subresource")
            group, namespace = within("apiGroup"), within("namespace")
        else:
            thing, part, group, namespace = get("requestURI"), False, None, None
        notes = get("annotations")
        if isinstance(notes, dict):
            said, reason = notes.get(_DECISION), notes.get(_REASON)
        else:
            said = reason = None
        status = get("responseStatus")
        key: tuple[object, ...] = (
            name,
            get("verb"),
            thing,
            part,
            group,
            namespace,
            said,
            reason,
            status.get("code") if isinstance(status, dict) else None,
            get("stage"),
            get("level"),
        )
        try:
            request = self._known.get(key)
        except TypeError:  # a list or an object where a text should be
            key, request = (object(),), None
        if request is None:
            request = self._new(key, event)
        requests = self._requests
        requests.records += 1
        requests.happened(
            get("requestReceivedTimestamp") or get("stageTimestamp") or get("timestamp"),
            request.actor,
        )
        identity = event["auditID"]
        self._follow(identity if isinstance(identity, str) else str(identity)[:100], request)
        if request.actor is not None and isinstance(user, dict):
            groups = user.get("groups")
            if groups != self._groups.get(name):
                self._take_groups(name, groups)
        if request.secret is not None and isinstance(target, dict):
            self._datasets.add(request.secret, target.get("name"))
        if "impersonatedUser" in event:
            self._take_impersonation(event, request)

    def _follow(self, identity: str, request: _Request) -> None:
        """Stages of a request may come in any order; its last one counts."""
        if not request.unfinished:
            request.count += 1
            if self._open:
                self._open.pop(identity, None)
            if len(self._closed) < MOST_OPEN:
                self._closed.add(identity)
        elif identity not in self._closed and len(self._open) < MOST_OPEN:
            known = self._open.get(identity)
            if known is None or known.decision == "unknown":
                self._open[identity] = request

    def _new(self, key: tuple[object, ...], event: dict[str, Any]) -> _Request:
        if len(self._known) >= MOST_KNOWN:
            self._add_up()
        user, notes, status = (
            value if isinstance(value := event.get(each), dict) else {}
            for each in ("user", "annotations", "responseStatus")
        )
        name, said = user.get("username"), notes.get(_DECISION)
        actor = self._requests.actor(name)
        if actor is None:
            self._requests.problem("events without a user name")
        request = self._known[key] = _Request(actor, _decided(said, status.get("code")))
        request.unfinished = event.get("stage") not in (*_LAST_STAGES, None)
        self._levels.add(str(event.get("level"))[:40])
        action, namespace = self._take_target(event, request)
        self._requests.add("actions", action)
        if said is not None and action is not None:
            granted = {"allow": "granted", "forbid": "denied"}.get(str(said), "unknown")
            self._requests.keep(Permission(action, name, namespace, granted))
        if isinstance(reason := notes.get(_REASON), str):
            for role in _ROLE.finditer(reason[:2000]):
                self._requests.add("scopes", f"{role[1]}/{role[2]}")
        return request

    def _take_target(
        self, event: dict[str, Any], request: _Request
    ) -> tuple[str | None, str | None]:
        """The action, such as `create pods/exec`, and the namespace."""
        verb, target = event.get("verb"), event.get("objectRef")
        if not isinstance(verb, str):
            return None, None
        if not isinstance(target, dict):
            path = event.get("requestURI")
            return (f"{verb} {path.partition('?')[0]}" if isinstance(path, str) else verb), None
        resource, part, group, namespace = (
            value if isinstance(value := target.get(each), str) else ""
            for each in ("resource", "subresource", "apiGroup", "namespace")
        )
        if resource in _DATA and not group:
            request.secret = f"kubernetes:{resource}" + (f"/{namespace}" if namespace else "")
        path = "/".join(each for each in (group, resource, part) if each)
        return f"{verb} {path}", namespace or None

    def _take_groups(self, name: object, groups: object) -> None:
        if len(self._groups) >= MOST_KNOWN:
            self._groups.clear()
        self._groups[name] = groups
        for each in groups if isinstance(groups, list) else ():
            if isinstance(each, str):
                self._requests.add("scopes", f"group/{each}")

    def _take_impersonation(self, event: dict[str, Any], request: _Request) -> None:
        other = event.get("impersonatedUser")
        name = other.get("username") if isinstance(other, dict) else None
        if isinstance(name, str) and name:
            self._requests.add("principals", name)
            granted = "granted" if request.decision in ("allowed", "failed") else "unknown"
            principal = request.actor.name if request.actor else None
            self._requests.keep(Permission("impersonate", principal, name, granted))

    def _add_up(self) -> None:
        """Forget the requests, what they came to being added up."""
        for request in self._known.values():
            if request.count:
                self._requests.decision(request.decision, request.count)
        self._known.clear()
        self._requests.add_up()

    def reading(self, parser: KubernetesAuditParser, reader: RecordReader) -> Reading:
        """What all this says of the item."""
        self._add_up()
        requests = self._requests
        requests.add("platforms", "kubernetes")
        if len(self._closed) < MOST_OPEN:
            for request in self._open.values():
                requests.decision(request.decision)
        elif self._open:
            requests.count_problem(
                "request", "without a last stage, not decided on here", len(self._open)
            )
        if requests.records and not self._levels & {"Request", "RequestResponse"}:
            requests.add("not_captured", NO_REQUEST_BODIES)
        if requests.records and "RequestResponse" not in self._levels:
            requests.add("not_captured", NO_RESPONSE_BODIES)
        facts = self._datasets.into(requests.facts(parser, damage=reader))
        return Reading(facts, parser.kinds, "Kubernetes audit log", summary(facts, "event"))


def _decided(said: object, code: object) -> str:
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    if said == "forbid":
        return "denied"
    if number is None:
        return "allowed" if said == "allow" else "unknown"
    return of_status(number)


PARSERS = (KubernetesAuditParser(),)
