"""Amazon Bedrock guardrails: what a guardrail found in a prompt or an answer. Keeps no match.

Read are the answers of ApplyGuardrail, of Converse and InvokeModel where a guardrail looked at
them, and the events of an agent's guardrail trace: as JSON, as the event stream that AWS sends, or
inside recorded HTTP exchanges (VCR cassettes in YAML), which add what the body does not say.

- The bodies carry no time, except the agent's `eventTime`. A recorded `Date` header is one.
- A filter that found nothing is listed too, with `detected: false`; older bodies leave `detected`
  out and list what acted. Only what was found is a finding; its disposition is the filter's action.
- ApplyGuardrail says GUARDRAIL_INTERVENED where an agent and InvokeModel say INTERVENED, and all of
  them also when they only masked: what was blocked is denied, what was masked is allowed.
- The version DRAFT is whatever its owner makes of it next, so that the finding cannot be repeated.
- `match` is the personal data itself and stays out of the facts. A trace may hold the answer before
  masking (`modelOutput`), which is said.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.eventstream import MessageReader, is_event_stream
from ingest.parsers.gathering import Damage, Gathered
from ingest.parsers.library import unread
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.reach import first_records, objects, reach, surest, word
from ingest.parsers.records import RecordReader, Replayed, parse_embedded, read_fully, shape_of
from ingest.parsers.times import Time, read_time
from ingest.parsers.yamldocs import YamlReader, yaml_library
from verify.facts import Config, Detector

DRAFT = "DRAFT"
_POLICIES = (
    ("contentPolicy", "filters", "content", "type"),
    ("contextualGroundingPolicy", "filters", "grounding", "type"),
    ("sensitiveInformationPolicy", "piiEntities", "pii", "type"),
    ("sensitiveInformationPolicy", "regexes", "regex", "name"),
    ("topicPolicy", "topics", "topic", "name"),
    ("wordPolicy", "customWords", "word", "custom"),
    ("wordPolicy", "managedWordLists", "word", "type"),
)
"""Where assessments list what they looked at, what that is called here, and where its name is."""

_INVOKED = "amazon-bedrock-guardrailAction"
_INVOKE_TRACE = "amazon-bedrock-trace"
_MARKS = re.compile(
    rb'"(?:GUARDRAIL_INTERVENED|guardrail_intervened|guardrailTrace|appliedGuardrailDetails'
    rb"|guardrailCoverage|guardrailProcessingLatency|amazon-bedrock-guardrailAction)"
)
_CASSETTE = re.compile(rb"^(?:\xef\xbb\xbf)?interactions:", re.M)
_BEDROCK = re.compile(rb"uri: ['\"]?https://bedrock[a-z0-9.-]*\.amazonaws\.com", re.I)
_WORDS = (b"uardrail", b"GUARDRAIL")
_ENCODED = re.compile(
    b"|".join(
        base64.b64encode(bytes(shift) + b"guardrail")[-(-shift * 4 // 3) : (shift + 9) * 4 // 3]
        for shift in range(3)
    )
)
"""The same word in base64, however it falls."""

_APPLIED = re.compile(r"/guardrail/([^/?#]+)/version/([^/?#]+)/apply", re.ASCII)
_INVOKED_MODEL = re.compile(r"/model/([^/?#]+)/", re.ASCII)
_ACCOUNT = re.compile(r"arn:aws[a-z-]*:bedrock:[^:]*:(\d{12}):", re.ASCII)


class BedrockGuardrailParser:
    """Reads what guardrails reported, in whichever wrapping."""

    name = "bedrock-guardrail"
    version = 1
    kinds = ("guardrail_alert", "dlp_finding")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is such an answer, or a cassette records one."""
        del name
        if is_event_stream(head):
            return Confidence.CERTAIN if _speaks(head) else Confidence.NONE
        if b"interactions:" in head and _CASSETTE.search(head):
            speaks = _speaks(head) or _ENCODED.search(b"".join(head.split()))
            return Confidence.CERTAIN if speaks and _BEDROCK.search(head) else Confidence.NONE
        if not _speaks(head) or not _MARKS.search(head) or shape_of(head) is None:
            return Confidence.NONE
        return surest(first_records(head), _is_report)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every answer and event; what is neither counts as a bad record."""
        del name
        head = read_fully(stream, HEAD_SIZE)
        source = Replayed(head, stream)
        seen = _Seen()
        damage: Damage
        if is_event_stream(head):
            damage = messages = MessageReader(source)
            seen.take_all(_payloads(messages), messages)
        elif shape_of(head) is not None:
            damage = records = RecordReader.of_any_shape(source, resumes_at=_is_event)
            seen.take_all(iter(records), records)
        elif yaml := yaml_library():
            damage = documents = YamlReader(source, yaml)
            for offset, document in documents:
                exchanges = reach(document, "interactions")
                if not isinstance(exchanges, list):
                    documents.note_bad(offset, "no recorded exchanges")
                for exchange in objects(exchanges):
                    if not seen.take_exchange(exchange):
                        documents.note_bad(offset, "an exchange without a guardrail's report")
        else:
            return unread(self, self.name, "Bedrock guardrail", ("guardrail_alert",))
        return seen.reading(self, damage)


def _speaks(head: bytes) -> bool:
    return any(spelling in head for spelling in _WORDS)


def _is_report(value: Any) -> bool:
    """Whether it is an answer or an event in which a guardrail speaks."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("assessments"), list) and isinstance(value.get("action"), str):
        return True
    return (
        value.get("stopReason") == "guardrail_intervened"
        or isinstance(reach(value, "trace", "guardrail"), dict)
        or isinstance(reach(value, "trace", "guardrailTrace"), dict)
        or _INVOKED in value
    )


def _is_event(value: Any) -> bool:
    """A report, or what stands beside one in a stream."""
    if not isinstance(value, dict):
        return False
    beside = ("bytes", "role", "delta", "contentBlockIndex", "stopReason")
    in_trace = isinstance(value.get("trace"), dict) and "agentId" in value
    return _is_report(value) or in_trace or any(key in value for key in beside)


def _payloads(messages: MessageReader) -> Iterator[tuple[int, Any]]:
    for offset, message in messages:
        yield offset, parse_embedded(message.payload.decode("utf-8", "replace"))


class _Seen:
    """What the reports taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.gathered.add("platforms", "aws")
        self._reports = 0
        self._intervened = 0
        self._found = 0
        self._personal = False
        self._unmasked = False
        self._timed = False
        self._stopped: str | None = None  # a stream's stopReason, until its trace comes
        self._version: object = None  # what the recorded request asks for
        self._time: Time | None = None

    def take_all(self, records: Iterator[tuple[int, Any]], reader: Any) -> None:
        """Take the records of an item; the reader counts those that are none."""
        for offset, value in records:
            if not self.take(value):
                reader.note_bad(offset, "not a guardrail's report")
        self._settle()

    def take(self, value: Any) -> bool:
        """Take one answer or event; False if it is neither."""
        if not _is_event(value):
            return False
        self.gathered.record()
        inner = _unpacked(value.get("bytes"))
        if inner is not None and _is_report(inner):
            value = inner
        if _is_report(value):
            self._reports += 1
            self._take_report(value)
        return True

    def take_exchange(self, exchange: dict[str, Any]) -> bool:
        """Take a recorded request with its response."""
        uri, request = reach(exchange, "request", "uri"), reach(exchange, "request")
        date = _header(reach(exchange, "response", "headers"), "date")
        self._time = self.gathered.time(date) if read_time(date) else None
        self.gathered.add(
            "runs", _header(reach(exchange, "response", "headers"), "x-amzn-requestid")
        )
        if isinstance(uri, str):
            if match := _INVOKED_MODEL.search(uri):
                self.gathered.model(requested=match[1])
            if match := _APPLIED.search(uri):
                self._guardrail(match[1], match[2])
        self._take_request(request)
        body = reach(exchange, "response", "body", "string")
        before = self._reports
        if isinstance(body, bytes):
            messages = MessageReader(io.BytesIO(body))
            for _, value in _payloads(messages):
                self.take(value)
            for problem in messages.problems():
                self.gathered.problem(f"response: {problem}")
        elif isinstance(body, str):
            self.take(parse_embedded(body))
        self._settle()
        self._time, self._version = None, None
        return self._reports > before

    def _take_request(self, request: Any) -> None:
        headers = reach(request, "headers")
        named = _header(headers, "x-amzn-bedrock-guardrailidentifier")
        self._guardrail(named, _header(headers, "x-amzn-bedrock-guardrailversion"))
        body = reach(request, "body")
        asked = reach(parse_embedded(body), "guardrailConfig") if isinstance(body, str) else None
        self._guardrail(reach(asked, "guardrailIdentifier"), reach(asked, "guardrailVersion"))

    def _guardrail(self, identifier: object, version: object) -> None:
        """A guardrail that was asked for."""
        if isinstance(identifier, str) and identifier:
            self._version = version
            self.gathered.keep(Config("guardrail", identifier.rpartition("/")[2], said(version)))
            if version == DRAFT:
                self._draft()

    def _draft(self) -> None:
        self.gathered.problem("guardrail version DRAFT: it can change without a new version")

    def _take_report(self, value: dict[str, Any]) -> None:
        trace = value.get("trace")
        if isinstance(of_agent := reach(trace, "guardrailTrace"), dict):
            self._take_agent(value, of_agent)
        elif "assessments" in value:
            actions = self._assess(None, value["assessments"])
            self._decide(value["action"] != "NONE", actions, value.get("actionReason"))
        elif _INVOKED in value:
            actions = self._traced(reach(value, _INVOKE_TRACE, "guardrail"), "input", "outputs")
            self._decide(value[_INVOKED] != "NONE", actions, None)
        else:
            self._take_converse(value, reach(trace, "guardrail"))

    def _take_converse(self, value: dict[str, Any], guardrail: Any) -> None:
        """A whole answer, or of a stream first the event that stops it and then its metadata."""
        stopped = value.get("stopReason") or self._stopped
        if not isinstance(guardrail, dict):
            self._settle()
            self._stopped = stopped
            return
        actions = self._traced(guardrail, "inputAssessment", "outputAssessments")
        reason = guardrail.get("actionReason")
        self._decide(stopped == "guardrail_intervened", actions, reason)
        self._stopped = None

    def _settle(self) -> None:
        """A stream that was stopped, and whose metadata never came."""
        if self._stopped:
            self._decide(True, set(), None)
            self._stopped = None

    def _traced(self, guardrail: Any, *places: str) -> set[str]:
        """Assess what a trace lists by guardrail id; outputs may come in lists of lists."""
        actions: set[str] = set()
        for place in places:
            for by_name in objects(reach(guardrail, place)):
                for identifier, assessments in by_name.items():
                    actions |= self._assess(identifier, assessments)
        self._unmasked = self._unmasked or bool(reach(guardrail, "modelOutput"))
        return actions

    def _take_agent(self, value: dict[str, Any], trace: dict[str, Any]) -> None:
        self._time = self.gathered.time(value.get("eventTime")) or self._time
        for end in ("startTime", "endTime"):
            if (moment := reach(trace, "metadata", end)) is not None:
                self.gathered.time(moment)
        self.gathered.add("sessions", value.get("sessionId"))
        self.gathered.add("traces", trace.get("traceId"))
        agent, version = value.get("agentId"), value.get("agentVersion")
        self.gathered.keep(Config("agent", word(agent), said(version)))
        for caller in objects(value.get("callerChain")):
            self._account(caller.get("agentAliasArn"))
        actions = self._assess(None, trace.get("inputAssessments"))
        actions |= self._assess(None, trace.get("outputAssessments"))
        self._decide(trace.get("action") != "NONE", actions, None)
        self._time = None

    def _account(self, arn: object) -> None:
        if isinstance(arn, str) and (match := _ACCOUNT.match(arn)):
            self.gathered.add("accounts", match[1])

    def _assess(self, identifier: str | None, assessments: Any) -> set[str]:
        """Take what a guardrail found; the actions that followed."""
        actions: set[str] = set()
        for assessment in objects(assessments):
            applied = reach(assessment, "appliedGuardrailDetails")
            self._account(reach(applied, "guardrailArn"))
            own = word(reach(applied, "guardrailId")) or identifier
            name = own or "Bedrock guardrail"
            version = said(reach(applied, "guardrailVersion") or self._version)
            if version == DRAFT:
                self._draft()
            self.gathered.keep(Detector(name, version))
            if own:
                self.gathered.keep(Config("guardrail", own, version))
            if version is None:
                self.gathered.add("not_captured", "guardrail version")
            for policy, place, prefix, key in _POLICIES:
                for row in objects(reach(assessment, policy, place)):
                    if _detected(row):
                        label = row.get(key) if key != "custom" else key
                        self._finding(name, f"{prefix}:{label}", row.get("action"))
                        self._personal = self._personal or prefix in ("pii", "regex")
                        actions.add(str(row.get("action")))
        return actions

    def _finding(self, name: str, label: str, action: object) -> None:
        self._found += 1
        self._timed = self._timed or self._time is not None
        self.gathered.finding(name, label, time=self._time, disposition=action)

    def _decide(self, intervened: bool, actions: set[str], reason: object) -> None:
        """What became of the request."""
        said = reason.lower() if isinstance(reason, str) else ""
        if not intervened:
            self.gathered.decision("allowed")
            return
        self._intervened += 1
        if "BLOCKED" in actions or "blocked" in said:
            self.gathered.decision("denied")
        elif "ANONYMIZED" in actions or "masked" in said:
            self.gathered.decision("allowed")
        else:
            self.gathered.decision("unknown")

    def reading(self, parser: BedrockGuardrailParser, damage: Damage) -> Reading:
        """The facts, and the line about them."""
        gathered = self.gathered
        if self._unmasked:
            gathered.problem("a trace holds the model's answer before masking")
        if self._reports and gathered.clock.quality == "none":
            gathered.add("not_captured", "times")
        kinds = parser.kinds if self._personal else parser.kinds[:1]
        parts = [
            counted(self._reports, "report"),
            f"{self._intervened:,} intervened",
            counted(self._found, "finding"),
        ]
        if self._reports and gathered.clock.quality == "none":
            parts.append("no times")
        facts = gathered.facts(parser, damage=damage)
        return Reading(facts, kinds, "Bedrock guardrail", ", ".join(parts))


def _detected(row: dict[str, Any]) -> bool:
    """Whether a filter found something: by its word, or where it has none because it acted."""
    detected = row.get("detected")
    return detected if isinstance(detected, bool) else row.get("action") not in (None, "NONE")


def _unpacked(text: object) -> Any:
    """The JSON that a stream's chunk carries in base64, if it does."""
    if not isinstance(text, str):
        return None
    try:
        return parse_embedded(base64.b64decode(text).decode("utf-8", "replace"))
    except (binascii.Error, ValueError):
        return None


def _header(headers: Any, name: str) -> str | None:
    """A header of a recorded exchange, whose values are lists of texts, some in base64."""
    if not isinstance(headers, dict):
        return None
    for key, value in headers.items():
        if key.lower() == name:
            first = value[0] if isinstance(value, list) and value else value
            return first.decode("utf-8", "replace") if isinstance(first, bytes) else first
    return None


PARSERS = (BedrockGuardrailParser(),)
