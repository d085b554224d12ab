"""Findings of Amazon Macie, GuardDuty and Security Hub: what was found, where, how severe.

Each comes bare, in a list, under `Findings`, one a line, or wrapped: by EventBridge in `detail`, by
some consoles in `{Entity, EntityResult}`. APIs spell keys in PascalCase, EventBridge and exports in
camelCase; both are read. Security Hub's own format (ASFF) is always PascalCase.

- A sample finding, which the service makes up on request, is counted and said, and is no evidence:
  it gives no finding, dataset or kind.
- `at` is when the finding was created; first and last activity widen the item's time range.
- Severity stays as given and is normalised on its own scale: Macie 1 to 3, GuardDuty 0 to 10,
  Security Hub 0 to 100 unless it gives a label.
- Whose credentials or machine a finding is about did not act by the detector's word alone, so that
  findings name no principals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, objects, reach, texts, word
from ingest.parsers.records import RecordReader, shape_of
from ingest.parsers.times import Time
from verify.facts import Detector, Validation

_KEYS = ("Findings", "findings")
_SAMPLE = "that the service made up as a sample: no evidence"
_MACIE_TYPE = re.compile(r"(?:SensitiveData:S3Object|Policy:IAMUser)/", re.ASCII)


def _unwrapped(value: Any) -> Iterator[Any]:
    """The findings in one record."""
    if isinstance(value, dict):
        for key in ("detail", "EntityResult"):
            if isinstance(value.get(key), dict):
                yield from _unwrapped(value[key])
                return
        for key in _KEYS:
            if isinstance(value.get(key), list):
                yield from value[key]
                return
    yield value


def _either(value: Any, *path: str) -> Any:
    """What lies at a path of camelCase keys, whichever way it spells them."""
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value[step] if step in value else value.get(step[:1].upper() + step[1:])
    return value


class _FindingsParser:
    """What reading the three has in common."""

    name = ""
    version = 1
    label = ""
    kinds: tuple[str, ...] = ()
    whole = True
    marks: tuple[bytes, ...] = ()
    """One of these stands in each finding, however its keys begin."""

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is a finding; likely where none can be read."""
        del name
        if not any(mark in head for mark in self.marks) or shape_of(head, keys=_KEYS) is None:
            return Confidence.NONE
        first = first_records(head, keys=_KEYS)
        if any(self.is_finding(each) for value in first for each in _unwrapped(value)):
            return Confidence.CERTAIN
        return Confidence.NONE if first else Confidence.LIKELY

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every finding; what is none counts as a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=self._is_record)
        gathered, samples, kinds = Gathered(), 0, set[str]()
        gathered.add("platforms", "aws")
        for offset, value in reader:
            for each in _unwrapped(value):
                if not self.is_finding(each):
                    reader.note_bad(offset, f"not a finding of {self.label}")
                elif self.is_sample(each):
                    gathered.record()
                    samples += 1
                else:
                    kinds.update(self.take(each, gathered))
            if isinstance(value, dict) and isinstance(value.get("detail"), dict):
                gathered.time(value.get("time"))
        if samples:
            gathered.count_problem("finding", _SAMPLE, samples)
        real = gathered.records - samples
        summary = counted(real, "finding")
        if samples:
            summary += f", {counted(samples, 'sample')} not taken as evidence"
        facts = gathered.facts(self, damage=reader)
        found = tuple(kind for kind in self.kinds if kind in kinds) or ("other",)
        return Reading(facts, found, self.label, summary)

    def _is_record(self, value: Any) -> bool:
        return any(self.is_finding(each) for each in _unwrapped(value))

    def is_finding(self, value: Any) -> bool:
        """Whether the value is a finding of this service."""
        raise NotImplementedError

    def is_sample(self, value: dict[str, Any]) -> bool:
        """Whether the service made it up."""
        raise NotImplementedError

    def take(self, value: dict[str, Any], gathered: Gathered) -> tuple[str, ...]:
        """Take one finding; the kinds of evidence that it is."""
        raise NotImplementedError


class MacieParser(_FindingsParser):
    """Reads Macie findings: sensitive data in S3 objects, and policies of buckets."""

    name = "macie"
    label = "Amazon Macie"
    kinds = ("dlp_finding", "guardrail_alert", "other")
    marks = (b"esourcesAffected",)

    def is_finding(self, value: Any) -> bool:
        """A type of Macie's, and what it affects."""
        kind = _either(value, "type")
        affects = isinstance(_either(value, "resourcesAffected"), dict)
        return affects and isinstance(kind, str) and _MACIE_TYPE.match(kind) is not None

    def is_sample(self, value: dict[str, Any]) -> bool:
        """By its own word."""
        return _either(value, "sample") is True

    def take(self, value: dict[str, Any], gathered: Gathered) -> tuple[str, ...]:
        """Take one finding: the object, and what kinds of data it holds."""
        gathered.record(_either(value, "id"))
        at = gathered.time(_either(value, "createdAt"))
        gathered.time(_either(value, "updatedAt"))
        gathered.add("accounts", _either(value, "accountId"))
        bucket = word(_either(value, "resourcesAffected", "s3Bucket", "name"))
        key = word(_either(value, "resourcesAffected", "s3Object", "key"))
        if bucket:
            gathered.add("datasets", f"s3://{bucket}/{key}" if key else f"s3://{bucket}")
        job = said(_either(value, "classificationDetails", "jobId"))
        gathered.keep(Detector("macie", None, job))
        kind = word(_either(value, "type"))
        severity = _either(value, "severity", "description") or _either(value, "severity", "score")
        archived = "archived" if _either(value, "archived") is True else None
        gathered.finding(
            "macie", kind, time=at, disposition=archived, severity=severity, scale="macie"
        )
        for label, number in _macie_detections(value):
            gathered.finding("macie", label, time=at, disposition=archived, count=number)
        return ("dlp_finding",) if kind.startswith("SensitiveData") else ("guardrail_alert",)


def _macie_detections(value: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Which data a classification found, and how often: never the data."""
    result = _either(value, "classificationDetails", "result")
    for group in objects(_either(result, "sensitiveData")):
        for detection in objects(_either(group, "detections")):
            label = f"{word(_either(group, 'category'))}:{word(_either(detection, 'type'))}"
            yield label, _number(_either(detection, "count"))
    for detection in objects(_either(result, "customDataIdentifiers", "detections")):
        name = word(_either(detection, "name"))
        yield f"CUSTOM:{name}", _number(_either(detection, "count"))


def _number(value: object) -> int:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 40
    return value if sound and isinstance(value, int) else 1


class GuardDutyParser(_FindingsParser):
    """Reads GuardDuty findings."""

    name = "guardduty"
    label = "Amazon GuardDuty"
    kinds = ("guardrail_alert", "other")
    marks = (b"etectorId", b'"guardduty"')

    def is_finding(self, value: Any) -> bool:
        """A type, a service that is GuardDuty or has its detector, and a resource."""
        service = _either(value, "service")
        named = _either(service, "serviceName") == "guardduty" or _either(service, "detectorId")
        return (
            bool(named)
            and isinstance(_either(value, "type"), str)
            and isinstance(_either(value, "resource"), dict)
        )

    def is_sample(self, value: dict[str, Any]) -> bool:
        """By its own word, or by the mark in its title."""
        service, title = _either(value, "service"), _either(value, "title")
        marked = isinstance(title, str) and title.startswith("[SAMPLE]")
        return marked or _either(service, "additionalInfo", "sample") is True

    def take(self, value: dict[str, Any], gathered: Gathered) -> tuple[str, ...]:
        """Take one finding."""
        gathered.record(_either(value, "id"))
        at = gathered.time(_either(value, "createdAt"))
        gathered.time(_either(value, "updatedAt"))
        service = _either(value, "service")
        for end in ("eventFirstSeen", "eventLastSeen"):
            gathered.time(_either(service, end))
        gathered.add("accounts", _either(value, "accountId"))
        for bucket in objects(_either(value, "resource", "s3BucketDetails")):
            gathered.add("datasets", f"s3://{word(_either(bucket, 'name'))}")
        gathered.keep(Detector("guardduty", None, said(_either(service, "detectorId"))))
        gathered.finding(
            "guardduty",
            _either(value, "type"),
            time=at,
            disposition="archived" if _either(service, "archived") is True else None,
            severity=_either(value, "severity"),
            scale="guardduty",
        )
        return ("guardrail_alert",)


class AsffParser(_FindingsParser):
    """Reads findings in the format of Security Hub (ASFF), of whichever product."""

    name = "securityhub-asff"
    label = "AWS Security Hub (ASFF)"
    kinds = ("guardrail_alert", "dlp_finding", "validation", "other")
    marks = (b'"ProductArn"',)

    def is_finding(self, value: Any) -> bool:
        """A product, an account and an id."""
        return isinstance(value, dict) and all(
            isinstance(value.get(key), str) for key in ("ProductArn", "AwsAccountId", "Id")
        )

    def is_sample(self, value: dict[str, Any]) -> bool:
        """By its own word."""
        fields = value.get("ProductFields")
        return value.get("Sample") is True or reach(fields, "sample") in (True, "true")

    def take(self, value: dict[str, Any], gathered: Gathered) -> tuple[str, ...]:
        """Take one finding; a control that was checked is a validation too."""
        gathered.record(value["Id"])
        at = gathered.time(value.get("CreatedAt"))
        for moment in ("UpdatedAt", "FirstObservedAt", "LastObservedAt"):
            gathered.time(value.get(moment))
        gathered.add("accounts", value["AwsAccountId"])
        for resource in objects(value.get("Resources")):
            if resource.get("Type") in ("AwsS3Bucket", "AwsS3Object"):
                gathered.add("datasets", _s3(resource.get("Id")))
        product = _product(value)
        gathered.keep(Detector(product, None, said(value.get("GeneratorId"))))
        label = next(texts(value.get("Types")), None) or value.get("GeneratorId")
        status = reach(value, "Compliance", "Status")
        if status in ("PASSED", "FAILED"):
            result = "passed" if status == "PASSED" else "failed"
            gathered.keep(
                Validation(word(value.get("GeneratorId")) or "control", result, _text(at))
            )
        if status == "PASSED":
            return ("validation",)
        severity = value.get("Severity")
        gathered.finding(
            product,
            label,
            time=at,
            disposition=_disposition(value),
            severity=reach(severity, "Label") or reach(severity, "Normalized"),
            scale="asff",
        )
        sensitive = word(label).startswith("Sensitive Data Identifications")
        found = "dlp_finding" if sensitive or product == "Macie" else "guardrail_alert"
        return (found, "validation") if status == "FAILED" else (found,)


def _text(time: Time | None) -> str | None:
    return None if time is None else time.text


def _product(value: dict[str, Any]) -> str:
    """The product's name, as Security Hub has it or as its ARN ends."""
    fields = value.get("ProductFields")
    named = reach(fields, "aws/securityhub/ProductName") or value.get("ProductName")
    return word(named) or value["ProductArn"].rpartition("/")[2] or "Security Hub"


def _disposition(value: dict[str, Any]) -> str | None:
    """Where the finding stands: archived, else how far the work on it is."""
    if value.get("RecordState") == "ARCHIVED":
        return "ARCHIVED"
    return said(reach(value, "Workflow", "Status") or value.get("WorkflowState"))


def _s3(arn: object) -> str | None:
    prefix = "arn:aws:s3:::"
    return f"s3://{arn.removeprefix(prefix)}" if isinstance(arn, str) and arn else None


PARSERS = (AsffParser(), GuardDutyParser(), MacieParser())
