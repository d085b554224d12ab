"""Configurations of agents and their guardrails: models, prompts, tools, rails. Keeps no prompt.

| form | detected by |
|---|---|
| Bedrock agent, as exported or by GetAgent | `agent` with `agentId` and a foundation model |
| NeMo Guardrails | YAML with `models` of an `engine`, `rails`, or `prompts` of a `task` |
| Colang 1, the flows of NeMo Guardrails | lines `define user|bot|flow …` |
| SWE-agent | YAML with `agent` that has `templates`, `tools` or a `model` |

- A prompt is in the facts by name and as its SHA-256: over the text in UTF-8, or where a template
  is an object over its JSON with sorted keys and no spaces. Two snapshots with one digest have the
  same prompt; what it says stays in the file.
- A model is counted as asked for. An alias (`gpt-4o`, `us.anthropic…`) stands for whatever its
  provider runs.
- A guardrail at version DRAFT, and an agent too, can change without a new version: that is said.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Damage, Gathered
from ingest.parsers.library import unread
from ingest.parsers.lines import LineReader
from ingest.parsers.parser import HEAD_SIZE, Confidence, Reading
from ingest.parsers.reach import first_records, objects, reach, surest, texts, word
from ingest.parsers.records import RecordReader, Replayed, read_fully, shape_of
from ingest.parsers.yamldocs import YamlReader, yaml_library
from verify.facts import Config, Permission

DRAFT = "DRAFT"
_BEDROCK = re.compile(rb'"agentId"\s*:')
_BEDROCK_MORE = re.compile(rb'"(?:foundationModel|agentResourceRoleArn|agentStatus)"\s*:')
_ENGINE = re.compile(rb"^[ \t]+(?:-[ \t]+)?engine:", re.M)
_NEMO = re.compile(
    rb"^(?:\xef\xbb\xbf)?(models|rails|prompts|instructions|sample_conversation):", re.M
)
_NEMO_KEYS = (b"models:", b"rails:", b"prompts:", b"instructions:", b"sample_conversation:")
_RAILS = re.compile(
    rb"^[ \t]+(?:input|output|dialog|retrieval|execution|config|tool_input|tool_output):", re.M
)
_TASK = re.compile(rb"^[ \t]*-?[ \t]*task:", re.M)
_SWE = re.compile(rb"^(?:\xef\xbb\xbf)?agent:[ \t]*\r?$", re.M)
_SWE_MORE = re.compile(
    rb"^[ \t]+(?:system_template|instance_template|history_processors|bundles):", re.M
)
_COLANG = re.compile(rb"^define (?:user|bot|flow|subflow|parallel flow)\b[^\n]*$", re.M)
_DEFINE = re.compile(r"define (user|bot|flow|subflow|parallel flow)\b\s*(.*)", re.ASCII)
_COLANG_FIRST = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[ \t]*(?:#[^\n]*)?\r?\n){0,1000}"
    rb'(?:define (?:user|bot|flow|subflow|parallel flow)\b|"""|execute |import )'
)
_ACCOUNT = re.compile(r"arn:aws[a-z-]*:[a-z-]+:[a-z0-9-]*:(\d{12}):", re.ASCII)
_TEMPLATES = re.compile(r"\w*(?:template|prompt)", re.ASCII)
_LABELS = {
    "bedrock-agent": "Bedrock agent configuration",
    "colang": "Colang",
    "nemo-config": "NeMo Guardrails configuration",
    "swe-agent-config": "SWE-agent configuration",
}


class LlmConfigParser:
    """Reads a configuration of one of these kinds."""

    name = "llm-config"
    version = 1
    kinds = ("model_config", "config_snapshot", "permission_grant")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where the first bytes have what only such a configuration has."""
        del name
        form = _form(head)
        if form is None:
            return Confidence.NONE
        if form != "bedrock-agent":
            return Confidence.CERTAIN
        return surest(first_records(head), _is_agent)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the configuration."""
        del name
        head = read_fully(stream, HEAD_SIZE)
        source = Replayed(head, stream)
        form = _form(head) or "bedrock-agent"
        seen = _Seen()
        damage: Damage
        if form == "bedrock-agent":
            damage = records = RecordReader.of_any_shape(source)
            for offset, value in records:
                if _is_agent(value):
                    seen.take_bedrock(value)
                else:
                    records.note_bad(offset, "not an agent")
        elif form == "colang":
            damage = lines = LineReader.verbatim(source)
            seen.take_colang(lines)
        elif yaml := yaml_library():
            damage = documents = YamlReader(source, yaml)
            for offset, value in documents:
                if not isinstance(value, dict):
                    documents.note_bad(offset, "not a configuration")
                elif form == "nemo-config":
                    seen.take_nemo(value)
                else:
                    seen.take_swe_agent(value)
        else:
            return unread(self, form, _LABELS[form], ("config_snapshot",))
        return seen.reading(self, form, damage)


def _form(head: bytes) -> str | None:
    """Which of the kinds the first bytes are of."""
    if shape_of(head) is not None:
        found = _BEDROCK.search(head) and _BEDROCK_MORE.search(head)
        return "bedrock-agent" if found and b'"agent"' in head else None
    if b"define " in head and _COLANG_FIRST.match(head) and _COLANG.search(head):
        return "colang"
    if b"agent:" in head and _SWE.search(head) and _SWE_MORE.search(head):
        return "swe-agent-config"
    if not any(key in head for key in _NEMO_KEYS):
        return None
    keys = {match[1] for match in _NEMO.finditer(head)}
    named = (
        len(keys) > 1
        or (b"models" in keys and _ENGINE.search(head))
        or (b"rails" in keys and _RAILS.search(head))
        or (b"prompts" in keys and _TASK.search(head))
    )
    return "nemo-config" if named else None


def _is_agent(value: Any) -> bool:
    agent = reach(value, "agent")
    named = isinstance(reach(agent, "agentId"), str)
    return named and any(key in agent for key in ("foundationModel", "agentStatus", "agentArn"))


def digest_of(value: Any) -> str:
    """SHA-256 of a text, or of anything else as JSON with sorted keys and no spaces."""
    if not isinstance(value, str):
        value = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


class _Seen:
    """What the configurations taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self._models = 0
        self._prompts = 0
        self._tools = 0
        self._rails = 0
        self._granted = False

    def _model(self, name: object) -> None:
        if said(name):
            self._models += 1
            self.gathered.model(requested=name)

    def _prompt(self, name: str, content: Any) -> None:
        if content not in (None, "", [], {}):
            self._prompts += 1
            self.gathered.keep(Config("prompt", name, None, digest_of(content)))

    def _tool(self, name: str, version: str | None = None) -> None:
        self._tools += 1
        self.gathered.keep(Config("tool", name, version))

    # Bedrock.

    def take_bedrock(self, value: dict[str, Any]) -> None:
        """Take an agent with what it was exported with."""
        gathered, agent = self.gathered, value["agent"]
        gathered.record()
        gathered.add("platforms", "aws")
        identifier = agent["agentId"]
        version = said(agent.get("version") or agent.get("agentVersion"))
        gathered.keep(Config("agent", identifier, version))
        if version == DRAFT:
            gathered.problem("agent version DRAFT: it can change without a new version")
        if isinstance(arn := agent.get("agentArn"), str) and (match := _ACCOUNT.match(arn)):
            gathered.add("accounts", match[1])
        self._model(agent.get("foundationModel"))
        role = said(agent.get("agentResourceRoleArn"))
        if role:
            self._granted = True
            gathered.keep(Permission("run as", f"agent {identifier}", role, "granted"))
        self._guardrail(agent.get("guardrailConfiguration"))
        self._prompt(f"{identifier}/instruction", agent.get("instruction"))
        overrides = reach(agent, "promptOverrideConfiguration", "promptConfigurations")
        for prompt in objects(overrides):
            name = f"{identifier}/{word(prompt.get('promptType'))}"
            self._prompt(name, prompt.get("basePromptTemplate"))
        for moment in ("createdAt", "preparedAt", "updatedAt"):
            gathered.time(agent.get(moment))
        for group in objects(value.get("action_groups", value.get("actionGroups"))):
            self._action_group(group)
        for base in objects(value.get("knowledge_bases", value.get("knowledgeBases"))):
            self._knowledge_base(base)
        for other in objects(value.get("collaborators")):
            if _is_agent(other):
                self.take_bedrock(other)

    def _guardrail(self, guardrail: Any) -> None:
        name = word(reach(guardrail, "guardrailId") or reach(guardrail, "guardrailIdentifier"))
        version = said(reach(guardrail, "version") or reach(guardrail, "guardrailVersion"))
        if not name:
            return
        name = name.rpartition("/")[2]
        self.gathered.keep(Config("guardrail", name, version))
        if version == DRAFT:
            self.gathered.problem("guardrail version DRAFT: it can change without a new version")
        for policy, place, key in (
            ("contentPolicy", "filters", "type"),
            ("sensitiveInformationPolicy", "piiEntities", "type"),
            ("sensitiveInformationPolicy", "regexes", "name"),
            ("topicPolicy", "topics", "name"),
        ):
            for row in objects(reach(guardrail, policy, place)):
                self._rails += 1
                strength = said(row.get("inputStrength") or row.get("action"))
                label = f"{name}/{policy.removesuffix('Policy')}:{word(row.get(key))}"
                self.gathered.keep(Config("rail", label, strength))

    def _action_group(self, group: dict[str, Any]) -> None:
        name = word(group.get("actionGroupName"))
        functions = list(objects(reach(group, "functionSchema", "functions")))
        for function in functions:
            confirmation = said(function.get("requireConfirmation"))
            self._tool(
                f"{name}/{word(function.get('name'))}",
                f"confirmation {confirmation}" if confirmation else None,
            )
        paths = reach(group, "apiSchema", "payload", "paths")
        for path in paths if isinstance(paths, dict) else ():
            self._tool(f"{name}{path}")
        if not functions and not isinstance(paths, dict):
            self._tool(name)

    def _knowledge_base(self, base: dict[str, Any]) -> None:
        identifier = word(base.get("knowledgeBaseId"))
        self.gathered.add("datasets", f"bedrock knowledge base {identifier}")
        vector = reach(base, "knowledgeBaseConfiguration", "vectorKnowledgeBaseConfiguration")
        self._model(reach(vector, "embeddingModelArn"))

    # NeMo Guardrails.

    def take_nemo(self, value: dict[str, Any]) -> None:
        """Take a configuration, or the prompts that belong to one."""
        gathered = self.gathered
        gathered.record()
        for model in objects(value.get("models")):
            self._model(model.get("model"))
            gathered.add("platforms", model.get("engine"))
        for instruction in objects(value.get("instructions")):
            self._prompt(
                f"instructions/{word(instruction.get('type'))}", instruction.get("content")
            )
        self._prompt("sample_conversation", value.get("sample_conversation"))
        for prompt in objects(value.get("prompts")):
            content = prompt.get("content", prompt.get("messages"))
            self._prompt(word(prompt.get("task")) or "(unnamed)", content)
        rails = value.get("rails")
        for place, rail in rails.items() if isinstance(rails, dict) else ():
            for flow in texts(reach(rail, "flows")):
                self._rails += 1
                gathered.keep(Config("rail", f"{place}: {flow}"))

    def take_colang(self, lines: LineReader) -> None:
        """Take flows: what users say by example, what the bot says, how they go together."""
        for _, line in lines:
            if match := _DEFINE.match(line):
                self.gathered.record()
                self._rails += 1
                self.gathered.keep(Config("flow", f"{match[1]} {match[2]}".strip()))

    # SWE-agent.

    def take_swe_agent(self, value: dict[str, Any]) -> None:
        """Take a configuration of an agent."""
        gathered, agent = self.gathered, value.get("agent")
        gathered.record()
        self._model(reach(agent, "model", "name"))
        templates = reach(agent, "templates")
        for name, content in templates.items() if isinstance(templates, dict) else ():
            if _TEMPLATES.fullmatch(name) and isinstance(content, str):
                self._prompt(name, content)
        for bundle in objects(reach(agent, "tools", "bundles")):
            self._tool(word(bundle.get("path")) or "(unnamed)")
        if reach(agent, "tools", "enable_bash_tool") is True:
            self._tool("bash")
        image = word(reach(value, "env", "deployment", "image"))
        if image:
            named, _, digest = image.partition("@")
            name, _, tag = named.partition(":") if "/" not in named else (named, "", "")
            gathered.keep(Config("image", name, tag or None, digest or None))

    def reading(self, parser: LlmConfigParser, form: str, damage: Damage) -> Reading:
        """The reading of these configurations."""
        gathered = self.gathered
        if gathered.records and gathered.clock.quality == "none":
            gathered.add("not_captured", "times")
        kinds = [kind for kind in parser.kinds if kind != "permission_grant" or self._granted]
        if not self._models:
            kinds.remove("model_config")
        counts = (
            (self._models, "model"),
            (self._prompts, "prompt"),
            (self._tools, "tool"),
            (self._rails, "flow" if form == "colang" else "rail"),
        )
        told = ", ".join(counted(number, noun) for number, noun in counts if number)
        facts = gathered.facts(parser, form, damage)
        return Reading(facts, tuple(kinds), _LABELS[form], told or "nothing that is known")


PARSERS = (LlmConfigParser(),)
