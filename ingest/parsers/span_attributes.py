"""Attributes of spans in every dialect: what a span is, whom, what and which data it names. Pure.

Read alike are three generations of OpenTelemetry's GenAI conventions, OpenInference, and what
Traceloop, Google's ADK, AWS, MCP and Guardrails AI add.
"""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ingest.parsers.bounded import said
from ingest.parsers.message_parts import Messages, read_messages, says
from ingest.parsers.records import parse_embedded
from ingest.parsers.times import Time, read_time

Attributes = dict[str, Any]
Event = tuple[object, Time | int | None, Attributes]
Role = Literal[
    "model", "embedding", "tool", "mcp", "agent", "retrieval", "guardrail", "evaluation"
]  # fmt: skip


@dataclass(slots=True)
class Span:
    """A span, whatever it came from. Most times are never looked at, so they may be nanoseconds."""

    trace: str | None
    identity: str | None
    parent: object
    name: object
    start: Time | int | None
    end: Time | int | None
    ended: bool
    attributes: Attributes
    failed: bool = False
    server: bool = False
    """Whether it is the serving end of a request."""
    scope: object = None
    """The name of what wrote it."""
    events: Sequence[Event] = ()

    @property
    def began(self) -> Time | None:
        """When it started; when it ended, if only that is known."""
        return time_of(self.start or self.end)

    @property
    def finished(self) -> Time | None:
        """When it ended; when it started, if only that is known."""
        return time_of(self.end or self.start)


@dataclass(slots=True)
class LogRecord:
    """A log record or event, whatever it came from."""

    trace: str | None
    time: Time | int | None
    name: object
    """The event's name, if it is one."""
    attributes: Attributes
    body: object
    scope: object = None

    @property
    def at(self) -> Time | None:
        """When it happened."""
        return time_of(self.time)


def time_of(value: Time | int | None) -> Time | None:
    """A time, which may be nanoseconds since 1970."""
    return read_time(value, "ns") if isinstance(value, int) else value


def hexadecimal(value: object) -> str | None:
    """An id of OTLP as lower-case hexadecimal; also one that was wrongly written in Base64."""
    if not isinstance(value, str) or not value:
        return None
    if value.endswith("=") and len(value) in (12, 24):
        try:
            return base64.b64decode(value, validate=True).hex()
        except ValueError:
            return value
    value = value.lower()
    return value if value.strip("0") else None


def returned_model(value: object) -> str | None:
    """The model that a provider's or LangChain's answer, or its JSON text, names."""
    value = parsed(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        return None
    if any(key in value for key in ("choices", "usage", "usage_metadata")):
        return said(value.get("model"))
    for key in ("llm_output", "response_metadata"):
        if isinstance(inner := value.get(key), dict):
            return said(inner.get("model_name") or inner.get("model"))
    return None


_OPERATIONS: dict[str, Role] = {
    "apply_guardrail": "guardrail",
    "chat": "model",
    "create_agent": "agent",
    "embeddings": "embedding",
    "execute_tool": "tool",
    "generate_content": "model",
    "invoke_agent": "agent",
    "invoke_workflow": "agent",
    "plan": "agent",
    "retrieval": "retrieval",
    "search_memory": "retrieval",
    "text_completion": "model",
}
_OPEN_INFERENCE: dict[str, Role] = {
    "AGENT": "agent",
    "CHAIN": "agent",
    "EMBEDDING": "embedding",
    "EVALUATOR": "evaluation",
    "GUARDRAIL": "guardrail",
    "LLM": "model",
    "PROMPT": "agent",
    "RERANKER": "retrieval",
    "RETRIEVER": "retrieval",
    "TOOL": "tool",
}
_TRACELOOP: dict[str, Role] = {
    "agent": "agent",
    "task": "agent",
    "tool": "tool",
    "workflow": "agent",
}
_HINTS: tuple[tuple[str, Role], ...] = (
    ("gen_ai.tool.call.id", "tool"),
    ("gen_ai.request.model", "model"),
    ("gen_ai.response.model", "model"),
    ("validator_on_fail", "guardrail"),
    ("gen_ai.operation.name", "agent"),
    ("gen_ai.system", "agent"),
    ("gen_ai.agent.name", "agent"),
    ("gen_ai.evaluation.name", "evaluation"),
)
SESSIONS = (
    "session.id",
    "gen_ai.conversation.id",
    "gcp.vertex.agent.session_id",
    "mcp.session.id",
    "langfuse.session.id",
    "langsmith.metadata.session_id",
    "traceloop.association.properties.session_id",
)
USERS = (
    "user.id",
    "enduser.id",
    "langfuse.user.id",
    "traceloop.association.properties.user_id",
)
COMMON = frozenset(
    (
        *SESSIONS,
        *USERS,
        "aws.auth.account.access_key",
        "aws.dynamodb.table_names",
        "aws.remote.resource.type",
        "aws.s3.bucket",
        "db.system",
        "db.system.name",
        "gen_ai.data_source.id",
        "gen_ai.memory.store.id",
        "mcp.resource.uri",
        "rpc.service",
    )
)
REQUESTED = (
    "gen_ai.request.model",
    "llm.request.model_name",
    "embedding.model_name",
    "reranker.model_name",
)
RETURNED = ("gen_ai.response.model", "llm.response.model_name")
CONTENT = (
    "gen_ai.prompt",
    "gen_ai.completion",
    "input.value",
    "output.value",
    "traceloop.entity.input",
    "traceloop.entity.output",
)
TOOL_NAMES = ("gen_ai.tool.name", "tool.name", "tool_call.function.name", "traceloop.entity.name")
CALL_IDS = ("gen_ai.tool.call.id", "tool.id", "tool_call.id")
ARGUMENTS = (
    "gen_ai.tool.call.arguments",
    "gcp.vertex.agent.tool_call_args",
    "traceloop.entity.input",
    "input.value",
)
RESULTS = (
    "gen_ai.tool.call.result",
    "gcp.vertex.agent.tool_response",
    "traceloop.entity.output",
    "output.value",
)
MESSAGE_EVENTS = frozenset(
    (
        "gen_ai.system.message",
        "gen_ai.user.message",
        "gen_ai.assistant.message",
        "gen_ai.tool.message",
        "gen_ai.choice",
    )
)
GUARDRAIL_NAMES = (
    "gen_ai.guardian.name",
    "gen_ai.guardrail.name",
    "guardrail.name",
    "validator_name",
    "gen_ai.security.policy.name",
    "gen_ai.security.policy.id",
)
PASSED = frozenset(
    ("allow", "allowed", "none", "ok", "pass", "passed", "safe", "true", "valid", "audit")
)
_VERDICTS = frozenset(
    (
        *PASSED,
        "block",
        "blocked",
        "deny",
        "denied",
        "fail",
        "failed",
        "false",
        "flagged",
        "guardrail_intervened",
        "intervened",
        "invalid",
        "masked",
        "modify",
        "redacted",
        "reject",
        "rejected",
        "triggered",
        "unsafe",
        "warn",
    )
)
_FIRED_MEMBERS = ("tripwire_triggered", "triggered", "flagged", "blocked", "detected")
_PASSED_MEMBERS = ("validation_passed", "passed", "is_valid", "valid", "safe", "allowed")
_WORD_MEMBERS = ("action", "decision", "outcome", "verdict", "result")
_DOCUMENT = re.compile(
    r"(?:retrieval\.documents|reranker\.output_documents)\.\d{1,6}\.document\.id", re.ASCII
)
_OFFER = re.compile(
    r"llm\.(?:tools\.\d{1,6}\.tool\.json_schema|request\.functions\.\d{1,6}\.name)", re.ASCII
)
_EVALUATIONS = ("evaluation", "annotation", "trace.", "session.")
_EVALUATION = re.compile(
    r"((?:(?:trace|session)\.)?(?:evaluations|annotations)\.\d{1,6}|evaluation|annotation)"
    r"(?:\.(?:evaluation|annotation))?\.(name|label|score)",
    re.ASCII,
)
_ENCODING = re.compile(
    r"strands\.|(?:opentelemetry|openinference)\.instrumentation\.langchain", re.ASCII
)
_SMALL = 4096
_TOOLS = re.compile("tool|unction")
_ANSWERS = ("llm.output_messages.", "gen_ai.completion.")
_INDEXED = (*_ANSWERS, "llm.input_messages.", "gen_ai.prompt.")


def role_of(attributes: Attributes) -> Role | None:
    """What a span is, by its attributes; None if it has nothing to do with agents."""
    kind = attributes.get("openinference.span.kind")
    if isinstance(kind, str):
        return _OPEN_INFERENCE.get(kind.upper(), "agent")
    operation = attributes.get("gen_ai.operation.name")
    if isinstance(operation, str) and operation in _OPERATIONS:
        return _OPERATIONS[operation]
    if "mcp.method.name" in attributes:
        return "mcp"
    kind = attributes.get("traceloop.span.kind")
    if isinstance(kind, str) and kind in _TRACELOOP:
        return _TRACELOOP[kind]
    if "llm.request.type" in attributes:
        return "embedding" if attributes["llm.request.type"] == "embedding" else "model"
    kind = attributes.get("aws.genai.span_kind")
    if isinstance(kind, str) and kind in _OPEN_INFERENCE:
        return _OPEN_INFERENCE[kind]
    for key, role in _HINTS:
        if key in attributes:
            return role
    return None


def error_type(span: Span) -> str:
    """What kind of error a span ended in; empty if it does not say."""
    names = [span.attributes.get("error.type")]
    names += [more.get("exception.type") for name, _, more in span.events if name == "exception"]
    return next((name for name in map(said, names) if name), "")


def datasets_of(attributes: Attributes) -> Iterable[str]:
    """The data that a span is about, as facts name it."""
    get = attributes.get
    if source := said(get("gen_ai.data_source.id")):
        yield f"data_source:{source}"
    if store := said(get("gen_ai.memory.store.id")):
        yield f"memory:{store}"
    if resource := said(get("mcp.resource.uri")):
        yield resource
    bucket = said(get("aws.s3.bucket"))
    if get("aws.remote.resource.type") == "AWS::S3::Bucket":
        bucket = bucket or said(get("aws.remote.resource.identifier"))
    if bucket:
        key = said(get("aws.s3.key"))
        yield f"s3://{bucket}/{key}" if key else f"s3://{bucket}"
    tables = get("aws.dynamodb.table_names")
    for table in tables if isinstance(tables, list) else ():
        if name := said(table):
            yield f"dynamodb:{name}"
    if system := said(get("db.system.name") or get("db.system")):
        database = said(get("db.namespace") or get("db.name"))
        table = said(get("db.collection.name") or get("db.sql.table"))
        if database or table:
            yield f"{system}:{database or ''}{'/' if table else ''}{table or ''}"


def documents_of(attributes: Attributes) -> Iterable[str]:
    """What a retrieval found, as facts name it."""
    documents = attributes.get("gen_ai.retrieval.documents")
    documents = parse_embedded(documents) if isinstance(documents, str) else documents
    listed = documents if isinstance(documents, list) else ()
    ids = [each.get("id") for each in listed if isinstance(each, dict)]
    ids += [value for key, value in attributes.items() if _DOCUMENT.fullmatch(key)]
    for identity in ids:
        if name := said(identity):
            yield f"document:{name}"


def offers_of(attributes: Attributes) -> Iterable[object]:
    """Definitions of the tools that a model or agent may use."""
    for key in ("gen_ai.tool.definitions", "gen_ai.agent.tools"):
        if key in attributes:
            yield attributes[key]
    for key, value in attributes.items():
        if key.startswith("llm.") and _OFFER.fullmatch(key):
            yield [value] if key.endswith(".name") else value


def evaluations_of(attributes: Attributes) -> list[tuple[object, object, object]]:
    """The results of evaluations: name, label, score."""
    results: defaultdict[str, Attributes] = defaultdict(dict)
    if "gen_ai.evaluation.name" in attributes:
        results[""] = {
            "name": attributes["gen_ai.evaluation.name"],
            "label": attributes.get("gen_ai.evaluation.score.label"),
            "score": attributes.get("gen_ai.evaluation.score.value"),
        }
    for key, value in attributes.items():
        if key.startswith(_EVALUATIONS) and (match := _EVALUATION.fullmatch(key)):
            results[match[1]][match[2]] = value
    return [(each.get("name"), each.get("label"), each.get("score")) for each in results.values()]


def is_encoded(attributes: Attributes, scope: object) -> bool:
    """Whether contents hold messages as JSON texts: so only some libraries write them."""
    return (isinstance(scope, str) and _ENCODING.match(scope) is not None) or (
        attributes.get("gen_ai.system") == "strands-agents"
    )


def any_says(attributes: Attributes, keys: Iterable[str]) -> bool:
    """Whether any of these attributes was captured."""
    return any(says(attributes.get(key)) for key in keys)


def parsed(text: object) -> dict[str, Any] | None:
    """The JSON object that an attribute holds as text or as it is."""
    value = parse_embedded(text) if isinstance(text, str) and text[:1] == "{" else text
    return value if isinstance(value, dict) else None


def read_large(value: object, encoded: bool) -> Messages:
    """Messages of an attribute. A long text that names no tool is not taken apart."""
    if isinstance(value, str) and len(value) > _SMALL and not _TOOLS.search(value):
        return Messages(content=True)
    return read_messages(value, encoded=encoded)


def indexed_messages(attributes: Attributes) -> tuple[Messages, Messages]:
    """Messages that stand in attributes one value each, with indices in their names.

    OpenInference: `llm.output_messages.0.message.tool_calls.0.tool_call.function.name`; Traceloop:
    `gen_ai.completion.0.tool_calls.0.name`. What was sent, and what was answered.
    """
    sent, answered = Messages(), Messages()
    calls: dict[tuple[bool, str, str], list[object]] = {}
    for key, value in attributes.items():
        if not key.startswith(_INDEXED):
            continue
        is_answer = key.startswith(_ANSWERS)
        parts = key.split(".")
        if not parts[2].isdigit():
            continue
        found = answered if is_answer else sent
        leaf = parts[-1]
        if "tool_calls" in parts[:-2]:
            place = parts.index("tool_calls")
            if leaf in ("id", "name") and parts[place + 1].isdigit():
                call = calls.setdefault((is_answer, parts[2], parts[place + 1]), [None, None])
                call[leaf == "name"] = value
        elif leaf == "tool_call_id":
            found.results.append((value, None))
        elif leaf not in ("role", "type", "finish_reason") and says(value):
            found.content = True
    for (is_answer, _, _), (identity, name) in calls.items():
        (answered if is_answer else sent).calls.append((identity, name))
    return sent, answered


def verdict_of(span: Span) -> str | None:
    """What a guardrail came to, in one word; None if the span does not say."""
    attributes = span.attributes
    decision = attributes.get("gen_ai.security.decision.type")
    if isinstance(decision, str) and decision:
        return decision.lower()
    output = attributes.get("output.value")
    if isinstance(output, str) and (word := output.strip().lower()) in _VERDICTS:
        return word
    if members := parsed(output):
        for key in _FIRED_MEMBERS:
            if isinstance(members.get(key), bool):
                return "triggered" if members[key] else "passed"
        for key in _PASSED_MEMBERS:
            if isinstance(members.get(key), bool):
                return "passed" if members[key] else "failed"
        for key in _WORD_MEMBERS:
            if (word := str(members.get(key)).strip().lower()) in _VERDICTS:
                return word
    return "error" if span.failed else None
