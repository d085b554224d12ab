"""Microsoft's audit logs: Azure Activity, Entra sign-ins, Microsoft 365. No data events in them.

Each has several spellings, of the service, its SDKs and the event hub (`operationName`,
`operation_name`, `OperationName`; values alone or as `{value, localizedValue}`), which are read
alike. Read are NDJSON, lists, and lists under `records` (event hubs) or `value` (REST).

**Azure Activity**: changes of resources. `principals` are `caller`, or who the token's claims say;
`scopes` are `authorization.scope` and what a role was assigned on; `permissions` are
`authorization.action`, and the role that gave it where the record says (`evidence`). An operation
is logged when it starts, is accepted and ends: only ends are decided on.

**Entra sign-ins**: the time is that of the sign-in (`createdDateTime`), or of the record where that
one is missing or has no zone. At least eleven spellings of times are known; `1/9/2007` names no
day, and is not guessed. `scopes` are the resources that tokens were asked for. A sign-in with an
error code was `denied`, or `asked` where it was interrupted to ask for more: a second factor,
consent.

**Microsoft 365**: `CreationTime` is in UTC by its schema, without saying so: it is read as such,
and the facts say so too. Search-UnifiedAuditLog wraps each record as a text in `AuditData`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, BinaryIO

from ingest.parsers.access import Datasets, Requests, marked, recognised, summary
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader, parse_embedded
from ingest.parsers.times import Time, read_time
from verify.facts import Permission

NO_DATA_EVENTS = "reads of data (no data events)"
READ_AS_UTC = "times carry no zone: read as UTC, as the schema says"

_KEYS = ("records", "value")
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]{1,64})", re.IGNORECASE)
_CATEGORIES = frozenset(
    ("administrative", "security", "servicehealth", "alert", "recommendation", "policy",
     "autoscale", "resourcehealth")
)  # fmt: skip
_DATA = re.compile(
    r".*/providers/(microsoft\.(?:storage/storageaccounts|keyvault/vaults|sql/servers"
    r"|documentdb/databaseaccounts|dbforpostgresql/\w+|dbformysql/\w+|search/searchservices"
    r"|cognitiveservices/accounts|machinelearningservices/workspaces)/[^/]{1,100})",
    re.IGNORECASE | re.DOTALL,
)
_CLAIMS = (
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "appid",
)
_ENDED_WELL = frozenset(("succeeded", "success", "ok", "created", "active", "resolved"))
_ENDED_BADLY = frozenset(("failed", "failure"))
_FORBIDDEN = re.compile(
    r"forbidden|unauthorized|authorizationfailed|denied|\b40[13]\b", re.IGNORECASE
)
_INTERRUPTS = frozenset(
    (16000, 50055, 50058, 50072, 50074, 50076, 50079, 50097, 50125, 50127, 50129, 50140, 50143,
     50144, 50158, 50203, 65001, 81010)
)  # fmt: skip


class _Log:
    """What the records taken so far add up to."""

    def __init__(self) -> None:
        self.requests = Requests()
        self.datasets = Datasets()

    def take(self, record: dict[str, Any]) -> None:
        """Take one record, its keys in one spelling."""
        raise NotImplementedError


class _Parser:
    """A log of records that are recognised by their keys."""

    name = ""
    version = 1
    kinds = ("access_log",)
    whole = True
    label = ""
    noun = "event"
    marks = marked()
    enough = 3
    own = marked()
    new_log: Callable[[], _Log]

    def is_record(self, value: object) -> bool:
        """Whether it is one of the records."""
        raise NotImplementedError

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is one of this log."""
        del name
        return recognised(head, self.marks, self.enough, self.is_record, _KEYS, own=self.own)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every record."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=self.is_record)
        log = self.new_log()
        for offset, value in reader:
            for each in value if isinstance(value, list) else (value,):
                if self.is_record(each):
                    log.take(_spelled(each))
                else:
                    reader.note_bad(offset, f"not of an {self.label}")
        facts = log.datasets.into(log.requests.facts(self, damage=reader))
        return Reading(facts, self.kinds, self.label, summary(facts, self.noun))


def _spelled(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its keys in small letters, without underscores; the first of equals stays."""
    spelled: dict[str, Any] = {}
    for key, value in record.items():
        spelled.setdefault(key.replace("_", "").lower(), value)
    return spelled


def _inner(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    """A text, also of `{value, localizedValue}`; None for all else."""
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) and value else None


def _first(record: dict[str, Any], *keys: str) -> str | None:
    return next((text for key in keys if (text := _text(record.get(key)))), None)


# Azure Activity.


class _Activity(_Log):
    def take(self, record: dict[str, Any]) -> None:
        requests = self.requests
        requests.add("platforms", "azure")
        requests.add("not_captured", NO_DATA_EVENTS)
        requests.record(_first(record, "eventdataid"))
        identity = _inner(record, "identity")
        claims = _inner(record, "claims") or _inner(identity, "claims")
        granted = _inner(record, "authorization") or _inner(identity, "authorization")
        principal = _first(record, "caller") or _first(claims, *_CLAIMS)
        when = next((record[key] for key in _ACTIVITY_TIMES if record.get(key)), None)
        requests.happened(when, requests.actor(principal))
        resource = _first(record, "resourceid", "resourceuri")
        for each in (resource, _text(granted.get("scope"))):
            if each is not None and (found := _SUBSCRIPTION.match(each)):
                requests.add("accounts", found[1].lower())
                break
        if resource is not None and (named := _DATA.match(resource[:2000])):
            self.datasets.add(f"azure:{named[1].lower()}")
        action = _text(granted.get("action")) or _first(
            record, "operationname", "operationnamevalue"
        )
        requests.add("actions", action)
        requests.add("scopes", _text(granted.get("scope")))
        decision = _activity_decision(record)
        if decision is not None:
            requests.decision(decision)
        if granted:
            self._permit(granted, principal, decision)

    def _permit(self, granted: dict[str, Any], principal: str | None, decision: str | None) -> None:
        said = (
            "denied" if decision == "denied" else "granted" if decision == "allowed" else "unknown"
        )
        scope, action = _text(granted.get("scope")), _text(granted.get("action"))
        if action is not None:
            self.requests.keep(Permission(action, principal, scope, said))
        evidence = _inner(granted, "evidence")
        if role := _text(evidence.get("role")):
            assigned = _text(evidence.get("roleAssignmentScope"))
            self.requests.add("scopes", assigned)
            self.requests.keep(Permission(role, principal, assigned, "granted"))


_ACTIVITY_TIMES = ("eventtimestamp", "time", "timegenerated")


def _activity_decision(record: dict[str, Any]) -> str | None:
    """What an end came to; None for beginnings and what goes on."""
    status = _first(record, "status", "resulttype", "activitystatusvalue", "activitystatus") or ""
    more = _first(record, "substatus", "resultsignature", "activitysubstatusvalue") or ""
    if status.lower() in _ENDED_WELL:
        return "allowed"
    if status.lower() not in _ENDED_BADLY:
        return None
    return "denied" if _FORBIDDEN.search(more[:200]) else "failed"


class AzureActivityParser(_Parser):
    """Reads the Azure Activity Log in each of its spellings."""

    name = "azure-activity"
    label = "Azure Activity log"
    marks = marked(
        "authorization", "caller", "claims", "operation_name", "operationName", "event_timestamp",
        "eventTimestamp", "correlation_id", "correlationId", "resource_id", "resourceId",
        "callerIpAddress", "category", "identity", "OperationNameValue", "CategoryValue", "Caller",
        "subscriptionId", "SubscriptionId", "event_data_id", "eventDataId",
    )  # fmt: skip
    enough = 4
    own = marked(
        "event_timestamp", "eventTimestamp", "OperationNameValue", "authorization",
        "callerIpAddress",
    )  # fmt: skip
    new_log = _Activity

    def is_record(self, value: object) -> bool:
        """An operation on a resource that names its caller, or is of one of the categories."""
        if not isinstance(value, dict):
            return False
        record = _spelled(value)
        if _first(record, "operationname", "operationnamevalue") is None:
            return False
        if not ("resourceid" in record or "resourceuri" in record or "authorization" in record):
            return False
        identity = record.get("identity")
        of_token = isinstance(identity, dict) and (
            "claims" in identity or "authorization" in identity
        )
        if of_token or ("caller" in record and ("authorization" in record or "claims" in record)):
            return True
        category = _first(record, "category", "categoryvalue") or ""
        return category.lower() in _CATEGORIES


# Entra sign-ins.


class _SignIns(_Log):
    def take(self, record: dict[str, Any]) -> None:
        requests = self.requests
        requests.add("platforms", "entra")
        details = _spelled(_inner(record, "properties")) or record
        requests.record(_first(details, "id", "uniquetokenidentifier"))
        principal = _first(
            details,
            "userprincipalname",
            "serviceprincipalname",
            "serviceprincipalid",
            "userid",
            "appid",
        ) or _first(record, "identity")
        actor = requests.actor(principal)
        if actor is None:
            requests.count_problem("sign-in", "without a principal")
        requests.happened(_sign_in_time(record, details), actor)
        requests.add("accounts", _first(record, "tenantid") or _first(details, "resourcetenantid"))
        requests.add("actions", _first(record, "category") or "SignInLogs")
        resource = _first(details, "resourcedisplayname", "resourceid")
        if details is not record or "resourcedisplayname" in details:
            requests.add("scopes", resource)
        code = _inner(details, "status").get("errorCode", record.get("resulttype"))
        requests.decision(_signed_in(code, _first(details, "conditionalaccessstatus")))


def _sign_in_time(record: dict[str, Any], details: dict[str, Any]) -> object:
    """The best time that there is: of the sign-in, or of the record where that has no zone."""
    found = [
        value
        for value in (
            details.get("createddatetime"),
            record.get("createddatetime"),
            record.get("time"),
            record.get("timegenerated"),
        )
        if value not in (None, "")
    ]
    for value in found:
        time = read_time(value)
        if time is not None and time.zoned:
            return value
    return found[0] if found else None


def _signed_in(code: object, access: str | None) -> str:
    if isinstance(code, str) and code.isdecimal() and len(code) < 10:
        code = int(code)
    if not isinstance(code, int) or isinstance(code, bool):
        return "unknown"
    if code == 0:
        return "denied" if access == "failure" else "allowed"
    return "asked" if code in _INTERRUPTS else "denied"


class EntraSignInParser(_Parser):
    """Reads sign-in logs of users, service principals and managed identities."""

    name = "entra-signin"
    label = "Entra sign-in log"
    noun = "sign-in"
    marks = marked(
        "category", "Category", "time", "createdDateTime", "CreatedDateTime", "appDisplayName",
        "conditionalAccessStatus", "userPrincipalName", "resourceDisplayName", "servicePrincipalId",
    )  # fmt: skip
    enough = 2
    own = re.compile(rb'SignInLogs"|"conditionalAccessStatus"')
    new_log = _SignIns

    def is_record(self, value: object) -> bool:
        """Of a category that ends in SignInLogs, or with what only a sign-in of Graph has."""
        if not isinstance(value, dict):
            return False
        record = _spelled(value)
        category = _first(record, "category") or ""
        if category.lower().endswith("signinlogs"):
            return True
        return {"createddatetime", "appid", "conditionalaccessstatus", "status"} <= set(record)


# Microsoft 365.


class _Office(_Log):
    def take(self, record: dict[str, Any]) -> None:
        wrapped = record.get("auditdata")
        if isinstance(wrapped, str):
            inner = parse_embedded(wrapped)
            record = _spelled(inner) if isinstance(inner, dict) else record
        requests = self.requests
        requests.add("platforms", "microsoft365")
        requests.record(_first(record, "id", "identity"))
        time = self._time(record.get("creationtime", record.get("creationdate")))
        actor = requests.actor(_first(record, "userid", "userids", "userkey"))
        requests.acted(actor, time)
        requests.add("accounts", _first(record, "organizationid"))
        workload, operation = _first(record, "workload"), _first(record, "operation", "operations")
        if operation is not None:
            requests.add("actions", f"{workload}:{operation}" if workload else operation)
        target = _first(record, "objectid") or ""
        if target.startswith(("https://", "http://")):
            self.datasets.add(target)
        requests.decision(_office_decision(operation or "", record.get("resultstatus")))

    def _time(self, value: object) -> Time | None:
        time = read_time(value)
        if time is not None and not time.zoned and not time.ambiguous:
            self.requests.problem(READ_AS_UTC)
            time = Time(time.nanoseconds, True, time.unit, time.precision, time.raw)
        return self.requests.time(value if time is None else time)


def _office_decision(operation: str, status: object) -> str:
    if operation == "UserLoginFailed":
        return "denied"
    said = str(status).lower() if isinstance(status, str | bool) else ""
    if said in ("true", "success", "succeeded", "partiallysucceeded"):
        return "allowed"
    return "failed" if said in ("false", "failed", "failure") else "unknown"


class OfficeAuditParser(_Parser):
    """Reads the unified audit log of Microsoft 365."""

    name = "o365-audit"
    label = "Microsoft 365 audit log"
    marks = marked(
        "CreationTime", "RecordType", "Workload", "Operation", "UserId", "OrganizationId",
        "AuditData", "CreationDate", "UserIds", "Operations",
    )  # fmt: skip
    enough = 4
    own = marked("RecordType", "AuditData")
    new_log = _Office

    def is_record(self, value: object) -> bool:
        """With record type, workload and operation; or one that is wrapped as a text."""
        if not isinstance(value, dict):
            return False
        if {"RecordType", "Operation"} <= value.keys():
            return "CreationTime" in value and ("Workload" in value or "UserId" in value)
        data = value.get("AuditData")
        return isinstance(data, str) and '"CreationTime"' in data[:4000]


PARSERS = (AzureActivityParser(), EntraSignInParser(), OfficeAuditParser())
