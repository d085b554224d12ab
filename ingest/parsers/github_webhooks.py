"""GitHub webhooks: issues, reviews, deployments, checks, alerts, rules. Infers no approval.

The kind of event stands in an HTTP header that files lack, so that it is told by the keys of the
payload. What the facts mean here:

- A review is an approval of the commit that it names (`reference`), which need not be the one that
  is merged: where the pull request's head is another one, or the reviewer wrote the change, that is
  said. `changes_requested` is a rejection.
- A deployment is a change of what runs (`rollbacks`); GitHub does not say whether it goes back,
  unless its task says 'rollback'. That it succeeded is the deployer's word, kept as a validation of
  its name; it makes the item no `validation`, which checks and workflow runs do.
- A branch protection rule that was edited gives each changed setting twice: now as
  `branch_protection`, and before as `branch_protection_before`.
- An alert that a person dismissed is an approval of leaving it as it is: a waiver.
- The sender acts. Who may review, is assigned or mentioned does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, objects, reach, texts, word
from ingest.parsers.records import RecordReader, shape_of
from ingest.parsers.severity import normalised
from ingest.parsers.tickets import State, Tickets
from ingest.parsers.times import Time
from verify.facts import (
    Approval,
    Config,
    Detector,
    Permission,
    Rollback,
    Ticket,
    Validation,
)

_MARKS = re.compile(rb'"(?:sender|node_id|ghsa_id)"\s*:')
_HOSTS = re.compile(rb"https?://(?:api\.)?github\.com/|/api/v3/|ghsa_id")
_SEVERITY = re.compile(r"(?:severity|sev|priority|prio|p)[\s:/_-]*(.+)", re.I)
_BARE = frozenset(("critical", "blocker", "high", "medium", "low"))
_REVIEWS = {
    "approved": "approved",
    "changes_requested": "rejected",
    "commented": "commented",
    "dismissed": "dismissed",
}
_CONCLUSIONS = {
    "success": "passed",
    "failure": "failed",
    "error": "failed",
    "timed_out": "failed",
    "startup_failure": "failed",
    "neutral": "inconclusive",
    "skipped": "inconclusive",
    "cancelled": "inconclusive",
    "stale": "inconclusive",
    "action_required": "pending",
    "pending": "pending",
    None: "pending",
}
_DEPLOYED = {
    "success": "succeeded",
    "failure": "failed",
    "error": "failed",
    "pending": "started",
    "queued": "started",
    "in_progress": "started",
    "waiting": "started",
}


class GitHubWebhookParser:
    """Reads payloads, one or many."""

    name = "github-webhook"
    version = 1
    kinds = (
        "ticket",
        "approval",
        "rollback",
        "validation",
        "config_snapshot",
        "permission_grant",
        "guardrail_alert",
        "other",
    )
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where one of the first records is a payload."""
        del name
        if b"github" not in head and b"/api/v3/" not in head and b"ghsa_id" not in head:
            return Confidence.NONE
        if not _MARKS.search(head) or not _HOSTS.search(head) or shape_of(head) is None:
            return Confidence.NONE
        first = first_records(head)
        if any(map(_is_payload, first)):
            return Confidence.CERTAIN
        cut = not first and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        return Confidence.LIKELY if cut and b'"action"' in head else Confidence.NONE

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every payload; what is none counts as a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream, resumes_at=_is_payload)
        events = _Events()
        for offset, value in reader:
            if _is_payload(value):
                events.take(value)
            else:
                reader.note_bad(offset, "not a payload of a webhook")
        gathered = events.gathered
        events.tickets.tell(gathered)
        kinds = tuple(kind for kind in self.kinds if kind in events.kinds) or ("other",)
        facts = gathered.facts(self, damage=reader)
        what = ", ".join(facts.actions[:3]) + (" and more" if facts.actions[3:] else "")
        told = counted(gathered.records, "event") + (f": {what}" if what else "")
        return Reading(facts, kinds, "GitHub webhook", told)


def _is_payload(value: Any) -> bool:
    """Someone of GitHub's sent it, about something of GitHub's."""
    if not isinstance(value, dict):
        return False
    if isinstance(reach(value, "security_advisory", "ghsa_id"), str):
        return True
    sender = value.get("sender")
    own = isinstance(reach(sender, "login"), str) and (
        "node_id" in value["sender"] or "github" in str(reach(sender, "url"))
    )
    about = ("action", "repository", "organization", "installation", "enterprise", "hook")
    return own and any(key in value for key in about)


class _Events:
    """What the payloads taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.gathered.add("platforms", "github")
        self.tickets = Tickets()
        self.kinds: set[str] = set()

    def take(self, payload: dict[str, Any]) -> None:
        """Take one payload."""
        gathered = self.gathered
        gathered.record()
        name, take = _event(payload)
        if name == "alert":
            name = _alert_event(payload["alert"])
        action = payload.get("action")
        gathered.add("actions", f"{name}.{action}" if isinstance(action, str) else name)
        for owner in (reach(payload, "repository", "owner"), payload.get("organization")):
            gathered.add("accounts", reach(owner, "login"))
        at = take(self, payload) if take else None
        gathered.activity(reach(payload, "sender", "login"), at)

    def review(self, payload: dict[str, Any]) -> Time | None:
        """A review of a pull request."""
        review, request = payload["review"], payload["pull_request"]
        at = self.gathered.time(review.get("submitted_at"))
        subject = _subject(payload, request)
        approver, author = reach(review, "user", "login"), reach(request, "user", "login")
        state = _REVIEWS.get(str(review.get("state")).lower())
        if state is None:
            return at
        if state != "commented":
            self.kinds.add("approval")
        commit, head = said(review.get("commit_id")), said(reach(request, "head", "sha"))
        self.gathered.keep(
            Approval(subject, state, said(approver), _text(at), said(author), commit)
        )
        if head is not None:
            self.gathered.keep(Config("pull_request", subject, head))
        if state == "approved" and approver == author:
            self.gathered.problem(f"{subject} is approved by its author")
        if state == "approved" and commit != head:
            self.gathered.problem(f"{subject} is approved at another commit than its head")
        return at

    def pull_request(self, payload: dict[str, Any]) -> Time | None:
        """A pull request: which commit it asks to merge, and which was merged."""
        request = payload["pull_request"]
        subject = _subject(payload, request)
        self.gathered.keep(Config("pull_request", subject, said(reach(request, "head", "sha"))))
        if merged := said(request.get("merge_commit_sha")) if request.get("merged_at") else None:
            branch = f"{_repository(payload)} {word(reach(request, 'base', 'ref'))}"
            self.gathered.keep(Config("commit", branch, merged))
        self.gathered.time(request.get("created_at"))
        return self.gathered.time(request.get("updated_at"))

    def deployment_review(self, payload: dict[str, Any]) -> Time | None:
        """A request to deploy to a protected environment, or its answer."""
        at = self.gathered.time(payload.get("since"))
        requester = said(reach(payload, "requestor", "login"))
        approver = said(reach(payload, "approver", "login"))
        environment = word(payload.get("environment")) or ", ".join(
            sorted(
                {word(job.get("environment")) for job in objects(payload.get("workflow_job_runs"))}
            )
        )
        subject = f"deployment of {_repository(payload)} to {environment}"
        commit = said(reach(payload, "workflow_run", "head_sha"))
        state = word(payload.get("action"))
        self.kinds.add("approval")
        self.gathered.keep(Approval(subject, state, approver, _text(at), requester, commit))
        if state == "approved" and approver is not None and approver == requester:
            self.gathered.problem(f"{subject} is approved by who asked for it")
        return at

    def deployment(self, payload: dict[str, Any]) -> Time | None:
        """A deployment that was asked for, or a state of one."""
        deployment, status = payload["deployment"], payload.get("deployment_status")
        started = self.gathered.time(deployment.get("created_at"))
        environment = word(deployment.get("environment")) or "(unnamed)"
        target = f"{_repository(payload)} {environment}"
        commit, state, at = said(deployment.get("sha")), "started", None
        by = deployment
        if isinstance(status, dict):
            by = status
            state = _DEPLOYED.get(str(status.get("state")), "unknown")
            moment = self.gathered.time(status.get("created_at"))
            at = None if state == "started" else moment
            if state in ("succeeded", "failed"):
                result = "passed" if state == "succeeded" else "failed"
                named = f"deployment of {target}"
                self.gathered.keep(Validation(named, result, _text(at), commit))
        back = "rollback" in str(deployment.get("task")).lower()
        self.kinds.add("rollback")
        self.gathered.keep(
            Rollback(
                target,
                state,
                "back" if back else "unknown",
                to=commit,
                actor=said(reach(by, "creator", "login")),
                started_at=_text(started),
                at=_text(at),
            )
        )
        return at or started

    def check(self, payload: dict[str, Any]) -> Time | None:
        """A check, a suite of them, a workflow run or one job of it."""
        key = next(each for each in _CHECKS if isinstance(payload.get(each), dict))
        check = payload[key]
        named = check.get("name") or reach(payload, "workflow", "name")
        named = named or reach(check, "app", "name") or key
        self.gathered.time(check.get("started_at") or check.get("run_started_at"))
        at = self.gathered.time(check.get("completed_at") or check.get("updated_at"))
        conclusion = check.get("conclusion")
        result = _CONCLUSIONS.get(conclusion if isinstance(conclusion, str) else None, "unknown")
        self.kinds.add("validation")
        ended = at if result != "pending" else None
        commit = said(check.get("head_sha"))
        self.gathered.keep(Validation(word(named), result, _text(ended), commit))
        return at

    def status(self, payload: dict[str, Any]) -> Time | None:
        """What an outside system says of a commit."""
        at = self.gathered.time(payload.get("updated_at"))
        result = _CONCLUSIONS.get(word(payload["state"]), "unknown")
        self.kinds.add("validation")
        name, commit = word(payload["context"]), said(payload.get("sha"))
        self.gathered.keep(Validation(name, result, _text(at), commit))
        return at

    def rule(self, payload: dict[str, Any]) -> Time | None:
        """A rule that protects branches: what it allows, and what was changed."""
        rule, changes = payload["rule"], payload.get("changes")
        self.gathered.time(rule.get("created_at"))
        at = self.gathered.time(rule.get("updated_at"))
        named = f"{_repository(payload)} {word(rule.get('name'))}"
        self.kinds.add("config_snapshot")
        self.gathered.keep(Config("branch_protection", named, said(rule.get("updated_at"))))
        changed = 0
        for setting, change in changes.items() if isinstance(changes, dict) else ():
            now, before = rule.get(setting), reach(change, "from")
            if now == before or setting not in rule:
                continue
            changed += 1
            name = f"{named}/{setting}"
            self.gathered.keep(Config("branch_protection", name, _plain(now)))
            self.gathered.keep(Config("branch_protection_before", name, _plain(before)))
        if changed:
            self.gathered.problem(f"{counted(changed, 'setting')} changed in the rule {named}")
        if rule.get("authorized_actors_only") is True:
            for actor in texts(rule.get("authorized_actor_names")):
                self.kinds.add("permission_grant")
                self.gathered.keep(Permission("push", actor, named, "granted"))
        return at

    def alert(self, payload: dict[str, Any]) -> Time | None:
        """What a scanner found in the repository, and who let it be."""
        alert, rule = payload["alert"], reach(payload, "alert", "rule")
        at = self.gathered.time(alert.get("created_at"))
        tool, version = word(reach(alert, "tool", "name")), said(reach(alert, "tool", "version"))
        label = word(reach(rule, "id") or alert.get("secret_type"))
        label = label or word(reach(alert, "security_advisory", "ghsa_id"))
        tool = tool or "GitHub"
        self.kinds.add("guardrail_alert")
        self.gathered.keep(Detector(tool, version))
        severity = reach(rule, "security_severity_level") or reach(
            alert, "security_advisory", "severity"
        )
        self.gathered.finding(
            tool,
            label,
            time=at,
            disposition=alert.get("state"),
            severity=severity or reach(rule, "severity"),
            scale="words" if severity else "sarif",
        )
        if approver := said(reach(alert, "dismissed_by", "login")):
            dismissed = self.gathered.time(alert.get("dismissed_at"))
            subject = f"{_repository(payload)} alert {word(alert.get('number'))}: {label}"
            reason = said(alert.get("dismissed_reason"))
            self.kinds.add("approval")
            self.gathered.keep(
                Approval(subject, "approved", approver, _text(dismissed), reference=reason)
            )
        return at

    def issue(self, payload: dict[str, Any]) -> Time | None:
        """An issue; its severity is a label that says one."""
        issue = payload["issue"]
        opened = self.gathered.time(issue.get("created_at"))
        at = self.gathered.time(issue.get("updated_at"))
        closed = self.gathered.time(issue.get("closed_at"))
        given, severity = _severity(issue.get("labels"))
        self.kinds.add("ticket")
        title = word(issue.get("title")) or "(no title)"
        ticket = Ticket(_subject(payload, issue), title, given, severity, said(issue.get("state")))
        self.tickets.add(State(ticket, at, opened, None, closed))
        return self.gathered.time(reach(payload, "comment", "created_at")) or at

    def push(self, payload: dict[str, Any]) -> Time | None:
        """Commits that came to a branch or tag."""
        name = f"{_repository(payload)} {word(payload['ref'])}"
        self.kinds.add("config_snapshot")
        self.gathered.keep(Config("commit", name, said(payload.get("after"))))
        if payload.get("forced") is True:
            self.gathered.problem(f"{name} was pushed by force: its history was replaced")
        moment = reach(payload, "head_commit", "timestamp")
        return None if moment is None else self.gathered.time(moment)


_Take = Callable[[_Events, dict[str, Any]], Time | None]
# A job may carry the deployment that it makes, and a deployment the run that made it.
_CHECKS = ("check_run", "workflow_job", "check_suite", "workflow_run")
_OBJECTS: tuple[tuple[tuple[str, ...], str, _Take], ...] = (
    (("review", "pull_request"), "pull_request_review", _Events.review),
    (("deployment_status", "deployment"), "deployment_status", _Events.deployment),
    (("requestor", "workflow_run"), "deployment_review", _Events.deployment_review),
    (("approver", "workflow_run"), "deployment_review", _Events.deployment_review),
    *(((key,), key, _Events.check) for key in _CHECKS[:-1]),
    (("deployment",), "deployment", _Events.deployment),
    (("workflow_run",), "workflow_run", _Events.check),
    (("rule", "repository"), "branch_protection_rule", _Events.rule),
    (("alert", "repository"), "alert", _Events.alert),
    (("comment", "issue"), "issue_comment", _Events.issue),
    (("issue",), "issues", _Events.issue),
    (("pull_request",), "pull_request", _Events.pull_request),
)
"""Which objects a payload holds, the event that this makes it, and who takes it; first match."""


def _event(payload: dict[str, Any]) -> tuple[str, _Take | None]:
    for keys, name, take in _OBJECTS:
        if all(isinstance(payload.get(key), dict) for key in keys):
            return name, take
    if all(isinstance(payload.get(key), str) for key in ("sha", "state", "context")):
        return "status", _Events.status
    if all(isinstance(payload.get(key), str) for key in ("ref", "before", "after")):
        return "push", _Events.push
    return "event", None


def _alert_event(alert: dict[str, Any]) -> str:
    if "secret_type" in alert:
        return "secret_scanning_alert"
    if "security_advisory" in alert:
        return "dependabot_alert"
    return "code_scanning_alert" if "rule" in alert else "alert"


def _repository(payload: dict[str, Any]) -> str:
    return word(reach(payload, "repository", "full_name")) or "(no repository)"


def _subject(payload: dict[str, Any], numbered: dict[str, Any]) -> str:
    return f"{_repository(payload)}#{word(numbered.get('number'))}"


def _text(time: Time | None) -> str | None:
    return None if time is None else time.text


def _plain(value: object) -> str:
    """A setting as JSON."""
    return json.dumps(value, sort_keys=True)


def _severity(labels: Any) -> tuple[str | None, str]:
    """The most severe of the labels that name a severity, as it stands and normalised."""
    order = ("critical", "high", "medium", "low", "info")
    named: list[tuple[int, str, str]] = []
    for label in objects(labels):
        name = word(label.get("name"))
        match = _SEVERITY.fullmatch(name)
        if not match and name.lower() not in _BARE:
            continue
        norm = normalised(name)
        if norm == "unknown" and match:
            norm = normalised(match[1])
        if norm in order:
            named.append((order.index(norm), name, norm))
    return min(named)[1:] if named else (None, "unknown")


PARSERS = (GitHubWebhookParser(),)
