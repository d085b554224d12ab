"""GitHub Actions workflows: what starts them, what they may do, whose code they run. By name.

Keys are read as texts: in YAML 1.1 `on:` would be the truth value. A step's `uses` names an action
by a commit, which stands for one state of it, or by a tag or branch, which its owner can move.
`permissions` are those of the token that a run has; where a workflow names none, its repository's
setting decides, which the file does not say.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.library import unread
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import objects, reach, texts, word
from ingest.parsers.records import shape_of
from ingest.parsers.yamldocs import YamlReader, yaml_library
from verify.facts import Config, Permission

_ON = re.compile(rb"^(?:\xef\xbb\xbf)?['\"]?on['\"]?:(?=[ \t\r\n])", re.M)
_JOBS = re.compile(rb"^jobs:[ \t]*(?:#[^\n]*)?\r?$", re.M)
_OURS = re.compile(rb"^[ \t]+(?:-[ \t]+)?(?:runs-on|uses|steps):", re.M)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_LEVELS = {"read": "granted", "write": "granted", "none": "denied"}


class GitHubActionsParser:
    """Reads a workflow."""

    name = "github-actions"
    version = 1
    kinds = ("config_snapshot", "permission_grant")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where triggers and jobs stand at the top level, and a job has steps."""
        del name
        if (
            b"jobs:" not in head
            or not _ON.search(head)
            or not _OURS.search(head)
            or shape_of(head) is not None
        ):
            return Confidence.NONE
        return Confidence.CERTAIN if _JOBS.search(head) else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read the workflow; a document that is none counts as a bad record."""
        del name
        yaml = yaml_library()
        if yaml is None:
            return unread(self, self.name, "GitHub Actions workflow", self.kinds[:1])
        reader = YamlReader(stream, yaml)
        seen = _Seen()
        for offset, value in reader:
            if isinstance(reach(value, "jobs"), dict):
                seen.take(value)
            else:
                reader.note_bad(offset, "not a workflow")
        gathered = seen.gathered
        gathered.add("not_captured", "times")
        kinds = self.kinds if seen.granted else self.kinds[:1]
        told = f"{counted(seen.jobs, 'job')}, {counted(seen.uses, 'action')} used"
        if seen.movable:
            told += f", {seen.movable:,} of them by tag or branch"
        facts = gathered.facts(self, damage=reader)
        return Reading(facts, kinds, "GitHub Actions workflow", told)


class _Seen:
    """What the workflows taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.gathered.add("platforms", "github")
        self.jobs = 0
        self.uses = 0
        self.movable = 0
        self.granted = False

    def take(self, workflow: dict[str, Any]) -> None:
        """Take one workflow."""
        gathered = self.gathered
        gathered.record()
        name = word(workflow.get("name")) or "(unnamed)"
        gathered.keep(Config("workflow", name))
        triggers = workflow.get("on")
        for trigger in triggers if isinstance(triggers, dict) else texts(triggers):
            gathered.add("actions", f"on {trigger}")
        if "permissions" not in workflow:
            gathered.add("not_captured", "permissions of the repository's setting")
        self._permissions(f"workflow {name}", workflow.get("permissions"))
        for key, job in workflow["jobs"].items():
            if not isinstance(job, dict):
                continue
            self.jobs += 1
            self._permissions(f"job {name}/{key}", job.get("permissions"))
            environment = job.get("environment")
            named = said(reach(environment, "name") or environment)
            if named:
                gathered.keep(Config("environment", f"{name}/{key}", named))
            self._use(job.get("uses"))
            for step in objects(job.get("steps")):
                self._use(step.get("uses"))

    def _permissions(self, holder: str, permissions: Any) -> None:
        if isinstance(permissions, str):
            self.granted = True
            self.gathered.keep(Permission(permissions, f"token of {holder}", None, "granted"))
        for scope, level in permissions.items() if isinstance(permissions, dict) else ():
            granted = _LEVELS.get(word(level))
            if granted:
                self.granted = True
                text = f"{scope}: {word(level)}"
                self.gathered.keep(Permission(text, f"token of {holder}", None, granted))

    def _use(self, uses: object) -> None:
        if not isinstance(uses, str) or not uses:
            return
        self.uses += 1
        name, _, reference = uses.partition("@")
        if uses.startswith("./"):
            self.gathered.keep(Config("action", uses))
        elif _COMMIT.fullmatch(reference) or reference.startswith("sha256:"):
            self.gathered.keep(Config("action", name, None, reference))
        else:
            self.movable += 1
            self.gathered.keep(Config("action", name, reference or None))
            self.gathered.count_problem("action", "named by a tag or branch, which can move")


PARSERS = (GitHubActionsParser(),)
