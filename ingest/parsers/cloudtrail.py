"""AWS CloudTrail: who called what, when, as delivered to S3 or copied elsewhere. Infers no access.

Read are `{"Records": […]}`, bare lists, NDJSON, and the answers of LookupEvents (`{"Events": […]}`
or NDJSON), which wrap each record as a text in `CloudTrailEvent`; EventBridge's `detail` too.

What the facts mean here:

- `principals` are the distinct `userIdentity.arn`, exactly as logged. An assumed role thus appears
  once a session: `assumed-role/<role>/<session>` says which machine or person used the role, where
  the role alone would not. Identities that AWS gives no ARN (other accounts, web and SAML
  federation, Identity Center) appear as `<type>:<principal id, name or account>`. AWS services that
  act on their own behalf (`AWSService`, or no type at all) are no principals; another identity
  without ARN is counted in `problems`.
- `accounts` are `recipientAccountId` and `userIdentity.accountId`.
- `datasets` are what `requestParameters` and `resources` name: `s3://bucket[/key]`,
  `secretsmanager:<name>` (without the six characters that ARNs add), `ssm:/<parameter>`, and
  `rds:<db|cluster|snapshot|cluster-snapshot>:<name>`. Buckets and other names are kept before keys
  where there is no room for all.
- `gaps` are silences of at least `times.GAP_SECONDS` between neighbouring event times of this file,
  the longest where there are too many. File order is not time order, so times are sorted first.
- `records` counts duplicates too: CloudTrail delivers at least once.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from pathlib import PurePath
from typing import Any, BinaryIO

from ingest.parsers.bounded import Distinct, capped, clip, counted
from ingest.parsers.gathering import MOST_IDS, Ids
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader, parse_embedded, shape_of
from ingest.parsers.times import MOST_MINUTES, NANO, Silences, rfc3339
from verify.facts import CAP, Facts, Gap

_KEYS = ("Records", "Events")
_EVENT_KEYS = (
    "eventVersion",
    "eventName",
    "eventSource",
    "eventTime",
    "eventID",
    "eventType",
    "awsRegion",
    "userIdentity",
)
_ENOUGH_KEYS = 4
_FIRST_RECORDS = 4
_MARK = re.compile(rb'"(' + "|".join(_EVENT_KEYS).encode() + rb')\\?"\s*:')
_FILE_ACCOUNT = re.compile(r"(?<!\d)(\d{12})_CloudTrail_", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_SECONDS = {f":{second:02d}Z": second for second in range(60)}
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_MOMENT = (date.max.toordinal() - _EPOCH_DAY + 1) * 86_400 - 1
_FIRST_MOMENT = (date.min.toordinal() - _EPOCH_DAY) * 86_400
_WITHOUT_ARN = frozenset(
    ("AWSAccount", "WebIdentityUser", "SAMLUser", "IdentityCenterUser", "Directory", "Unknown")
)
_CACHE = 10_000


class CloudTrailParser:
    """Reads CloudTrail records in whichever wrapping."""

    name = "cloudtrail"
    version = 1
    kinds = ("access_log",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is an event.

        Likely where its keys are there but no record can be read that far, being long or damaged.
        """
        del name
        marks = {match[1] for match in _MARK.finditer(head)}
        if len(marks) < _ENOUGH_KEYS or shape_of(head, keys=_KEYS) is None:
            return Confidence.NONE
        reader = RecordReader.of_any_shape(io.BytesIO(head), keys=_KEYS, resumes_at=_is_record)
        first = [value for _, value in islice(reader, _FIRST_RECORDS)]
        if any(_is_event(event) for value in first for event in _events(value)):
            return Confidence.CERTAIN
        return Confidence.NONE if first else Confidence.LIKELY

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every event; what is no event counts as a bad record."""
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_record)
        tally = _Tally()
        take = tally.take
        for offset, value in reader:
            if _is_event(value):
                take(value)
                continue
            for event in _events(value):
                if _is_event(event):
                    take(event)
                else:
                    reader.note_bad(offset, "not a CloudTrail event")
        return _reading(self, reader, tally, name)


def _reading(parser: CloudTrailParser, reader: RecordReader, tally: _Tally, name: str) -> Reading:
    accounts, actions = tally.accounts.sorted(), tally.actions.sorted()
    principals = tally.principals.sorted()
    datasets, datasets_capped = tally.datasets.sorted()
    gaps, gaps_capped = tally.times.gaps()
    first, last = tally.times.ends()
    lists_capped = (
        *capped(
            (
                ("accounts", tally.accounts),
                ("actions", tally.actions),
                ("principals", tally.principals),
            )
        ),
        *(("datasets",) if datasets_capped else ()),
        *(("gaps",) if gaps_capped else ()),
    )
    problems = (
        *reader.problems(),
        *tally.problems(),
        *_account_problem(name, accounts),
    )
    facts = Facts(
        parser.name,
        parser.version,
        "cloudtrail",
        records=tally.events,
        bad_records=reader.bad,
        bad_offsets=tuple(reader.bad_offsets),
        clock=tally.times.clock(),
        first=None if first is None else _instant(first),
        last=None if last is None else _instant(last),
        gaps=gaps,
        platforms=("aws",),
        accounts=accounts,
        principals=principals,
        datasets=datasets,
        actions=actions,
        not_captured=_not_captured(tally),
        problems=problems[:CAP],
        capped=tuple(sorted(lists_capped)),
    )
    return Reading(facts, parser.kinds, "CloudTrail", _summary(facts))


def _not_captured(tally: _Tally) -> tuple[str, ...]:
    """Without data events a trail is silent about objects, whatever was read."""
    if tally.data_events or not tally.events:
        return ()
    return ("S3 object reads (no data events)",)


def _summary(facts: Facts) -> str:
    if not facts.records:
        return "no events"
    if "principals" in facts.capped:
        principals = f"more than {CAP} principals"
    elif facts.principals:
        principals = counted(len(facts.principals), "principal")
    else:
        principals = "no principals"
    if facts.first is None or facts.last is None:
        times = "no times"
    elif facts.first == facts.last:
        times = facts.first[11:]
    elif facts.first[:10] == facts.last[:10]:
        times = f"{facts.first[11:]}-{facts.last[11:]}"
    else:
        times = f"{facts.first} to {facts.last}"
    return f"{counted(facts.records, 'event')}, {principals}, {times}"


def _account_problem(name: str, accounts: tuple[str, ...]) -> tuple[str, ...]:
    """The account that the file's name claims, where no record knows it: copied or anonymised."""
    match = _FILE_ACCOUNT.search(PurePath(name).name)
    if match is None or not accounts or match[1] in accounts:
        return ()
    known = ", ".join(accounts[:3]) + (f" and {len(accounts) - 3} more" if accounts[3:] else "")
    return (clip(f"account {match[1]} in the file name, {known} in the records"),)


# What an event is.


def _is_event(value: object) -> bool:
    """Most keys of an event, and not from what only borrowed its shape.

    S3 notifications and Lambda's stream events have the same keys, but sources like 'aws:s3'.
    """
    if not isinstance(value, dict):
        return False
    source = value.get("eventSource")
    if isinstance(source, str) and source.startswith("aws:"):
        return False
    if "eventVersion" in value and "eventName" in value:
        return True
    return sum(key in value for key in _EVENT_KEYS) >= _ENOUGH_KEYS


def _is_record(value: object) -> bool:
    """Whether damage is over here: an event or its wrapping, which cannot lie inside an event."""
    wrapped = isinstance(value, dict) and ("CloudTrailEvent" in value or "detail-type" in value)
    return wrapped or _is_event(value)


def _events(value: Any) -> Iterator[Any]:
    """The events that one value holds, unwrapped."""
    if not isinstance(value, dict):
        yield from value if isinstance(value, list) else (value,)
        return
    for key in _KEYS:
        if isinstance(value.get(key), list):
            for each in value[key]:
                yield _unwrapped(each)
            return
    yield _unwrapped(value)


def _unwrapped(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = value.get("CloudTrailEvent")
    if isinstance(inner, str):
        return parse_embedded(inner)
    if inner is None and isinstance(value.get("detail"), dict):
        inner = value["detail"]
    return inner if isinstance(inner, dict) else value


class _Tally:
    """What the events taken so far add up to. Values of the wrong type are left out."""

    def __init__(self) -> None:
        self.events = 0
        self.data_events = False
        self.times = _Times()
        self.accounts = Distinct()
        self.principals = Distinct()
        self.actions = Distinct()
        self.datasets = _Datasets()
        self._ids = Ids()
        self._calls: set[tuple[str, str]] = set()
        self._unnamed = 0

    def take(self, event: dict[str, Any]) -> None:
        """Take one event."""
        self.events += 1
        self.times.add(event.get("eventTime", event.get("@timestamp")))
        identity = event.get("userIdentity")
        if isinstance(identity, dict):
            self._take_identity(identity)
        _add_account(self.accounts, event.get("recipientAccountId"))
        source, call = event.get("eventSource"), event.get("eventName")
        service = ""
        if isinstance(source, str) and isinstance(call, str):
            service = source.removesuffix(".amazonaws.com")
            if (source, call) not in self._calls:
                if len(self._calls) >= _CACHE:
                    self._calls.clear()
                self._calls.add((source, call))
                self.actions.add(f"{service}:{call}")
            parameters = event.get("requestParameters")
            if isinstance(parameters, dict) and (named := _NAMED_BY.get(service)):
                named(self.datasets, call, parameters)
        if resources := event.get("resources"):
            self.datasets.add_resources(resources)
        if not self.data_events:
            self.data_events = (
                event.get("eventCategory") == "Data" or event.get("managementEvent") is False
            )
        if isinstance(identifier := event.get("eventID"), str):
            self._ids.add(identifier)

    def _take_identity(self, identity: dict[str, Any]) -> None:
        _add_account(self.accounts, identity.get("accountId"))
        arn, kind = identity.get("arn"), identity.get("type")
        if isinstance(arn, str) and arn:
            self.principals.add(arn)
        elif isinstance(kind, str) and kind in _WITHOUT_ARN:
            for key in ("principalId", "userName", "accountId"):
                if isinstance(name := identity.get(key), str) and name:
                    self.principals.add(f"{kind}:{name}")
                    return
            self._unnamed += 1
        elif kind is not None and kind != "AWSService":
            self._unnamed += 1

    def problems(self) -> tuple[str, ...]:
        """What is odd about the events, in words for people."""
        problems = []
        if duplicates := self._ids.duplicates():
            problems.append(counted(duplicates, "duplicate record"))
        if self._ids.full:
            problems.append(f"only the first {MOST_IDS:,} event ids were compared for duplicates")
        if self._unnamed:
            problems.append(f"{counted(self._unnamed, 'event')} without a principal's ARN")
        if self.times.unread:
            problems.append(f"{counted(self.times.unread, 'event')} without a readable time")
        if self.times.unzoned:
            problems.append(f"{counted(self.times.unzoned, 'event time')} without a zone")
        return tuple(problems)


def _add_account(accounts: Distinct, value: object) -> None:
    if isinstance(value, str):
        if value and value != "ANONYMOUS_PRINCIPAL":
            accounts.add(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        accounts.add(f"{value:012d}"[:24])  # a copy that took the id for a number


class _Times:
    """The first and last event times and the silences between, in seconds since 1970, UTC."""

    def __init__(self, most_minutes: int = MOST_MINUTES) -> None:
        self._silences = Silences(most_minutes)
        self.unread = 0
        self.unzoned = 0
        self._known: dict[str, int] = {}  # 2026-01-31T09:30: its minute
        self._zoned = False

    def add(self, text: object) -> None:
        """Add one event time as it is written."""
        if not isinstance(text, str):
            self.unread += 1
            return
        minute, second = self._known.get(text[:16]), _SECONDS.get(text[16:])
        if minute is None or second is None:
            moment = self._read(text)
            if moment is None:
                return
            minute, second = divmod(moment, 60)
            if text[16:] in _SECONDS:
                if len(self._known) >= _CACHE:
                    self._known.clear()
                self._known[text[:16]] = minute
        self._silences.add(minute, second)

    def _read(self, text: str) -> int | None:
        match = _TIME.fullmatch(text)
        moment = None if match is None else _seconds(match)
        if match is None or moment is None or not _FIRST_MOMENT <= moment <= _LAST_MOMENT:
            self.unread += 1
            return None
        if match[5] is None:
            self.unzoned += 1
            return None
        self._zoned = True
        return moment

    def clock(self) -> str:
        """How far these times name an instant, in the words of `verify.facts.CLOCKS`."""
        if self._zoned:
            return "mixed" if self.unzoned else "zoned"
        return "unzoned" if self.unzoned else "none"

    def ends(self) -> tuple[int | None, int | None]:
        """The first and the last moment; None and None if there is none."""
        return self._silences.ends()

    def gaps(self) -> tuple[tuple[Gap, ...], bool]:
        """The silences in order of time, and whether there were more than are kept."""
        return self._silences.gaps()


def _seconds(match: re.Match[str]) -> int | None:
    """Seconds since 1970 of a time as written, its fraction dropped; None if there is no such."""
    day, hour, minute, second, zone = match.groups()
    try:
        days = date.fromisoformat(day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    clock = int(hour), int(minute), int(second)
    if clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        return None
    moment = days * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
    if zone in (None, "Z"):
        return moment
    offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    return moment - offset if zone[0] == "+" else moment + offset


def _instant(moment: int) -> str:
    return rfc3339(moment * NANO)


# What events name.


class _Datasets:
    """Buckets, keys, secrets, parameters and databases, as the module text spells them."""

    def __init__(self) -> None:
        self._names = Distinct()
        self._keys = Distinct()

    def add_bucket(self, bucket: object, key: object = None) -> None:
        """Add a bucket and the key in it, if there is one."""
        if isinstance(bucket, str) and bucket:
            self._names.add(f"s3://{bucket}")
            if isinstance(key, str) and key:
                self._keys.add(f"s3://{bucket}/{key}")

    def add_secret(self, secret: object) -> None:
        """Add a secret by name or ARN."""
        if isinstance(secret, str) and secret:
            if secret.startswith("arn:"):
                self.add_arn(secret)
            else:
                self._names.add(f"secretsmanager:{secret}")

    def add_parameter(self, parameter: object) -> None:
        """Add a Systems Manager parameter by name or ARN."""
        if isinstance(parameter, str) and parameter:
            if parameter.startswith("arn:"):
                self.add_arn(parameter)
            else:
                self._names.add(f"ssm:/{parameter.lstrip('/')}")

    def add_database(self, kind: str, name: object) -> None:
        """Add a database, cluster or snapshot by name or ARN."""
        if isinstance(name, str) and name:
            if name.startswith("arn:"):
                self.add_arn(name)
            else:
                self._names.add(f"rds:{kind}:{name}")

    def add_resources(self, resources: object) -> None:
        """Add what an event's `resources` list."""
        for resource in resources if isinstance(resources, list) else ():
            if isinstance(resource, dict) and isinstance(arn := resource.get("ARN"), str):
                self.add_arn(arn)

    def add_arn(self, arn: str) -> None:
        """Add what an ARN names, if it is a dataset."""
        parts = arn.split(":", 5)
        if len(parts) < 6:
            return
        service, name = parts[2], parts[5]
        if service == "s3" and not parts[3] and not parts[4]:
            bucket, _, key = name.partition("/")
            self.add_bucket(bucket, key)
        elif service == "secretsmanager" and name.startswith("secret:"):
            self._names.add(f"secretsmanager:{_SECRET_SUFFIX.sub('', name[len('secret:') :])}")
        elif service == "ssm" and name.startswith("parameter/"):
            self._names.add(f"ssm:{name[len('parameter') :]}")
        elif service == "rds" and name.partition(":")[0] in _DATABASES:
            self._names.add(f"rds:{name}")

    def sorted(self) -> tuple[tuple[str, ...], bool]:
        """The datasets in code point order, and whether there were more than are kept."""
        names, keys = self._names.sorted(), self._keys.sorted()
        room = CAP - len(names)
        overflowed = self._names.overflowed or self._keys.overflowed or len(keys) > room
        return tuple(sorted({*names, *keys[:room]})), overflowed


_SECRET_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}\Z")
_DATABASES = {
    "db": "dBInstanceIdentifier",
    "cluster": "dBClusterIdentifier",
    "snapshot": "dBSnapshotIdentifier",
    "cluster-snapshot": "dBClusterSnapshotIdentifier",
}


def _named_by_s3(datasets: _Datasets, call: str, parameters: dict[str, Any]) -> None:
    del call
    datasets.add_bucket(parameters.get("bucketName"), parameters.get("key"))
    if isinstance(source := parameters.get("x-amz-copy-source"), str):
        bucket, _, key = source.lstrip("/").partition("/")
        datasets.add_bucket(bucket, key)


def _named_by_secrets(datasets: _Datasets, call: str, parameters: dict[str, Any]) -> None:
    datasets.add_secret(parameters.get("secretId"))
    if call == "CreateSecret":
        datasets.add_secret(parameters.get("name"))
    if isinstance(several := parameters.get("secretIdList"), list):
        for secret in several:
            datasets.add_secret(secret)


def _named_by_ssm(datasets: _Datasets, call: str, parameters: dict[str, Any]) -> None:
    if "Parameter" not in call:  # documents and associations have names too
        return
    datasets.add_parameter(parameters.get("name"))
    datasets.add_parameter(parameters.get("path"))
    if isinstance(several := parameters.get("names"), list):
        for parameter in several:
            datasets.add_parameter(parameter)


def _named_by_rds(datasets: _Datasets, call: str, parameters: dict[str, Any]) -> None:
    del call
    for kind, key in _DATABASES.items():
        datasets.add_database(kind, parameters.get(key))


_NAMED_BY: dict[str, Callable[[_Datasets, str, dict[str, Any]], None]] = {
    "s3": _named_by_s3,
    "secretsmanager": _named_by_secrets,
    "ssm": _named_by_ssm,
    "rds": _named_by_rds,
}


PARSERS = (CloudTrailParser(),)
