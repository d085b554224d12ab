"""An incident whose links are kept, and whose exhibits have the facts that are given."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chain_story import DECLARED, INCIDENT, START, Story, manifest_of

from vault.incidents import Chain
from vault.timeline import Line, Timeline, timeline_of
from verify.chain import Manifest
from verify.description import Description
from verify.facts import Facts
from verify.statement import Link, Type
from verify.strictjson import Object


class Told(Story):
    """`now` is the vault's clock, where a test sets it."""

    def __post_init__(self) -> None:
        self.now: datetime | None = None
        self.links: list[Manifest] = []
        self.facts: list[Facts] = []
        self.names: list[str] = []
        self.say(Type.INCIDENT, DECLARED)

    def say(self, kind: Type, body: Object, **changes: Any) -> Any:
        if self.now is not None:
            changes = {"recorded_at": self.now, **changes}
        link = Link(INCIDENT, self.incident.sequence + 1, self.incident.leaf or None)
        self.links.append(manifest_of(kind, body, link, **changes))
        self.incident.apply(self.links[-1])
        return self.incident

    def exhibit(self, name: str = "a.log", **facts: Any) -> Told:
        self.names.append(name)
        self.facts.append(Facts(parser="p", version=1, format="f", **facts))
        self.capture()
        return self

    def described(self) -> dict[str, Description]:
        return {
            f"EV-{number:04d}": Description(
                "00" * 32, name, None, f"/{name}", "a log", "2 records", None, START, (), facts
            )
            for number, (name, facts) in enumerate(zip(self.names, self.facts, strict=True), 1)
        }

    def chain(self) -> Chain:
        return Chain(tuple(self.links), (None,) * len(self.links), self.incident)

    def timeline(self) -> Timeline:
        return timeline_of(self.links, self.incident, self.described())

    def line(self, event: str) -> Line:
        [found] = [line for line in self.timeline().lines if line.event == event]
        return found
