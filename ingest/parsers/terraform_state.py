"""Terraform and OpenTofu state: which resources there are, at which serial of which lineage.

Two states are comparable only if their lineage is the same; then the higher serial is the later.
A state has no times. It holds every attribute in plain text, passwords and keys too: no value
reaches the facts, except account numbers of ARNs and, of IAM policies, what these allow.

Read are versions 3 (modules with resources by address) and 4 (a list of resources). `provider` is
`provider.aws` in older states and `provider["registry…/hashicorp/aws"]` in newer ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.bounded import clip, counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import objects, reach, texts, word
from ingest.parsers.records import RecordReader, Shape, parse_embedded, shape_of
from verify.facts import Config, Permission

_KEYS = ("resources", "modules")
_KEPT = ("version", "terraform_version", "serial", "lineage")
_MARKS = (b'"version"', b'"serial"')
_MORE = (b'"lineage"', b'"terraform_version"')
_ENCRYPTED = re.compile(rb'"encrypted_data"\s*:\s*"')
_ACCOUNT = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):", re.ASCII)
_PROVIDER = re.compile(r'provider(?:\.|\["(?:[^"]*/)?)([A-Za-z0-9_-]+)', re.ASCII)
_OWNERS = ("user", "role", "group", "arn", "name")


class TerraformStateParser:
    """Reads a state."""

    name = "terraform-state"
    version = 1
    kinds = ("config_snapshot", "permission_grant")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where a state's own keys stand at the top level, with resources or modules."""
        del name
        if not all(mark in head for mark in _MARKS) or not any(mark in head for mark in _MORE):
            return Confidence.NONE
        if shape_of(head, keys=_KEYS) is Shape.KEYED:
            return Confidence.CERTAIN
        sure = shape_of(head) is not None and _ENCRYPTED.search(head)
        return Confidence.LIKELY if sure else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every resource; what is none counts as a bad record."""
        del name
        reader = RecordReader(
            stream, shape=Shape.KEYED, keys=_KEYS, keep=_KEPT, resumes_at=_is_resource
        )
        state = _State()
        for offset, value in reader:
            if _is_resource(value):
                state.take(value)
            elif _is_module(value):
                state.take_module(value)
            else:
                reader.note_bad(offset, "not a resource")
        return state.reading(self, reader)


def _is_resource(value: Any) -> bool:
    return isinstance(reach(value, "type"), str) and isinstance(reach(value, "instances"), list)


def _is_module(value: Any) -> bool:
    return isinstance(reach(value, "path"), list) and isinstance(reach(value, "resources"), dict)


class _State:
    """What the resources taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.gathered.add("not_captured", "times")
        self._managed = 0
        self._read = 0
        self._granted = False

    def take(self, resource: dict[str, Any]) -> None:
        """Take a resource of version 4, with its instances."""
        self.gathered.record()
        kind, name = resource["type"], word(resource.get("name"))
        module, data = word(resource.get("module")), resource.get("mode") == "data"
        self._managed += not data
        self._read += data
        self._provider(resource.get("provider"))
        address = f"{'data.' if data else ''}{kind}.{name}"
        self.gathered.keep(
            Config(f"terraform {kind}", f"{module}.{address}" if module else address)
        )
        for instance in objects(resource["instances"]):
            attributes = instance.get("attributes")
            if isinstance(attributes, dict):
                self._attributes(kind, attributes)
            if instance.get("status") == "tainted":
                self.gathered.count_problem("instance", "that is tainted")

    def take_module(self, module: dict[str, Any]) -> None:
        """Take a module of version 3, with the resources below it."""
        path = ".".join(texts(module["path"]))
        for address, resource in module["resources"].items():
            self.gathered.record()
            data = address.startswith("data.")
            self._managed += not data
            self._read += data
            kind = word(reach(resource, "type")) or address.partition(".")[0]
            full = address if path == "root" else f"{path}.{address}"
            self.gathered.keep(Config(f"terraform {kind}", full))
            self._provider(reach(resource, "provider"))
            attributes = reach(resource, "primary", "attributes")
            if isinstance(attributes, dict):
                self._attributes(kind, attributes)

    def _provider(self, provider: object) -> None:
        if isinstance(provider, str):
            match = _PROVIDER.search(provider)
            self.gathered.add("platforms", match[1] if match else provider)

    def _attributes(self, kind: str, attributes: dict[str, Any]) -> None:
        arn = attributes.get("arn")
        if isinstance(arn, str) and (match := _ACCOUNT.match(arn)):
            self.gathered.add("accounts", match[1])
        if kind == "aws_s3_bucket":
            self.gathered.add("datasets", f"s3://{word(attributes.get('bucket'))}")
        if kind.startswith("aws_iam_") and isinstance(attributes.get("policy"), str):
            owner = next((word(attributes[key]) for key in _OWNERS if attributes.get(key)), "")
            policy = parse_embedded(attributes["policy"])
            for action, resource, effect in _statements(policy):
                self._granted = True
                granted = {"Allow": "granted", "Deny": "denied"}.get(effect, "unknown")
                self.gathered.keep(
                    Permission(clip(action), f"{kind} {owner}", clip(resource), granted)
                )

    def reading(self, parser: TerraformStateParser, reader: RecordReader) -> Reading:
        """The reading of this state."""
        gathered = self.gathered
        told = []
        for document in reader.documents[:1]:
            lineage, serial = said(document.get("lineage")), said(document.get("serial"))
            tool = said(document.get("terraform_version"))
            if lineage:
                gathered.keep(Config("state", lineage, serial))
                told.append(f"serial {serial} of lineage {lineage[:8]}")
            else:
                gathered.problem("no lineage: it cannot be compared with other states")
            gathered.keep(Config("program", "terraform", tool))
        if len(reader.documents) > 1:
            gathered.problem("more than one state in the file")
        told.append(f"{counted(self._managed, 'resource')} managed")
        if self._read:
            told.append(f"{self._read:,} read")
        kinds = parser.kinds if self._granted else parser.kinds[:1]
        facts = gathered.facts(parser, damage=reader)
        return Reading(facts, kinds, "Terraform state", ", ".join(told))


def _statements(policy: Any) -> Iterator[tuple[str, str, str]]:
    """Action, resource and effect of what a policy says; what it excepts, with a '!'."""
    for statement in objects(reach(policy, "Statement")):
        effect = word(statement.get("Effect"))
        actions = [*texts(statement.get("Action"))]
        actions += [f"!{action}" for action in texts(statement.get("NotAction"))]
        resources = [*texts(statement.get("Resource"))]
        resources += [f"!{resource}" for resource in texts(statement.get("NotResource"))]
        for action in actions:
            for resource in resources or ["(this role)"]:
                yield action, resource, effect


PARSERS = (TerraformStateParser(),)
