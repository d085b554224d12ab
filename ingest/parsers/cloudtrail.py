"""AWS CloudTrail: who called what, when, as delivered to S3 or copied elsewhere. Infers no access.

Read are `{"Records": […]}`, bare lists, NDJSON (also of Logstash, which names the time
`@timestamp`), and the answers of LookupEvents (`{"Events": […]}` or NDJSON), which wrap each record
as a text in `CloudTrailEvent`; EventBridge's `detail` too.

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

from ingest.parsers.access import Datasets, marked, recognised, summary
from ingest.parsers.bounded import clip
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.records import RecordReader, parse_embedded
from verify.facts import CAP, Permission

NO_DATA_EVENTS = "S3 object reads (no data events)"

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
_CACHE = 10_000


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
            if _is_event(value):
                take(value)
                continue
            for event in _events(value):
                if _is_event(event):
                    take(event)
                else:
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


class _Trail:
    """What the events taken so far add up to. Values of the wrong type are left out."""

    def __init__(self) -> None:
        self._gathered = Gathered(gaps=True)
        self._datasets = _Named()
        self._data_events = False
        self._refused: dict[str, bool] = {}  # error codes
        self._calls: dict[tuple[str, str], str] = {}  # source and name: service:name
        self._accounts: set[object] = set()

    def take(self, event: dict[str, Any]) -> None:
        """Take one event."""
        gathered = self._gathered
        gathered.record(event.get("eventID"))
        moment = event.get("eventTime", event.get("@timestamp"))
        time = gathered.time(moment)
        if time is None and moment in (None, ""):
            gathered.count_problem("event", "without a time")
        principal = self._principal(event.get("userIdentity"))
        if principal is not None:
            gathered.activity(principal, time)
        self._add_account(event.get("recipientAccountId"))
        action = self._action(event)
        self._decide(event, action, principal)
        if resources := event.get("resources"):
            self._datasets.add_resources(resources)
        if not self._data_events:
            self._data_events = (
                event.get("eventCategory") == "Data" or event.get("managementEvent") is False
            )

    def _principal(self, identity: object) -> str | None:
        if not isinstance(identity, dict):
            return None
        self._add_account(identity.get("accountId"))
        context = identity.get("sessionContext")
        if isinstance(context, dict) and isinstance(issuer := context.get("sessionIssuer"), dict):
            self._gathered.add("scopes", issuer.get("arn"))
        arn, kind = identity.get("arn"), identity.get("type")
        if isinstance(arn, str) and arn:
            return arn
        if isinstance(kind, str) and kind in _WITHOUT_ARN:
            for key in ("principalId", "userName", "accountId"):
                if isinstance(name := identity.get(key), str) and name:
                    return f"{kind}:{name}"
        elif kind is None or kind == "AWSService":
            return None
        self._gathered.count_problem("event", "without a principal's ARN")
        return None

    def _action(self, event: dict[str, Any]) -> str | None:
        source, call = event.get("eventSource"), event.get("eventName")
        if not isinstance(source, str) or not isinstance(call, str):
            return None
        action = self._calls.get((source, call))
        if action is None:
            if len(self._calls) >= _CACHE:
                self._calls.clear()
            action = self._calls[source, call] = f"{source.removesuffix('.amazonaws.com')}:{call}"
            self._gathered.add("actions", action)
        parameters = event.get("requestParameters")
        if isinstance(parameters, dict):
            service = action[: -len(call) - 1]
            if named := _NAMED_BY.get(service):
                named(self._datasets, call, parameters)
            elif service.startswith("bedrock"):
                self._take_bedrock(parameters)
        return action

    def _take_bedrock(self, parameters: dict[str, Any]) -> None:
        self._gathered.model(requested=parameters.get("modelId"))
        base = parameters.get("knowledgeBaseId")
        if isinstance(base, str) and base:
            self._datasets.add(f"bedrock:knowledge-base/{base}")

    def _decide(self, event: dict[str, Any], action: str | None, principal: str | None) -> None:
        code = event.get("errorCode")
        if not isinstance(code, str) or not code:
            if event.get("eventName") == "ConsoleLogin" and _login_failed(event):
                self._gathered.decision("denied")
                return
            self._gathered.decision("allowed")
            if action is not None and action.startswith("iam:") and event.get("readOnly") is False:
                self._take_grant(event)
            return
        refused = self._refused.get(code)
        if refused is None:
            if len(self._refused) >= _CACHE:
                self._refused.clear()
            refused = self._refused[code] = bool(_REFUSED.search(code[:200]))
        if not refused:
            self._gathered.decision("failed")
            return
        self._gathered.decision("denied")
        message = event.get("errorMessage")
        said = _REFUSAL.search(message[:2000]) if isinstance(message, str) else None
        permission, resource = (said[1], said[2]) if said else (action, None)
        if permission is not None:
            self._gathered.keep(Permission(permission, principal, resource, "denied"))

    def _take_grant(self, event: dict[str, Any]) -> None:
        keys = _GRANTS.get(str(event.get("eventName")))
        parameters = event.get("requestParameters")
        if keys is None or not isinstance(parameters, dict):
            return
        permission, holder = (parameters.get(key) for key in keys)
        if isinstance(permission, str) and isinstance(holder, str):
            # userName, groupName, roleName: the ARN's own words for them
            kind = keys[1].removesuffix("Name")
            self._gathered.keep(Permission(permission, f"{kind}/{holder}", None, "granted"))

    def _add_account(self, value: object) -> None:
        if isinstance(value, str):
            if value in self._accounts or not value or value == "ANONYMOUS_PRINCIPAL":
                return
        elif isinstance(value, int) and not isinstance(value, bool):
            value = f"{value:012d}"[:24]  # a copy that took the id for a number
        else:
            return
        if len(self._accounts) >= _CACHE:
            self._accounts.clear()
        self._accounts.add(value)
        self._gathered.add("accounts", value)

    def reading(self, parser: CloudTrailParser, reader: RecordReader, name: str) -> Reading:
        """What all this says of the item; `name` is the file's."""
        gathered = self._gathered
        gathered.add("platforms", "aws")
        if gathered.records and not self._data_events:
            # Without data events a trail is silent about objects, whatever was read.
            gathered.add("not_captured", NO_DATA_EVENTS)
        facts = self._datasets.into(gathered.facts(parser, damage=reader))
        if problem := _account_problem(name, facts.accounts):
            facts = replace(facts, problems=(*facts.problems, problem)[:CAP])
        return Reading(facts, parser.kinds, "CloudTrail", summary(facts, "event"))


def _login_failed(event: dict[str, Any]) -> bool:
    answer = event.get("responseElements")
    return isinstance(answer, dict) and answer.get("ConsoleLogin") == "Failure"


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
