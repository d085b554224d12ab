"""What spans and log records say of agents, whatever carries them. No I/O.

Three generations of the GenAI conventions, OpenInference, and what Traceloop, Google's ADK, AWS and
MCP add are read alike: by attributes, never by the names of spans, which differ from the rules.

What the facts mean here:

- `records` are spans and log records. The time range goes from the first start to the last end.
- `runs` are the traces that have anything to do with an agent, and what ADK calls an invocation.
- A model is `returned` only where the answer names it. `llm.model_name`, which may be either, is
  taken for what was asked for, unless the answer that stands beside it names the same.
- `tools`: see `tool_calls`. A span that never ended is a call that never finished.
- `findings` are what guardrails stopped, and the results of evaluations, which come with their
  label and make no alert. A guardrail that let pass is a detector without finding.
- `datasets` are `s3://bucket[/key]`, `dynamodb:<table>`, `<database system>:<name>[/<table>]`,
  `data_source:<id>`, `document:<id>`, `memory:<store>`, and what MCP calls a resource.
- `principals` are users, and AWS access keys that the agent's own requests were signed with.
- `not_captured`: content is captured only where somebody asked for it, so a trace may be whole and
  hold no prompt. Where some traces have content and some have none, it says how many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Damage, Gathered, digest_of
from ingest.parsers.message_parts import Messages, read_messages, says, tool_names
from ingest.parsers.parser import Parser, Reading
from ingest.parsers.records import parse_embedded
from ingest.parsers.span_attributes import (
    ARGUMENTS,
    CALL_IDS,
    COMMON,
    CONTENT,
    GUARDRAIL_NAMES,
    MESSAGE_EVENTS,
    PASSED,
    REQUESTED,
    RESULTS,
    RETURNED,
    SESSIONS,
    TOOL_NAMES,
    USERS,
    Attributes,
    LogRecord,
    Role,
    Span,
    any_says,
    datasets_of,
    documents_of,
    error_type,
    evaluations_of,
    indexed_messages,
    is_encoded,
    offers_of,
    parsed,
    read_large,
    returned_model,
    role_of,
    verdict_of,
)
from ingest.parsers.times import Time
from ingest.parsers.tool_calls import Side, ToolCalls
from verify.facts import Config, Detector, Facts

KINDS = ("guardrail_alert", "other", "prompt", "tool_trace")
"""Every kind that a trace may show."""

MOST_TRACES = 200_000
"""Of how many traces it is remembered whether they have content."""

MOST_OFFERS = 10_000
"""How many different definitions of tools are remembered, so that each is read once."""

MOST_ERRORS = 50
"""How many kinds of errors are told apart."""

_CONTENT_EVENTS = ("gen_ai.content.prompt", "gen_ai.content.completion")
_MOST_DIGITS = 20
_MOST_NANOSECONDS = 10**19
_MODEL, _SAID = 1, 2  # what a trace has shown: a model was called, content is there


class Tally:
    """What the spans and records taken so far add up to; `noun` is what the source calls a span."""

    def __init__(self, noun: str = "span") -> None:
        self._noun = noun
        self.gathered = Gathered()
        self.calls = ToolCalls()
        self.spans = 0
        self.logs = 0
        self._ends: tuple[int, int] | None = None
        self.agentic = False
        self.alerts = 0
        self.content = False
        self._traces: dict[bytes, int] = {}
        self._open: set[bytes] = set()
        self._requested = False
        self._returned = False
        self._tool_spans = 0
        self._arguments = False
        self._results = False
        self._silent_guardrails = 0
        self._offers: set[bytes] = set()
        self._errors: Counter[str] = Counter()

    # What is taken.

    def moment(self, value: object) -> int | None:
        """Take nanoseconds as a time of the item; only the first and the last are looked at."""
        if isinstance(value, str) and value.isdecimal() and len(value) < _MOST_DIGITS:
            value = int(value)
        if type(value) is not int or not 0 < value < _MOST_NANOSECONDS:
            time = self.gathered.time(value, "ns")
            return time.nanoseconds if time else None
        if self._ends is None:
            self._ends = (value, value)
        elif not self._ends[0] <= value <= self._ends[1]:
            self._ends = (min(value, self._ends[0]), max(value, self._ends[1]))
        return value

    def resource(self, attributes: Attributes) -> None:
        """Take what emitted the spans or records that follow."""
        gathered = self.gathered
        service = attributes.get("service.name")
        if isinstance(service, str) and not service.startswith("unknown_service"):
            gathered.add("platforms", service)
            if version := said(attributes.get("service.version")):
                gathered.keep(Config("service", service, version))
        gathered.add("platforms", attributes.get("cloud.provider"))
        gathered.add("accounts", attributes.get("cloud.account.id"))
        runtime = attributes.get("cloud.resource_id")
        if isinstance(runtime, str):
            gathered.keep(Config("runtime", runtime))
            parts = runtime.split(":", 5)
            if parts[0] == "arn" and len(parts) == 6:
                gathered.add("accounts", parts[4])

    def span(self, span: Span, *, again: bool = False) -> None:
        """Take a span; `again`, if it is more of one that was taken already."""
        gathered = self.gathered
        if not again:
            self.spans += 1
            gathered.record()
            gathered.span(span.trace, span.identity, span.parent)
        if span.ended:
            if self._open:
                # A span may be written twice: as it starts, and as it ends.
                self._open.discard(digest_of(f"{span.trace}/{span.identity}"))
        elif not again:
            self._open.add(digest_of(f"{span.trace}/{span.identity}"))
        attributes = span.attributes
        if span.failed or "error.type" in attributes:
            self._error(error_type(span))
        if attributes.keys() & COMMON:
            self._common(attributes, span.began)
        role = role_of(attributes)
        if role is not None:
            self._agentic(span, role)
        for name, time, more in span.events:
            if role == "tool":
                self._event_of_tool(name, more)
            elif isinstance(name, str):
                moment = time or span.start
                self._event(name, LogRecord(span.trace, moment, name, more, more, span.scope))

    def log(self, record: LogRecord) -> None:
        """Take a log record."""
        self.logs += 1
        self.gathered.record()
        self.gathered.add("traces", record.trace)
        if record.attributes.keys() & COMMON:
            self._common(record.attributes, record.at)
        name = record.name
        self._event(name if isinstance(name, str) else "", record)
        if name != record.scope and not str(name).startswith("gen_ai."):
            self.gathered.add("actions", name)

    def finding(
        self, detector: object, label: object, score: object = None, time: Time | None = None
    ) -> None:
        """Take the result of an evaluation."""
        name = said(detector)
        if name is None:
            return
        self.gathered.keep(Detector(name))
        given = said(label)
        if given is None and isinstance(score, (bool, int, float)):
            given = f"score {score}"
        self.gathered.finding(name, given or "no label", time=time)

    def reading(
        self, parser: Parser, label: str, damage: Damage, *, form: str | None = None
    ) -> Reading:
        """What all came to."""
        gathered = self.gathered
        for end in self._ends or ():
            gathered.time(end, "ns")
        calls, _ = self.calls.hand_over(gathered)
        for kind, count in self._errors.items():
            what = f"ended in an error: {kind}" if kind else "ended in an error"
            gathered.count_problem(self._noun, what, count)
        if self._open:
            gathered.count_problem(self._noun, "without an end", len(self._open))
        gathered.add("not_captured", *self._not_captured(calls))
        facts = gathered.facts(parser, form, damage)
        if repeated := self.spans - facts.spans:
            gathered.count_problem("duplicate record", "", repeated)
            facts = gathered.facts(parser, form, damage)
        kinds = (
            *(("prompt",) if self.content else ()),
            *(("tool_trace",) if self.agentic or calls else ()),
            *(("guardrail_alert",) if self.alerts else ()),
        )
        return Reading(facts, kinds or ("other",), label, self._summary(facts, calls))

    # Of an agent.

    def _agentic(self, span: Span, role: Role) -> None:
        self.agentic = True
        gathered, attributes = self.gathered, span.attributes
        gathered.add("runs", span.trace)
        gathered.add(
            "actions", attributes.get("gen_ai.operation.name"), attributes.get("mcp.method.name")
        )
        self._models(attributes, role)
        self._configs(attributes)
        if role == "tool":
            self._tool(span)
        elif role == "mcp":
            self._mcp(span)
        elif role in ("model", "agent"):
            if role == "model":
                self._mark(span.trace, _MODEL)
            self._spoken(span, with_id_only=role == "agent")
        elif role == "retrieval":
            gathered.add("datasets", *documents_of(attributes))
        elif role == "guardrail":
            self._guardrail(span)
        self._evaluations(attributes, span.finished)

    def _models(self, attributes: Attributes, role: Role) -> None:
        requested = [attributes[key] for key in REQUESTED if key in attributes]
        returned = [attributes[key] for key in RETURNED if key in attributes]
        if response := parsed(attributes.get("gcp.vertex.agent.llm_response")):
            returned.append(response.get("model_version"))
        if role == "model" and not returned and "output.value" in attributes:
            returned.append(returned_model(attributes["output.value"]))
        name = attributes.get("llm.model_name")
        if not requested and name is not None and name not in returned:
            requested.append(name)
        for name in requested[:1]:
            self.gathered.model(requested=name)
            self._requested = True
        for name in returned[:1]:
            self.gathered.model(returned=name)
            self._returned = self._returned or bool(said(name))

    def _configs(self, attributes: Attributes) -> None:
        gathered, get = self.gathered, attributes.get
        gathered.add("platforms", get("gen_ai.provider.name") or get("gen_ai.system"))
        gathered.add("platforms", get("llm.provider") or get("llm.system"))
        gathered.add("runs", get("gcp.vertex.agent.invocation_id"))
        if agent := said(get("gen_ai.agent.name") or get("agent.name") or get("gen_ai.agent.id")):
            gathered.keep(Config("agent", agent, said(get("gen_ai.agent.version"))))
        if prompt := said(get("gen_ai.prompt.name") or get("llm.prompt_template.name")):
            version = get("gen_ai.prompt.version") or get("llm.prompt_template.version")
            gathered.keep(Config("prompt", prompt, said(version)))
        if guardrail := said(get("aws.bedrock.guardrail.id")):
            gathered.keep(
                Config("guardrail", guardrail, said(get("aws.bedrock.guardrail.version")))
            )
        for definitions in offers_of(attributes):
            self._offered_tools(definitions)

    def _offered_tools(self, definitions: object) -> None:
        """Name the tools that a model may use: every request repeats them, in the same words."""
        if isinstance(definitions, str):
            digest = digest_of(definitions)
            if digest in self._offers:
                return
            if len(self._offers) < MOST_OFFERS:
                self._offers.add(digest)
        for name in tool_names(definitions):
            if tool := said(name):
                self.gathered.keep(Config("tool", tool))

    def _tool(self, span: Span) -> None:
        name = _first(span.attributes, TOOL_NAMES)
        if name is None and isinstance(span.name, str) and span.name.startswith("handoff to "):
            return  # of the OpenAI Agents SDK: the model's answer shows the tool it called
        self._tool_spans += 1
        self._run(span, "tool")

    def _mcp(self, span: Span) -> None:
        if span.attributes.get("mcp.method.name") == "tools/call":
            self._run(span, "mcp_server" if span.server else "mcp_client")

    def _run(self, span: Span, side: Side) -> None:
        attributes = span.attributes
        self._arguments = self._arguments or any_says(attributes, ARGUMENTS)
        self._results = self._results or any_says(attributes, RESULTS)
        self.calls.span(
            _first(attributes, TOOL_NAMES) or span.name,
            trace=span.trace,
            span=span.identity,
            identity=_first(attributes, CALL_IDS),
            ended=span.ended,
            time=span.began,
            side=side,
        )

    def _spoken(self, span: Span, *, with_id_only: bool) -> None:
        attributes, trace, time = span.attributes, span.trace, span.finished
        encoded = is_encoded(attributes, span.scope)
        for key in ("gen_ai.input.messages", "gen_ai.system_instructions"):
            if key in attributes:
                self._history(read_large(attributes[key], encoded), trace)
        if "gen_ai.output.messages" in attributes:
            found = read_large(attributes["gen_ai.output.messages"], encoded)
            self._answer(found, trace, time, with_id_only=with_id_only)
        if any_says(attributes, CONTENT):
            self._mark(trace, _SAID)
        if request := parsed(attributes.get("gcp.vertex.agent.llm_request")):
            self._history(read_messages(request.get("contents")), trace)
            config = request.get("config")
            self._offered_tools(config.get("tools") if isinstance(config, dict) else None)
        if response := parsed(attributes.get("gcp.vertex.agent.llm_response")):
            self._answer(read_messages(response.get("content")), trace, time)
        sent, answered = indexed_messages(attributes)
        self._history(sent, trace)
        self._answer(answered, trace, time, with_id_only=with_id_only)

    def _history(self, found: Messages, trace: str | None) -> None:
        """Take what was sent to a model: it may repeat the whole conversation."""
        if found.content:
            self._mark(trace, _SAID)
        for identity, name in found.calls:
            self.calls.repeated(name, trace=trace, identity=identity)
        without: Counter[str] = Counter()
        for identity, name in found.results:
            self._results = True
            if said(identity):
                self.calls.answered(identity, trace=trace)
            elif tool := said(name):
                without[tool] += 1
        for tool, count in without.items():
            self.calls.answered_without_id(tool, trace=trace, count=count)

    def _answer(
        self,
        found: Messages,
        trace: str | None,
        time: Time | None,
        *,
        with_id_only: bool = False,
    ) -> None:
        """Take what a model answered. A wrapping span repeats it later: hence `with_id_only`."""
        if found.content:
            self._mark(trace, _SAID)
        for identity, name in found.calls:
            if not with_id_only:
                self.calls.asked(name, trace=trace, identity=identity, time=time)
            elif said(identity):
                self.calls.asked(name, trace=trace, identity=identity)
        for identity, _ in found.results:
            self._results = True
            self.calls.answered(identity, trace=trace)

    # Events, on spans or as log records.

    def _event(self, name: str, record: LogRecord) -> None:
        attributes, body, trace = record.attributes, record.body, record.trace
        if name == "gen_ai.client.inference.operation.details":
            self.agentic = True
            self._models(attributes, "model")
            self._mark(trace, _MODEL)
            self._history(read_messages(attributes.get("gen_ai.input.messages")), trace)
            answered = read_messages(attributes.get("gen_ai.output.messages"))
            self._answer(answered, trace, record.at)
        elif name == "gen_ai.evaluation.result":
            self._evaluations(attributes, record.at)
        elif name in MESSAGE_EVENTS:
            self._message(name, record)
        elif name in _CONTENT_EVENTS and any_says(attributes, CONTENT):
            self._mark(trace, _SAID)
        elif isinstance(body, dict) and ("input" in body or "output" in body):
            self._conversation(record, body)

    def _message(self, name: str, record: LogRecord) -> None:
        """Take an event that is one message."""
        attributes, body = record.attributes, record.body
        self.agentic = True
        self._models(attributes, "model")
        self.gathered.add("runs", record.trace)
        if says(attributes.get("gen_ai.event.content")):
            body = attributes["gen_ai.event.content"]
        found = read_messages(body, encoded=is_encoded(attributes, record.scope))
        if name == "gen_ai.choice":
            self._answer(found, record.trace, record.at)
            return
        if name == "gen_ai.tool.message":
            body = parse_embedded(body) if isinstance(body, str) else body
            identity = body.get("id") if isinstance(body, dict) else None
            if identity is not None:
                found.results.append((identity, None))
        self._history(found, record.trace)

    def _conversation(self, record: LogRecord, body: Attributes) -> None:
        """Take a body in which ADOT gathers the messages of one span, its calls under `output`."""
        encoded = is_encoded(record.attributes, record.scope)
        sent = read_messages(body.get("input"), encoded=encoded)
        answered = read_messages(body.get("output"), encoded=encoded)
        if sent.content or answered.content:
            self.agentic = True
            self.gathered.add("runs", record.trace)
        sent.calls.clear()
        self._history(sent, record.trace)
        self._answer(answered, record.trace, record.at, with_id_only=True)

    def _event_of_tool(self, name: object, attributes: Attributes) -> None:
        """Strands writes a tool's arguments and result as events of its span."""
        if name == "gen_ai.tool.message":
            self._arguments = self._arguments or says(attributes.get("content"))
        elif name == "gen_ai.choice":
            self._results = self._results or says(attributes.get("message"))

    # Data, guardrails, evaluations.

    def _common(self, attributes: Attributes, time: Time | None) -> None:
        """What any span may say: who, in which session, on which data."""
        gathered, get = self.gathered, attributes.get
        for key in SESSIONS:
            gathered.add("sessions", get(key))
        for key in USERS:
            gathered.activity(get(key), time)
        if key_id := said(get("aws.auth.account.access_key")):
            gathered.activity(f"aws-access-key:{key_id}", time)
        gathered.add("datasets", *datasets_of(attributes))
        if (service := said(get("rpc.service"))) and (method := said(get("rpc.method"))):
            gathered.add("actions", f"{service}:{method}")

    def _guardrail(self, span: Span) -> None:
        get = span.attributes.get
        names = (get(key) for key in GUARDRAIL_NAMES)
        detector = next((name for name in map(said, names) if name), said(span.name))
        if detector is None:
            return
        version = said(get("gen_ai.security.policy.version") or get("gen_ai.guardian.version"))
        policy = said(get("gen_ai.security.policy.name") or get("gen_ai.security.policy.id"))
        self.gathered.keep(Detector(detector, version, policy if policy != detector else None))
        word = verdict_of(span)
        if word is None:
            self._silent_guardrails += 1
        elif word not in PASSED:
            self.alerts += 1
            disposition = get("gen_ai.security.decision.type") or get("validator_on_fail")
            label = get("gen_ai.security.risk.category") or word
            self.gathered.finding(
                detector,
                label,
                time=span.finished,
                disposition=disposition,
                severity=get("gen_ai.security.risk.severity"),
            )

    def _evaluations(self, attributes: Attributes, time: Time | None) -> None:
        for name, label, score in evaluations_of(attributes):
            self.finding(name, label, score, time)

    # What is kept until the end.

    def _mark(self, trace: str | None, flag: int) -> None:
        if flag == _SAID:
            self.content = True
        key = digest_of(trace or "")
        if key in self._traces or len(self._traces) < MOST_TRACES:
            self._traces[key] = self._traces.get(key, 0) | flag

    def _error(self, kind: str) -> None:
        if kind not in self._errors and len(self._errors) >= MOST_ERRORS:
            kind = "of other kinds"
        self._errors[kind] += 1

    def _not_captured(self, calls: int) -> Iterable[str]:
        models = sum(flags & _MODEL for flags in self._traces.values())
        silent = sum(flags == _MODEL for flags in self._traces.values())
        if models and not self.content:
            yield "message content"
        elif silent:
            yield f"message content ({silent:,} of {counted(models, 'trace')})"
        if self._requested and not self._returned:
            yield "returned model"
        if self._tool_spans and not self._arguments:
            yield "tool arguments"
        if (self._tool_spans or calls) and not self._results:
            yield "tool results"
        if self._silent_guardrails:
            yield "guardrail verdicts"
        if self.gathered.records and self.gathered.clock.quality == "none":
            yield "times"

    def _summary(self, facts: Facts, calls: int) -> str:
        parts = []
        if self.spans:
            parts.append(counted(facts.spans, self._noun))
        if self.logs:
            parts.append(counted(self.logs, "log record"))
        if not parts:
            return "no spans, no log records"
        if not self.agentic and not calls:
            return f"{', '.join(parts)}; nothing of models or tools"
        parts.append(counted(calls, "tool call") if calls else "no tool calls")
        if facts.unfinished_calls:
            parts[-1] += f" ({facts.unfinished_calls:,} unfinished)"
        if self.alerts:
            parts.append(counted(self.alerts, "guardrail alert"))
        lacking = any(lack.startswith("message content") for lack in facts.not_captured)
        if self.content:
            parts[-1] += "; prompts captured in part" if lacking else "; prompts captured"
        elif lacking:
            parts[-1] += "; prompts not captured"
        return ", ".join(parts)


def _first(attributes: Attributes, keys: Iterable[str]) -> object:
    """The first of these attributes that says something."""
    return next((value for key in keys if said(value := attributes.get(key))), None)
