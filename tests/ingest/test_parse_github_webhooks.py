"""GitHub webhooks: who approved what, which commit, what was deployed, and what only looks so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from damage import check

from ingest.parsers import Confidence, Reading
from ingest.parsers.github_webhooks import GitHubWebhookParser
from verify.facts import (
    Activity,
    Approval,
    Config,
    Detector,
    Facts,
    Finding,
    Permission,
    Rollback,
    Ticket,
    Validation,
)

SAMPLES = Path(__file__).parents[1] / "data" / "github-webhooks"
HEAD = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
DEPLOYED = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"


def sample(name: str) -> Reading:
    (path,) = SAMPLES.glob(f"{name}*.json")
    return check(path.read_bytes())


def payload(name: str) -> dict[str, Any]:
    (path,) = SAMPLES.glob(f"{name}*.json")
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def facts_of(*payloads: Any) -> Facts:
    return check(json.dumps(payloads[0] if len(payloads) == 1 else payloads).encode()).facts


def test_an_issue_is_a_ticket() -> None:
    reading = sample("issues__opened")
    facts = reading.facts
    assert facts.tickets == (
        Ticket(
            "Codertocat/Hello-World#1",
            "Spelling error in the README file",
            None,
            "unknown",
            "open",
            "2019-05-15T15:20:18Z",
        ),
    )
    assert facts.actions == ("issues.opened",)
    at = "2019-05-15T15:20:18Z"
    assert facts.activities == (Activity("Codertocat", at, at, 1),)
    assert (facts.platforms, facts.accounts) == (("github",), ("Codertocat",))
    assert reading.kinds == ("ticket",)
    assert reading.summary == "1 event: issues.opened"


@pytest.mark.parametrize(
    ("labels", "given", "norm"),
    [
        (["bug"], None, "unknown"),
        (["sev1"], "sev1", "critical"),
        (["bug", "severity: high"], "severity: high", "high"),
        (["Priority/P3"], "Priority/P3", "medium"),
        (["P2", "p0"], "p0", "critical"),
        (["high"], "high", "high"),
        (["error", "documentation", "sevenths", "severity: whatever"], None, "unknown"),
    ],
)
def test_a_label_may_say_how_severe(labels: list[str], given: str | None, norm: str) -> None:
    value = payload("issues__opened")
    value["issue"]["labels"] = [{"name": label} for label in labels]
    (ticket,) = facts_of(value).tickets
    assert (ticket.severity, ticket.severity_norm) == (given, norm)


def test_states_of_one_issue_are_one_ticket() -> None:
    opened, closed = payload("issues__opened"), payload("issues__opened")
    closed["action"] = "closed"
    closed["issue"] |= {
        "state": "closed",
        "updated_at": "2019-05-16T09:00:00Z",
        "closed_at": "2019-05-16T09:00:00Z",
    }
    facts = facts_of(closed, opened)
    (ticket,) = facts.tickets
    assert (ticket.status, ticket.opened_at, ticket.resolved_at) == (
        "closed",
        "2019-05-15T15:20:18Z",
        "2019-05-16T09:00:00Z",
    )
    assert facts_of(opened, closed) == facts


def test_a_comment_is_no_approval() -> None:
    reading = sample("pull_request_review")
    facts = reading.facts
    assert facts.approvals == (
        Approval(
            "Codertocat/Hello-World#2",
            "commented",
            "Codertocat",
            "2019-05-15T15:20:38Z",
            "Codertocat",
            HEAD,
        ),
    )
    assert facts.configs == (Config("pull_request", "Codertocat/Hello-World#2", HEAD),)
    assert facts.problems == ()
    assert reading.kinds == ("other",)


def test_an_approval_is_of_a_commit_and_by_somebody_else() -> None:
    value = payload("pull_request_review")
    value["review"] |= {"state": "approved", "user": {"login": "octocat"}}
    reading = check(json.dumps(value).encode())
    assert reading.kinds == ("approval",)
    assert reading.facts.problems == ()
    assert (reading.facts.approvals[0].state, reading.facts.approvals[0].approver) == (
        "approved",
        "octocat",
    )
    value["review"]["commit_id"] = DEPLOYED
    assert facts_of(value).problems == (
        "Codertocat/Hello-World#2 is approved at another commit than its head",
    )
    value["review"] |= {"commit_id": HEAD, "user": {"login": "Codertocat"}}
    assert facts_of(value).problems == ("Codertocat/Hello-World#2 is approved by its author",)


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ("APPROVED", "approved"),
        ("changes_requested", "rejected"),
        ("dismissed", "dismissed"),
        ("pending", None),
        (7, None),
    ],
)
def test_states_of_a_review(given: object, state: str | None) -> None:
    value = payload("pull_request_review")
    value["review"]["state"] = given
    assert [each.state for each in facts_of(value).approvals] == ([state] if state else [])


def test_a_deployment_waits_for_an_approval() -> None:
    reading = sample("deployment_review")
    assert reading.facts.approvals == (
        Approval(
            "deployment of terraform-test-github/sample-app to TST",
            "requested",
            None,
            "2023-07-04T09:28:15Z",
            "ilmax",
            "5275a45b7e99c7fd7265b790392c10a74101a67a",
        ),
    )
    assert reading.facts.actions == ("deployment_review.requested",)
    assert reading.kinds == ("approval",)


def test_an_answer_names_who_gave_it() -> None:
    value = payload("deployment_review")
    value |= {"action": "approved", "approver": {"login": "admin"}, "comment": "ok"}
    (approval,) = facts_of(value).approvals
    assert (approval.state, approval.approver, approval.requester) == ("approved", "admin", "ilmax")
    value["approver"] = {"login": "ilmax"}
    assert facts_of(value).problems == (
        "deployment of terraform-test-github/sample-app to TST is approved by who asked for it",
    )
    del value["requestor"], value["environment"]
    value["workflow_job_runs"] = [{"environment": "B"}, {"environment": "A"}]
    (approval,) = facts_of(value).approvals
    assert approval.subject == "deployment of terraform-test-github/sample-app to A, B"


def test_a_deployment_is_a_change_of_unknown_direction() -> None:
    started = sample("deployment__payload")
    assert started.facts.rollbacks == (
        Rollback(
            "Codertocat/Hello-World production",
            "started",
            to=DEPLOYED,
            actor="Codertocat",
            started_at="2019-05-15T15:20:53Z",
        ),
    )
    done = sample("deployment_status")
    assert done.facts.rollbacks == (
        Rollback(
            "Codertocat/Hello-World production",
            "succeeded",
            to=DEPLOYED,
            actor="Codertocat",
            started_at="2019-05-15T15:20:53Z",
            at="2019-05-15T15:20:55Z",
        ),
    )
    assert done.facts.validations == (
        Validation(
            "deployment of Codertocat/Hello-World production",
            "passed",
            "2019-05-15T15:20:55Z",
            DEPLOYED,
        ),
    )
    assert done.kinds == started.kinds == ("rollback",)  # the deployer's word is no validation


@pytest.mark.parametrize(
    ("given", "state", "validations"),
    [
        ("failure", "failed", 1),
        ("error", "failed", 1),
        ("in_progress", "started", 0),
        ("inactive", "unknown", 0),
        (None, "unknown", 0),
    ],
)
def test_states_of_a_deployment(given: object, state: str, validations: int) -> None:
    value = payload("deployment_status")
    value["deployment_status"]["state"] = given
    facts = facts_of(value)
    assert facts.rollbacks[0].state == state
    assert len(facts.validations) == validations


def test_only_a_task_that_says_so_goes_back() -> None:
    value = payload("deployment_status")
    value["deployment"]["task"] = "deploy:rollback"
    assert facts_of(value).rollbacks[0].direction == "back"


def test_checks_and_runs_are_validations_of_a_commit() -> None:
    check_run = sample("check_run")
    assert check_run.facts.validations == (
        Validation("Octocoders-linter", "passed", "2019-05-15T15:21:12Z", HEAD),
    )
    run = sample("workflow_run")
    assert run.facts.validations == (
        Validation(
            "test", "passed", "2020-10-05T16:33:49Z", "3484a3fb816e0859fd6e1cea078d76385ff50625"
        ),
    )
    assert check_run.kinds == run.kinds == ("validation",)


@pytest.mark.parametrize(
    ("conclusion", "result", "ended"),
    [
        ("failure", "failed", True),
        ("timed_out", "failed", True),
        ("neutral", "inconclusive", True),
        ("cancelled", "inconclusive", True),
        ("action_required", "pending", False),
        (None, "pending", False),
        ("never heard of", "unknown", True),
    ],
)
def test_conclusions(conclusion: str | None, result: str, ended: bool) -> None:
    value = payload("check_run")
    value["check_run"]["conclusion"] = conclusion
    (validation,) = facts_of(value).validations
    assert (validation.result, validation.at is not None) == (result, ended)


def test_a_rule_that_was_loosened_says_what_it_was() -> None:
    reading = sample("branch_protection_rule")
    facts = reading.facts
    rule, changes = payload("branch_protection")["rule"], payload("branch_protection")["changes"]
    changed = {key for key, each in changes.items() if rule[key] != each["from"]}
    assert (len(changes), len(changed)) == (15, 10)
    name = "octo-org/octo-repo production"
    now = {each.name: each.version for each in facts.configs if each.kind == "branch_protection"}
    was = {each.name: each.version for each in facts.configs if each.kind.endswith("_before")}
    assert set(was) == {f"{name}/{key}" for key in changed}
    count = f"{name}/required_approving_review_count"
    assert (was[count], now[count]) == ("2", "1")
    force = f"{name}/allow_force_pushes_enforcement_level"
    assert (was[force], now[force]) == ('"everyone"', '"off"')
    assert facts.problems == (f"10 settings changed in the rule {name}",)
    assert facts.permissions == (Permission("push", "Codertocat", name, "granted"),)
    assert (facts.first, facts.raw_first) == (
        "2021-08-19T16:16:32Z",
        "2021-08-19T12:16:32.000-04:00",
    )
    assert reading.kinds == ("config_snapshot", "permission_grant")


def test_an_alert_and_who_let_it_be() -> None:
    reading = sample("code_scanning_alert")
    assert reading.facts.findings == (
        Finding("CodeQL", "java/sql-injection", 1, "2021-02-11T03:10:43Z", "open", "error", "high"),
    )
    assert reading.facts.detectors == (Detector("CodeQL"),)
    assert reading.facts.actions == ("code_scanning_alert.created",)
    assert reading.kinds == ("guardrail_alert",)
    value = payload("code_scanning_alert")
    value["alert"] |= {
        "state": "dismissed",
        "dismissed_by": {"login": "octocat"},
        "dismissed_at": "2021-02-12T08:00:00Z",
        "dismissed_reason": "won't fix",
    }
    value["alert"]["rule"]["security_severity_level"] = "critical"
    waived = check(json.dumps(value).encode())
    assert waived.facts.approvals == (
        Approval(
            "Codertocat/Hello-World alert 10: java/sql-injection",
            "approved",
            "octocat",
            "2021-02-12T08:00:00Z",
            None,
            "won't fix",
        ),
    )
    assert (waived.facts.findings[0].severity, waived.facts.findings[0].disposition) == (
        "critical",
        "dismissed",
    )
    assert waived.kinds == ("approval", "guardrail_alert")


def test_other_alerts_commits_and_statuses() -> None:
    base = {"repository": payload("issues")["repository"], "sender": payload("issues")["sender"]}
    secret = {"action": "created", "alert": {"secret_type": "aws_key", "state": "open"}} | base
    assert facts_of(secret).actions == ("secret_scanning_alert.created",)
    assert facts_of(secret).findings[0].label == "aws_key"
    advisory = {"security_advisory": {"ghsa_id": "GHSA-x", "severity": "high"}}
    dependency = {"action": "created", "alert": advisory} | base
    (finding,) = facts_of(dependency).findings
    assert (finding.detector, finding.label, finding.severity_norm) == ("GitHub", "GHSA-x", "high")
    status = {
        "sha": HEAD,
        "state": "failure",
        "context": "ci/x",
        "updated_at": "2019-05-15T15:20:41+00:00",
    }
    assert facts_of(status | base).validations == (
        Validation("ci/x", "failed", "2019-05-15T15:20:41Z", HEAD),
    )
    push = {"ref": "refs/heads/main", "before": DEPLOYED, "after": HEAD, "forced": True} | base
    facts = facts_of(push)
    assert facts.configs == (Config("commit", "Codertocat/Hello-World refs/heads/main", HEAD),)
    assert facts.problems == (
        "Codertocat/Hello-World refs/heads/main was pushed by force: its history was replaced",
    )
    request = payload("pull_request_review")
    merged = request["pull_request"] | {"merged_at": "2019-05-15T15:20:38Z"}
    facts = facts_of({"action": "closed", "pull_request": merged} | base)
    assert facts.configs == (
        Config("commit", "Codertocat/Hello-World master", merged["merge_commit_sha"]),
        Config("pull_request", "Codertocat/Hello-World#2", HEAD),
    )
    assert facts_of({"zen": "x", "hook_id": 1, "hook": {}} | base).actions == ("event",)


def test_a_job_may_carry_a_deployment_and_a_deployment_its_run() -> None:
    base = {
        key: payload("deployment__payload")[key] for key in ("repository", "sender", "deployment")
    }
    job = {"name": "deploy", "conclusion": "success", "completed_at": "2019-05-15T15:21:12Z"}
    assert facts_of({"action": "completed", "workflow_job": job} | base).actions == (
        "workflow_job.completed",
    )
    run = {"name": "x", "head_sha": HEAD, "conclusion": None}
    assert facts_of({"action": "created", "workflow_run": run} | base).actions == (
        "deployment.created",
    )


def test_who_is_mentioned_does_not_act() -> None:
    assert sample("pull_request_review").facts.principals == ("Codertocat",)
    value = payload("issues__opened")
    value["issue"]["assignee"] = {"login": "assigned"}
    value["sender"]["login"] = "sender"
    assert facts_of(value).principals == ("sender",)


def test_a_record_of_another_kind_is_a_bad_one() -> None:
    facts = facts_of(payload("issues__opened"), {"a": 1}, 7)
    assert (facts.records, facts.bad_records) == (1, 2)


@pytest.mark.slow
def test_hostile_values_are_left_out() -> None:
    hostile: tuple[Any, ...] = ([], {}, 7, None, True, "x" * 9999, [[{}]], {"a": None})
    for path in sorted(SAMPLES.glob("*.json")):
        value = json.loads(path.read_bytes())
        for each in (value, *(inner for inner in value.values() if isinstance(inner, dict))):
            for name in ("repository", "head_repository", "head", "base", "user"):
                if name in each:  # what is longest and read least
                    each[name] = {"full_name": "o/r", "login": "x", "sha": "y"}
        for key, member in value.items():
            check(json.dumps([value | {key: bad} for bad in hostile]).encode())
            for inner in member if isinstance(member, dict) and key != "repository" else ():
                check(
                    json.dumps([value | {key: member | {inner: bad}} for bad in hostile]).encode()
                )


def test_only_payloads_are_claimed() -> None:
    detect = GitHubWebhookParser().detect
    for path in SAMPLES.glob("*.json"):
        assert detect(path.read_bytes(), "x") is Confidence.CERTAIN
        assert detect(path.read_bytes()[: path.stat().st_size // 2], "x") is Confidence.LIKELY
    assert detect(b'{"sender": {"login": "x"}, "action": "https://github.com/"}', "x") is (
        Confidence.NONE
    )
    assert detect(b'[{"node_id": "x", "u": "https://github.com/"}]', "x") is Confidence.NONE
