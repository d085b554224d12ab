"""AWS CloudTrail: who called what, when, as delivered to S3 or copied elsewhere. Infers no access.

Read are `{"Records": […]}`, bare lists, NDJSON (also of Logstash, which names the time
`@timestamp`), and the answers of LookupEvents (`{"Events": […]}` or NDJSON), which wrap each record
as a text in `CloudTrailEvent`; EventBridge's `detail` and CloudWatch Logs' `message` too.

What the facts mean here:

- `principals` are the distinct `userIdentity.arn`, exactly as logged. An assumed role thus appears
  once a session: `assumed-role/<role>/<session>` says which machine or person used the role, where
  the role alone would not. Identities that AWS gives no ARN (other accounts, web and SAML
  federation, Identity Center) appear as `<type>:<principal id, name or account>`. AWS services that
  act on their own behalf (`AWSService`, or no type at all) are no principals; another identity
  without ARN is counted in `problems`.
- `scopes` are the roles and users that issued the credentials of a session (`sessionIssuer`): what
  a session may do is what they may.
- `accounts` are `recipientAccountId` and `userIdentity.accountId`.
- `decisions`: an event with an error code is `denied` if the code says that permission or
  credentials were lacking, else `failed`. An event without one was `allowed`.
- `permissions` are only what the records say: those refused, by the error message's own word for
  them or else the call's, and those that a call to IAM gave to a user, group or role.
- `datasets` are what `requestParameters` and `resources` name: `s3://bucket[/key]`,
  `secretsmanager:<name>` (without the six characters that ARNs add), `ssm:/<parameter>`,
  `dynamodb:<table>`, `bedrock:knowledge-base/<id>` and
  `rds:<db|cluster|snapshot|cluster-snapshot>:<name>`. Buckets and other names are kept before keys
  where there is no room for all.
- `models` are those that Bedrock was asked for.
- `gaps` are silences of at least `times.GAP_SECONDS` between neighbouring event times of this file,
  the longest where there are too many. File order is not time order, so times are sorted first.
- `records` counts duplicates too: CloudTrail delivers at least once. Events that two accounts share
  (`sharedEventID`) are no duplicates, each being its account's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePath
from typing import Any, BinaryIO

from ingest.parsers.access import (
    MOST_KNOWN,
    Actor,
    Datasets,
    Requests,
    marked,
    recognised,
    summary,
)
from ingest.parsers.bounded import clip
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader, parse_embedded
from verify.facts import CAP, Permission

NO_DATA_EVENTS = "S3 object reads (no data events)"

_KEYS = ("Records", "Events", "logEvents", "events")
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
_MARKS = marked(*_EVENT_KEYS)
_FILE_ACCOUNT = re.compile(r"(?<!\d)(\d{12})_CloudTrail_", re.ASCII)
_WITHOUT_ARN = frozenset(
    ("AWSAccount", "WebIdentityUser", "SAMLUser", "IdentityCenterUser", "Directory", "Unknown")
)
_REFUSED = re.compile(
    r"AccessDenied|Unauthori[sz]ed|NotAuthori[sz]ed|Authori[sz]ationError|AuthFailure"
    r"|(?:InvalidClientTokenId|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|Forbidden)"
    r"|InsufficientPrivileges"
)
_REFUSAL = re.compile(
    r"not authorized to perform:? ([A-Za-z0-9-]{1,64}:[A-Za-z0-9*]{1,128})"
    r"(?: on resource:? ([^\s]{1,300}))?"
)


class CloudTrailParser:
    """Reads CloudTrail records in whichever wrapping."""

    name = "cloudtrail"
    version = 2
    kinds = ("access_log",)
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is an event, wrapped or not."""
        del name
        return recognised(head, _MARKS, _ENOUGH_KEYS, _holds_event, _KEYS)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every event; what is no event counts as a bad record."""
        reader = RecordReader.of_any_shape(stream, keys=_KEYS, resumes_at=_is_record)
        trail = _Trail()
        take = trail.take
        for offset, value in reader:
            # Nearly all are events as delivered; `take` refuses what only looks like one.
            if (
                isinstance(value, dict)
                and "eventVersion" in value
                and "eventName" in value
                and take(value)
            ):
                continue
            for event in _events(value):
                if not _is_event(event) or not take(event):
                    reader.note_bad(offset, "not a CloudTrail event")
        return trail.reading(self, reader, name)


# What an event is.


def _holds_event(value: Any) -> bool:
    return any(_is_event(event) for event in _events(value))


def _is_event(value: object) -> bool:
    """Most keys of an event, and not from what only borrowed its shape.

    S3 notifications and Lambda's stream events have the same keys, but sources like 'aws:s3'.
    """
    if not isinstance(value, dict):
        return False
    both = "eventVersion" in value and "eventName" in value
    if not both and sum(key in value for key in _EVENT_KEYS) < _ENOUGH_KEYS:
        return False
    return not _is_borrowed(value.get("eventSource"))


def _is_borrowed(source: object) -> bool:
    return isinstance(source, str) and source.startswith("aws:")


def _is_record(value: object) -> bool:
    """Whether damage is over here: an event or its wrapping, which cannot lie inside an event."""
    if not isinstance(value, dict):
        return False
    of_logs = "message" in value and "timestamp" in value
    return "CloudTrailEvent" in value or "detail-type" in value or of_logs or _is_event(value)


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
    if inner is None and not _is_event(value):
        inner = value.get("message")
    if isinstance(inner, str):
        return parse_embedded(inner)
    if inner is None and isinstance(value.get("detail"), dict):
        inner = value["detail"]
    return inner if isinstance(inner, dict) else value


class _Call:
    """What is the same for all events of one principal, call and outcome."""

    __slots__ = ("actor", "count", "decision", "name", "named", "nameless", "service", "special")

    def __init__(self, service: str, name: str, actor: Actor | None, decision: str) -> None:
        self.service = service
        self.name = name
        self.actor = actor
        self.decision = decision
        self.count = 0
        self.nameless = False
        self.named: Callable[[_Named, str, dict[str, Any]], None] | None = None
        self.special: Callable[[_Call, dict[str, Any]], None] | None = None
        """For what each event says on its own: the permission that it lacked, or gave."""


class _Trail:
    """What the events taken so far add up to. Values of the wrong type are left out."""

    def __init__(self) -> None:
        self._gathered = Requests(gaps=True)
        self._datasets = _Named()
        self._no_data_events = True
        self._calls: dict[tuple[object, ...], _Call] = {}

    def take(self, event: dict[str, Any]) -> bool:
        """Take one event; False if it is none, but has borrowed its shape."""
        get = event.get
        identity = get("userIdentity")
        if isinstance(identity, dict):
            who = identity.get("arn")
            account = identity.get("accountId")
            issuer = _issuer(context) if (context := identity.get("sessionContext")) else None
            if not who or not isinstance(who, str):
                who = identity.get("type"), identity.get("principalId"), identity.get("userName")
        else:
            who = account = issuer = None
        key: tuple[object, ...] = (
            get("eventSource"),
            get("eventName"),
            get("errorCode"),
            get("recipientAccountId"),
            who,
            account,
            issuer,
        )
        if self._no_data_events and (
            get("managementEvent") is False or get("eventCategory") == "Data"
        ):
            self._no_data_events = False
        try:
            call = self._calls.get(key)
        except TypeError:  # a list or an object where a text should be
            key, call = (object(),), None
        if call is None:
            if _is_borrowed(get("eventSource")):
                return False
            call = self._new(key, event)
        call.count += 1
        gathered = self._gathered
        gathered.record(get("eventID"))
        if moment := get("eventTime") or get("@timestamp"):
            gathered.happened(moment, call.actor)
        else:
            gathered.count_problem("event", "without a time")
        if call.special is not None:
            call.special(call, event)
        if call.named is not None and isinstance(parameters := get("requestParameters"), dict):
            call.named(self._datasets, call.name, parameters)
        if resources := get("resources"):
            self._datasets.add_resources(resources)
        return True

    def _new(self, key: tuple[object, ...], event: dict[str, Any]) -> _Call:
        if len(self._calls) >= MOST_KNOWN:
            self._add_up()
        source, name, code = (
            value if isinstance(value := event.get(each), str) else ""
            for each in ("eventSource", "eventName", "errorCode")
        )
        refused = _REFUSED.search(code[:200])
        decision = "denied" if refused else "failed" if code else "allowed"
        service = source.removesuffix(".amazonaws.com")
        identity = event.get("userIdentity")
        actor = self._gathered.actor(self._principal(identity))
        call = self._calls[key] = _Call(service, name, actor, decision)
        call.nameless = actor is None and _acts(identity)
        self._add_account(event.get("recipientAccountId"))
        if source and name:
            self._gathered.add("actions", f"{service}:{name}")
            call.named = _NAMED_BY.get(service)
            if service.startswith("bedrock"):
                call.named = self._take_bedrock
        if refused:
            call.special = self._take_refusal
        elif name == "ConsoleLogin":
            call.special = self._take_login
        elif decision == "allowed" and service == "iam" and name in _GRANTS:
            call.special = self._take_grant
        return call

    def _principal(self, identity: object) -> str | None:
        if not isinstance(identity, dict):
            return None
        self._add_account(identity.get("accountId"))
        self._gathered.add("scopes", _issuer(identity.get("sessionContext")))
        arn, kind = identity.get("arn"), identity.get("type")
        if isinstance(arn, str) and arn:
            return arn
        if isinstance(kind, str) and kind in _WITHOUT_ARN:
            for each in ("principalId", "userName", "accountId"):
                if isinstance(name := identity.get(each), str) and name:
                    return f"{kind}:{name}"
        return None

    def _add_account(self, value: object) -> None:
        if isinstance(value, int) and not isinstance(value, bool):
            value = f"{value:012d}"[:24]  # a copy that took the id for a number
        if isinstance(value, str) and value != "ANONYMOUS_PRINCIPAL":
            self._gathered.add("accounts", value)

    def _take_bedrock(self, datasets: _Named, name: str, parameters: dict[str, Any]) -> None:
        del name
        self._gathered.model(requested=parameters.get("modelId"))
        base = parameters.get("knowledgeBaseId")
        if isinstance(base, str) and base:
            datasets.add(f"bedrock:knowledge-base/{base}")

    def _take_refusal(self, call: _Call, event: dict[str, Any]) -> None:
        message = event.get("errorMessage")
        refusal = _REFUSAL.search(message[:2000]) if isinstance(message, str) else None
        permission = refusal[1] if refusal else f"{call.service}:{call.name}"
        principal = call.actor.name if call.actor else None
        self._gathered.keep(Permission(permission, principal, refusal and refusal[2], "denied"))

    def _take_login(self, call: _Call, event: dict[str, Any]) -> None:
        answer = event.get("responseElements")
        if isinstance(answer, dict) and answer.get("ConsoleLogin") == "Failure":
            call.count -= 1
            self._gathered.decision("denied")

    def _take_grant(self, call: _Call, event: dict[str, Any]) -> None:
        parameters = event.get("requestParameters")
        if not isinstance(parameters, dict):
            return
        permission, holder = (parameters.get(each) for each in _GRANTS[call.name])
        if isinstance(permission, str) and isinstance(holder, str):
            kind = _GRANTS[call.name][1].removesuffix("Name")  # user, group, role, as in ARNs
            self._gathered.keep(Permission(permission, f"{kind}/{holder}", None, "granted"))

    def _add_up(self) -> None:
        """Forget the calls, what they came to being added up."""
        for call in self._calls.values():
            if call.count:
                self._gathered.decision(call.decision, call.count)
            if call.nameless and call.count:
                self._gathered.count_problem("event", "without a principal's ARN", call.count)
        self._calls.clear()
        self._gathered.add_up()

    def reading(self, parser: CloudTrailParser, reader: RecordReader, name: str) -> Reading:
        """What all this says of the item; `name` is the file's."""
        self._add_up()
        gathered = self._gathered
        gathered.add("platforms", "aws")
        if gathered.records and self._no_data_events:
            # Without data events a trail is silent about objects, whatever was read.
            gathered.add("not_captured", NO_DATA_EVENTS)
        facts = self._datasets.into(gathered.facts(parser, damage=reader))
        if problem := _account_problem(name, facts.accounts):
            facts = replace(facts, problems=(*facts.problems, problem)[:CAP])
        return Reading(facts, parser.kinds, "CloudTrail", summary(facts, "event"))


def _acts(identity: object) -> bool:
    """Whether it is the identity of somebody, and not of AWS itself."""
    return isinstance(identity, dict) and identity.get("type") not in (None, "AWSService")


def _issuer(context: object) -> object:
    issuer = context.get("sessionIssuer") if isinstance(context, dict) else None
    return issuer.get("arn") if isinstance(issuer, dict) else None


def _account_problem(name: str, accounts: tuple[str, ...]) -> str | None:
    """The account that the file's name claims, where no record knows it: copied or anonymised."""
    match = _FILE_ACCOUNT.search(PurePath(name).name)
    if match is None or not accounts or match[1] in accounts:
        return None
    known = ", ".join(accounts[:3]) + (f" and {len(accounts) - 3} more" if accounts[3:] else "")
    return clip(f"account {match[1]} in the file name, {known} in the records")


_GRANTS = {
    "AttachUserPolicy": ("policyArn", "userName"),
    "AttachGroupPolicy": ("policyArn", "groupName"),
    "AttachRolePolicy": ("policyArn", "roleName"),
    "PutUserPolicy": ("policyName", "userName"),
    "PutGroupPolicy": ("policyName", "groupName"),
    "PutRolePolicy": ("policyName", "roleName"),
    "AddUserToGroup": ("groupName", "userName"),
}


# What events name.


class _Named(Datasets):
    """Buckets, keys, secrets, parameters and databases, as the module text spells them."""

    def __init__(self) -> None:
        super().__init__()
        self._arns: set[str] = set()

    def add_bucket(self, bucket: object, key: object = None) -> None:
        """Add a bucket and the key in it, if there is one."""
        if isinstance(bucket, str) and bucket:
            self.add(f"s3://{bucket}", key)

    def add_secret(self, secret: object) -> None:
        """Add a secret by name or ARN."""
        if isinstance(secret, str) and secret:
            if secret.startswith("arn:"):
                self.add_arn(secret)
            else:
                self.add(f"secretsmanager:{secret}")

    def add_parameter(self, parameter: object) -> None:
        """Add a Systems Manager parameter by name or ARN."""
        if isinstance(parameter, str) and parameter:
            if parameter.startswith("arn:"):
                self.add_arn(parameter)
            else:
                self.add(f"ssm:/{parameter.lstrip('/')}")

    def add_database(self, kind: str, name: object) -> None:
        """Add a database, cluster or snapshot by name or ARN."""
        if isinstance(name, str) and name:
            if name.startswith("arn:"):
                self.add_arn(name)
            else:
                self.add(f"rds:{kind}:{name}")

    def add_resources(self, resources: object) -> None:
        """Add what an event's `resources` list."""
        for resource in resources if isinstance(resources, list) else ():
            arn = resource.get("ARN") if isinstance(resource, dict) else None
            if isinstance(arn, str) and arn not in self._arns:
                if len(self._arns) >= MOST_KNOWN:
                    self._arns.clear()
                self._arns.add(arn)
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
            self.add(f"secretsmanager:{_SECRET_SUFFIX.sub('', name[len('secret:') :])}")
        elif service == "ssm" and name.startswith("parameter/"):
            self.add(f"ssm:{name[len('parameter') :]}")
        elif service == "dynamodb" and name.startswith("table/"):
            self.add(f"dynamodb:{name.split('/')[1]}")
        elif service == "rds" and name.partition(":")[0] in _DATABASES:
            self.add(f"rds:{name}")


_SECRET_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}\Z")
_DATABASES = {
    "db": "dBInstanceIdentifier",
    "cluster": "dBClusterIdentifier",
    "snapshot": "dBSnapshotIdentifier",
    "cluster-snapshot": "dBClusterSnapshotIdentifier",
}


def _named_by_s3(datasets: _Named, call: str, parameters: dict[str, Any]) -> None:
    del call
    datasets.add_bucket(parameters.get("bucketName"), parameters.get("key"))
    if isinstance(source := parameters.get("x-amz-copy-source"), str):
        bucket, _, key = source.lstrip("/").partition("/")
        datasets.add_bucket(bucket, key)


def _named_by_secrets(datasets: _Named, call: str, parameters: dict[str, Any]) -> None:
    datasets.add_secret(parameters.get("secretId"))
    if call == "CreateSecret":
        datasets.add_secret(parameters.get("name"))
    if isinstance(several := parameters.get("secretIdList"), list):
        for secret in several:
            datasets.add_secret(secret)


def _named_by_ssm(datasets: _Named, call: str, parameters: dict[str, Any]) -> None:
    if "Parameter" not in call:  # documents and associations have names too
        return
    datasets.add_parameter(parameters.get("name"))
    datasets.add_parameter(parameters.get("path"))
    if isinstance(several := parameters.get("names"), list):
        for parameter in several:
            datasets.add_parameter(parameter)


def _named_by_rds(datasets: _Named, call: str, parameters: dict[str, Any]) -> None:
    del call
    for kind, key in _DATABASES.items():
        datasets.add_database(kind, parameters.get(key))


def _named_by_dynamodb(datasets: _Named, call: str, parameters: dict[str, Any]) -> None:
    del call
    table = parameters.get("tableName")
    if isinstance(table, str) and table:
        datasets.add_arn(table) if table.startswith("arn:") else datasets.add(f"dynamodb:{table}")


_NAMED_BY: dict[str, Callable[[_Named, str, dict[str, Any]], None]] = {
    "s3": _named_by_s3,
    "secretsmanager": _named_by_secrets,
    "ssm": _named_by_ssm,
    "rds": _named_by_rds,
    "dynamodb": _named_by_dynamodb,
}


PARSERS = (CloudTrailParser(),)
