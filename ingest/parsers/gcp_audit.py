"""Google Cloud audit logs: who called what, which permissions were checked, and how it went.

Read are entries of Cloud Logging as NDJSON, as a list (`gcloud logging read`), under `entries`, or
alone. Entries that are no audit log are counted, and told; they have no principals.

- `principals` are `authenticationInfo.principalEmail`, else `principalSubject`; and those on whose
  behalf a service account acted (`serviceAccountDelegationInfo`).
- `permissions` are those of `authorizationInfo`, with what each check came to. JSON of protobuf
  leaves `false` out: a check that does not say was refused if the call was, else it is unknown.
  Roles that a call to SetIamPolicy added (`bindingDeltas`) are permissions of the member.
- `decisions` follow the status: 7 and 16 are refusals. A long-running operation is logged when it
  begins and when it ends: only the beginning was decided on, unless the end is a failure.
- `accounts` are projects, else the organisation or folder of the log.
- `datasets` are objects of Cloud Storage (`gs://bucket/key`), BigQuery (`bigquery:…`) and secrets.
- `models` are those that Vertex AI was asked for.
- An entry is the same as another if id, time and log are: `insertId` alone may come again.
- Data Access logs are mostly off. Without any, reads of data are not captured.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.access import MOST_KNOWN, Datasets, Requests, marked, recognised, summary
from ingest.parsers.gathering import digest_of
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader
from verify.facts import Permission

NO_DATA_ACCESS = "reads of data (no data events)"

_KEYS = ("entries",)
_MARKS = re.compile(rb"(google\.cloud\.audit\.AuditLog)")
_OWN = marked("protoPayload")
_REFUSED = (7, 16)
_CONTAINER = re.compile(r"(projects|organizations|folders|billingAccounts)/([^/]{1,100})/logs/")
_OBJECT = re.compile(r"projects/[^/]+/buckets/([^/]{1,222})(?:/objects/(.{1,1024}))?", re.DOTALL)
_TABLE = re.compile(r"projects/([^/]+)/datasets/([^/]+)(?:/(?:tables|models|routines)/([^/]+))?")
_SECRET = re.compile(r"projects/([^/]+)/secrets/([^/]+)(?:/versions/[^/]+)?")
_MODELS = "aiplatform.googleapis.com"
_MODEL = re.compile(r".*/models/([^/]{1,200})", re.DOTALL)


class GcpAuditParser:
    """Reads entries of Cloud Logging that hold audit logs."""

    name = "gcp-audit"
    version = 1
    kinds = ("access_log",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where an entry names the type of an audit log."""
        del name
        return recognised(head, _MARKS, 1, _holds_entry, _KEYS, own=_OWN)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every entry."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_entry)
        log = _Log()
        for offset, value in reader:
            # Nearly all are entries as delivered.
            if isinstance(value, dict) and _is_entry(value):
                log.take(value)
                continue
            for entry in value if isinstance(value, list) else (value,):
                if _is_entry(entry):
                    log.take(entry)
                else:
                    reader.note_bad(offset, "not a log entry")
        return log.reading(self, reader)


def _holds_entry(value: object) -> bool:
    return any(map(_is_entry, value if isinstance(value, list) else (value,)))


def _is_entry(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return "logName" in value and ("insertId" in value or "timestamp" in value)


class _Log:
    def __init__(self) -> None:
        self._requests = Requests()
        self._datasets = Datasets()
        self._known: set[object] = set()
        self._data_access = False
        self._operations: dict[bytes, bool] = {}  # those begun, and whether they ended

    def take(self, entry: dict[str, Any]) -> None:
        """Take one entry."""
        requests = self._requests
        moment, log = entry.get("timestamp"), entry.get("logName")
        requests.record(f"{entry.get('insertId')} {moment} {log}" if "insertId" in entry else None)
        payload = entry.get("protoPayload")
        if not isinstance(payload, dict) or "methodName" not in payload:
            requests.happened(moment)
            requests.count_problem("record", "of a log that is no audit log")
            return
        principal = self._principal(payload.get("authenticationInfo"))
        if principal is None:
            requests.count_problem("event", "without a principal")
        requests.happened(moment, requests.actor(principal))
        self._take_log(log, entry.get("resource"))
        self._take_call(payload)
        code = _code(payload.get("status"))
        self._decide(entry.get("operation"), code)
        self._take_checks(payload, principal, code)
        self._take_delta(payload)

    def _new(self, *what: object) -> bool:
        """Whether this was not met before, or long ago."""
        if what in self._known:
            return False
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(what)
        return True

    def _principal(self, info: object) -> str | None:
        if not isinstance(info, dict):
            return None
        chain = info.get("serviceAccountDelegationInfo")
        for each in chain if isinstance(chain, list) else ():
            party = each.get("firstPartyPrincipal") if isinstance(each, dict) else None
            self._requests.add("principals", *_texts(party, "principalEmail"))
            self._requests.add("principals", *_texts(each, "principalSubject"))
        for key in ("principalEmail", "principalSubject"):
            if isinstance(name := info.get(key), str) and name:
                return name
        return None

    def _take_log(self, log: object, resource: object) -> None:
        labels = resource.get("labels") if isinstance(resource, dict) else None
        project = labels.get("project_id") if isinstance(labels, dict) else None
        if not isinstance(log, str) or (project is not None and not isinstance(project, str)):
            return
        if not self._new("log", log, project):
            return
        if "data_access" in log:
            self._data_access = True
        container = _CONTAINER.match(log)
        if project:
            self._requests.add("accounts", project)
        elif container:
            name = container[2] if container[1] == "projects" else f"{container[1]}/{container[2]}"
            self._requests.add("accounts", name)

    def _take_call(self, payload: dict[str, Any]) -> None:
        get = payload.get
        try:
            new = self._new("call", get("serviceName"), get("methodName"), get("resourceName"))
        except TypeError:  # a list or an object where a text should be
            new = True
        if new:
            self._take_new_call(payload)
        if get("serviceName") == _MODELS:
            self._take_model(get("resourceName"))
        metadata = payload.get("metadata")
        names = metadata.get("resourceNames") if isinstance(metadata, dict) else None
        for each in names if isinstance(names, list) else ():
            self._take_resource(each)

    def _take_model(self, name: object) -> None:
        """Every request counts, also of a model that was named before."""
        if isinstance(name, str) and (model := _MODEL.fullmatch(name[:1000])):
            self._requests.model(requested=model[1])

    def _take_new_call(self, payload: dict[str, Any]) -> None:
        service, method, name = (
            value if isinstance(value := payload.get(key), str) else ""
            for key in ("serviceName", "methodName", "resourceName")
        )
        short = service.removesuffix(".googleapis.com")
        self._requests.add("actions", f"{short}:{method}" if short else method)
        self._take_resource(name)

    def _take_resource(self, name: object) -> None:
        if not isinstance(name, str) or not self._new("resource", name):
            return
        if match := _OBJECT.fullmatch(name):
            self._datasets.add(f"gs://{match[1]}", match[2])
        elif match := _TABLE.fullmatch(name):
            self._datasets.add(f"bigquery:{match[1]}.{match[2]}", match[3])
        elif match := _SECRET.fullmatch(name):
            self._datasets.add(f"secretmanager:{match[1]}/{match[2]}")

    def _decide(self, operation: object, code: int) -> None:
        decision = "allowed" if not code else "denied" if code in _REFUSED else "failed"
        if isinstance(operation, dict) and isinstance(name := operation.get("id"), str):
            begins, ends = (operation.get(each) is True for each in ("first", "last"))
            self._follow(digest_of(name), begins=begins, ends=ends)
            if ends and not begins and not code:
                return
        self._requests.decision(decision)

    def _follow(self, operation: bytes, *, begins: bool, ends: bool) -> None:
        """Ends may come before beginnings: entries are often sorted from new to old."""
        if begins and ends:
            return
        known = self._operations.pop(operation, None)
        if known is None and len(self._operations) < MOST_KNOWN and (begins or ends):
            self._operations[operation] = ends

    def _take_checks(self, payload: dict[str, Any], principal: str | None, code: int) -> None:
        checks = payload.get("authorizationInfo")
        for each in checks if isinstance(checks, list) else ():
            if not isinstance(each, dict):
                continue
            granted = each.get("granted")
            if granted is True:
                said = "granted"
            else:
                said = "denied" if granted is False or code in _REFUSED else "unknown"
            resource = each.get("resource")
            if not isinstance(resource, str):
                resource = next(iter(_texts(each.get("resourceAttributes"), "name")), None)
            self._take_resource(resource)
            permission = each.get("permission")
            if isinstance(permission, str) and self._new(permission, principal, resource, said):
                self._requests.keep(Permission(permission, principal, resource, said))

    def _take_delta(self, payload: dict[str, Any]) -> None:
        data = payload.get("serviceData") or payload.get("metadata")
        delta = data.get("policyDelta") if isinstance(data, dict) else None
        bindings = delta.get("bindingDeltas") if isinstance(delta, dict) else None
        for each in bindings if isinstance(bindings, list) else ():
            if isinstance(each, dict) and each.get("action") == "ADD":
                role, member, on = each.get("role"), each.get("member"), payload.get("resourceName")
                self._requests.keep(Permission(role, member, on, "granted"))  # type: ignore[arg-type]  # cleaned there

    def reading(self, parser: GcpAuditParser, reader: RecordReader) -> Reading:
        """What all this says of the item."""
        requests = self._requests
        requests.add("platforms", "gcp")
        if requests.records and not self._data_access:
            requests.add("not_captured", NO_DATA_ACCESS)
        begun = sum(not ended for ended in self._operations.values())
        if begun and len(self._operations) < MOST_KNOWN:
            requests.count_problem("operation", "whose end is not here", begun)
        facts = self._datasets.into(requests.facts(parser, damage=reader))
        return Reading(facts, parser.kinds, "GCP audit log", summary(facts, "event"))


def _texts(value: object, key: str) -> tuple[str, ...]:
    found = value.get(key) if isinstance(value, dict) else None
    return (found,) if isinstance(found, str) and found else ()


def _code(status: object) -> int:
    code = status.get("code") if isinstance(status, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) else 0


PARSERS = (GcpAuditParser(),)
