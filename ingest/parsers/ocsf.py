"""OCSF events of any producer: findings, sign-ins, API calls in the Open Cybersecurity Schema.

Read are JSON lists, NDJSON and single events. What an event is says its class; so do the kinds:

- findings (category 2): `findings` with the product as detector. Data Security is `dlp_finding`,
  other alerts are `guardrail_alert`. Where the status is PASS, FAIL or MANUAL a configuration was
  checked (Prowler does so): those are `validations`, and findings only where it failed.
- identity, application and network activity (3, 4, 6): `principals`, `actions`, `decisions`, of
  kind `access_log`. Whatever else it is, is `other`.

`time` is in milliseconds by the schema. Producers write seconds (Prowler does), micro- and
nanoseconds too: the size of the number tells, and the facts say so. `time_dt` often has no zone;
it is read only where there is no `time`.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from ingest.parsers.access import marked, recognised, summary
from ingest.parsers.bounded import counted
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader
from ingest.parsers.times import Time
from verify.facts import Detector, Facts, Validation

NOT_MILLISECONDS = "times are not in milliseconds, as the schema asks"

_MARKS = marked("class_uid", "metadata", "category_uid", "activity_id", "type_uid", "severity_id")
_OWN = marked("class_uid")
_DATA_SECURITY = 2006
_S3 = "arn:aws:s3:::"
_ACTIVITY = (3, 4, 6)
_CHECKED = {"PASS": "passed", "FAIL": "failed", "MANUAL": "inconclusive"}
_STATUSES = {1: "allowed", 2: "failed"}
_DISPOSITIONS = {1: "allowed", 2: "denied"}


class OcsfParser:
    """Reads OCSF events of all classes."""

    name = "ocsf"
    version = 1
    kinds = ("access_log", "dlp_finding", "guardrail_alert", "other", "validation")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records has a class and the version of the schema."""
        del name
        return recognised(head, _MARKS, 3, _holds_event, own=_OWN)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every event."""
        del name
        reader = RecordReader.of_any_shape(stream, resumes_at=_is_event)
        log = _Log()
        for offset, value in reader:
            for event in value if isinstance(value, list) else (value,):
                if _is_event(event):
                    log.take(event)
                else:
                    reader.note_bad(offset, "not an OCSF event")
        return log.reading(self, reader)


def _holds_event(value: object) -> bool:
    return any(map(_is_event, value if isinstance(value, list) else (value,)))


def _is_event(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("class_uid"), int):
        return False
    return "version" in _inner(value, "metadata")


def _inner(value: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _first(value: dict[str, Any], *keys: str) -> str | None:
    return next((text for key in keys if isinstance(text := value.get(key), str) and text), None)


class _Log:
    def __init__(self) -> None:
        self._gathered = Gathered()
        self._kinds: set[str] = set()
        self._classes: set[str] = set()

    def take(self, event: dict[str, Any]) -> None:
        """Take one event."""
        gathered = self._gathered
        gathered.record(_inner(event, "metadata").get("uid"))
        time = self._time(event)
        cloud = _inner(event, "cloud")
        if provider := _first(cloud, "provider"):
            gathered.add("platforms", provider.lower())
        gathered.add(
            "accounts", _first(_inner(cloud, "account"), "uid") or _first(cloud, "account_uid")
        )
        if name := _first(event, "class_name"):
            self._classes.add(name[:60])
        gathered.model(requested=_first(_inner(event, "ai_model"), "name"))
        number = event["class_uid"]
        category = event.get("category_uid", number // 1000)
        if category == 2:
            self._take_finding(event, number, time)
        elif category in _ACTIVITY:
            self._kinds.add("access_log")
            self._take_activity(event, time)
        else:
            self._kinds.add("other")

    def _time(self, event: dict[str, Any]) -> Time | None:
        moment = event.get("time")
        if moment is None:
            return self._gathered.time(event.get("time_dt"))
        time = self._gathered.time(moment)
        if time is not None and time.unit not in ("ms", "text"):
            self._gathered.problem(NOT_MILLISECONDS)
        return time

    def _take_finding(self, event: dict[str, Any], number: int, time: Time | None) -> None:
        product, about = _inner(event, "metadata", "product"), _inner(event, "finding_info")
        about = about or _inner(event, "finding")
        detector = _first(product, "name") or _first(product, "vendor_name", "uid")
        if detector is not None:
            self._gathered.keep(Detector(detector, _first(product, "version")))
        status = _first(event, "status_code", "status_detail") or ""
        resources = event.get("resources")
        listed = resources if isinstance(resources, list) else [event.get("resource")]
        names = [
            name
            for each in listed
            if isinstance(each, dict) and (name := _first(each, "uid", "name")) is not None
        ]
        code = _first(_inner(event, "metadata"), "event_code")
        label = code or _first(about, "title") or _first(event, "message", "class_name")
        if status in _CHECKED:
            self._kinds.add("validation")
            subject = names[0] if names else None
            check = Validation(label, _CHECKED[status], time, subject)  # type: ignore[arg-type]  # texts are made of both
            self._gathered.keep(check)
            if status != "FAIL":
                return
        self._kinds.add("dlp_finding" if number == _DATA_SECURITY else "guardrail_alert")
        for name in names:
            if name.startswith(_S3):
                self._gathered.add("datasets", f"s3://{name.removeprefix(_S3)}")
        self._gathered.finding(
            detector,
            label,
            time=time,
            disposition=_first(event, "disposition", "status_code", "status"),
            severity=_first(event, "severity") or event.get("severity_id"),
            scale="ocsf",
        )

    def _take_activity(self, event: dict[str, Any], time: Time | None) -> None:
        gathered = self._gathered
        actor, api = _inner(event, "actor"), _inner(event, "api")
        user = _inner(actor, "user") or _inner(event, "user")
        names = [user.get(key) for key in ("uid_alt", "uuid", "uid", "name", "email_addr")]
        texts = [each for each in names if isinstance(each, str) and each]
        arn = next((each for each in texts if each.startswith("arn:")), None)
        principal = arn or _first(user, "name", "email_addr", "uid")
        if principal is None:
            gathered.count_problem("event", "without a principal")
        gathered.activity(principal, time)
        gathered.add("accounts", _first(_inner(user, "account"), "uid") or user.get("account_uid"))
        gathered.add("scopes", _first(_inner(actor, "session"), "issuer"))
        service, operation = _first(_inner(api, "service"), "name"), _first(api, "operation")
        if operation is not None:
            short = service.removesuffix(".amazonaws.com") if service else ""
            gathered.add("actions", f"{short}:{operation}" if short else operation)
        else:
            gathered.add("actions", _first(event, "type_name", "activity_name", "class_name"))
        gathered.decision(_decided(event, api))

    def reading(self, parser: OcsfParser, reader: RecordReader) -> Reading:
        """What all this says of the item."""
        facts = self._gathered.facts(parser, damage=reader)
        kinds = tuple(sorted(self._kinds)) or ("other",)
        return Reading(facts, kinds, "OCSF", self._summary(facts))

    def _summary(self, facts: Facts) -> str:
        classes = ", ".join(sorted(self._classes)[:3])
        if "access_log" in self._kinds:
            return summary(facts, "event", classes)
        checks = counted(len(facts.validations), "check") if facts.validations else ""
        found = sum(each.count for each in facts.findings)
        parts = (counted(facts.records, "event"), classes, checks, counted(found, "finding"))
        return ", ".join(part for part in parts if part)


def _decided(event: dict[str, Any], api: dict[str, Any]) -> str:
    disposition = event.get("disposition_id")
    if isinstance(disposition, int) and disposition in _DISPOSITIONS:
        return _DISPOSITIONS[disposition]
    response = _inner(api, "response")
    error = _first(response, "error") or _first(event, "status_code", "status_detail") or ""
    status = event.get("status_id")
    decision = _STATUSES.get(status, "unknown") if isinstance(status, int) else "unknown"
    refused = "denied" in error.lower() or "unauthorized" in error.lower()
    return "denied" if decision == "failed" and refused else decision


PARSERS = (OcsfParser(),)
