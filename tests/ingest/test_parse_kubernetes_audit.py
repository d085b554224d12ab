"""Kubernetes audit logs: stages are one request, decisions and permissions are the authorizer's."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from damage import read
from samples import DATA

from ingest.parsers import Confidence
from ingest.parsers.kubernetes_audit import (
    NO_REQUEST_BODIES,
    NO_RESPONSE_BODIES,
    KubernetesAuditParser,
)
from verify.facts import Decision, Facts, Gap, Permission

SAMPLES = sorted((DATA / "k8s-audit").glob("*.json"))


def event(**members: Any) -> dict[str, Any]:
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "a",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/default/pods",
        "verb": "list",
        "user": {"username": "u", "groups": ["g"]},
        "objectRef": {"resource": "pods", "namespace": "default", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-03-01T00:00:00.000000Z",
        "stageTimestamp": "2026-03-01T00:00:00.100000Z",
        "annotations": {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "",
        },
    } | members


def facts_of(*events: object) -> Facts:
    return read("\n".join(json.dumps(each) for each in events).encode()).facts


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_facts_are_what_the_event_says(path: Any) -> None:
    raw = json.loads(path.read_text())
    reading = read(path.read_bytes(), path.name)
    facts, target = reading.facts, raw["objectRef"]
    assert (reading.format_label, reading.kinds) == ("Kubernetes audit log", ("access_log",))
    assert (facts.records, facts.bad_records, facts.problems) == (1, 0, ())
    assert facts.principals == (raw["user"]["username"],)
    assert facts.raw_first == raw["requestReceivedTimestamp"]
    assert (facts.clock, facts.precision, facts.first) == ("zoned", "us", facts.raw_first)
    place = [target.get("apiGroup"), target["resource"], target.get("subresource")]
    action = f"{raw['verb']} {'/'.join(each for each in place if each)}"
    assert facts.actions == (action,)
    assert raw["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert facts.permissions == (
        Permission(action, raw["user"]["username"], target.get("namespace"), "granted"),
    )
    assert facts.decisions == (Decision("allowed", 1),)
    assert {f"group/{each}" for each in raw["user"]["groups"]} <= set(facts.scopes)
    assert facts.platforms == ("kubernetes",)


def test_the_role_that_allowed_it_is_a_scope_and_a_config_map_a_dataset() -> None:
    by_name = {path.name: read(path.read_bytes()).facts for path in SAMPLES}
    pod = by_name["create_pod_kube_system_namespace.json"]
    assert "ClusterRole/system:controller:replicaset-controller" in pod.scopes
    config = by_name["create_configmap_no_sensitive_values.json"]
    assert config.datasets == (
        "kubernetes:configmaps/default",
        "kubernetes:configmaps/default/my-config",
    )
    assert by_name["exec_pod.json"].actions == ("create pods/exec",)
    # Request and RequestResponse are two levels
    assert by_name["exec_pod.json"].not_captured == (NO_RESPONSE_BODIES,)
    assert pod.not_captured == ()


def test_stages_of_a_request_are_decided_on_once_in_any_order() -> None:
    events = []
    for number in range(30):
        begun = event(auditID=f"{number}", stage="RequestReceived")
        del begun["responseStatus"], begun["annotations"]
        events.append(begun)
        if number % 3 == 0:  # a watch, which begins to answer long before it ends
            events.append(event(auditID=f"{number}", stage="ResponseStarted", verb="watch"))
        if number % 2 == 0:
            events.append(event(auditID=f"{number}", verb="watch" if number % 3 == 0 else "list"))
    facts = facts_of(*events)
    # even numbers ended; of the others 3, 9, 15, 21 and 27 began to answer, ten were only received
    assert facts.decisions == (Decision("allowed", 15 + 5), Decision("unknown", 10))
    assert facts.records == sum(each.count for each in facts.activities) == len(events)
    random.Random(1).shuffle(events)
    assert facts_of(*events) == facts


def test_what_was_refused_and_what_failed() -> None:
    note = "authorization.k8s.io/decision"
    facts = facts_of(
        event(),
        event(auditID="b", responseStatus={"code": 403}, annotations={note: "forbid"}),
        event(auditID="c", responseStatus={"code": 403}),  # admission
        event(auditID="d", responseStatus={"code": 404}),
        event(auditID="e", responseStatus={"code": 401}, annotations={}, user={}),
        event(auditID="f", responseStatus=None),
        event(auditID="g", responseStatus=None, annotations=None),
        event(auditID="h", stage="Panic", responseStatus={"code": 500}),
    )
    assert facts.decisions == (
        Decision("allowed", 2),
        Decision("denied", 3),
        Decision("failed", 2),
        Decision("unknown", 1),
    )
    assert facts.permissions == (
        Permission("list pods", "u", "default", "denied"),
        Permission("list pods", "u", "default", "granted"),
    )
    assert facts.problems == ("events without a user name",)


def test_impersonation_names_both() -> None:
    facts = facts_of(
        event(impersonatedUser={"username": "admin", "groups": ["system:masters"]}),
        event(auditID="b", impersonatedUser={"username": "root"}, responseStatus={"code": 403}),
        event(auditID="c", impersonatedUser="nobody"),
    )
    assert facts.principals == ("admin", "root", "u")
    assert [each.principal for each in facts.activities] == ["u"]
    assert Permission("impersonate", "u", "admin", "granted") in facts.permissions
    assert Permission("impersonate", "u", "root", "unknown") in facts.permissions


def test_requests_without_an_object_are_named_by_their_path() -> None:
    facts = facts_of(
        event(objectRef=None, verb="get", requestURI="/healthz?verbose=1"),
        event(objectRef=None, verb="get", requestURI=7),
        event(objectRef={"resource": "secrets"}, verb="list"),
        event(objectRef={"resource": "secrets", "namespace": "n", "name": "s"}, verb="get"),
    )
    assert facts.actions == ("get", "get /healthz", "get secrets", "list secrets")
    assert facts.datasets == (
        "kubernetes:secrets",
        "kubernetes:secrets/n",
        "kubernetes:secrets/n/s",
    )
    assert facts.not_captured == (NO_REQUEST_BODIES, NO_RESPONSE_BODIES)


def test_old_versions_have_one_time_and_lists_hold_events() -> None:
    old = event(apiVersion="audit.k8s.io/v1beta1", timestamp="2018-10-26T13:25:18Z")
    del old["requestReceivedTimestamp"], old["stageTimestamp"]
    assert facts_of(old).first == "2018-10-26T13:25:18Z"
    events = [event(auditID=f"{number}") for number in range(3)]
    plain = facts_of(*events)
    for form in (
        json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": events}),
        json.dumps({"kind": "EventList", "items": events}, indent=2),
        json.dumps(events),
        "".join(map(json.dumps, events)),
        "\n".join(json.dumps({"kind": "EventList", "items": [each]}) for each in events),
    ):
        assert read(form.encode()).facts == plain


def test_silences_are_gaps() -> None:
    times = ("00:00:00.5", "00:00:59.999", "00:02:10.25", "00:02:10.25")
    events = [event(requestReceivedTimestamp=f"2026-03-01T{each}Z") for each in times]
    facts = facts_of(*events)
    assert facts.gaps == (Gap("2026-03-01T00:00:59Z", "2026-03-01T00:02:10Z", 71),)
    assert (facts.first, facts.last) == ("2026-03-01T00:00:00.500Z", "2026-03-01T00:02:10.250Z")
    assert facts_of(*reversed(events)) == facts


def test_hostile_values_say_nothing() -> None:
    hostile: list[object] = [[], {}, 7, None, "x" * 5000, True, {"username": ["u"]}, [[]]]
    rng = random.Random(3)
    events = []
    for number in range(200):
        made = event(auditID=f"{number}")
        for key in rng.sample(sorted(made), 3):
            made[key] = rng.choice(hostile)
        events.append(made)
    facts = facts_of(*events, 7, {"auditID": 1}, {"items": [7]})
    assert facts.bad_records >= 3
    assert facts.records + facts.bad_records >= 203
    assert facts_of(*reversed(events), 7, {"auditID": 1}, {"items": [7]}).records == facts.records


def test_only_audit_events_are_taken_for_it() -> None:
    detect = KubernetesAuditParser().detect
    assert detect(SAMPLES[0].read_bytes(), "x.png") is Confidence.CERTAIN
    core = {"kind": "Event", "apiVersion": "v1", "involvedObject": {"kind": "Pod"}, "level": 1}
    assert detect(json.dumps(core).encode(), "audit.log") is Confidence.NONE
    words = {"stage": 1, "verb": 2, "level": 3}
    assert detect(json.dumps(words).encode(), "x") is Confidence.NONE
