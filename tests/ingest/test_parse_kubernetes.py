"""Kubernetes and Argo CD: what is configured, who may do what, what was rolled out or back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from damage import check

from ingest.parsers import Confidence, Reading, choose
from ingest.parsers.kubernetes import KubernetesParser
from ingest.parsers.yamldocs import TOO_MANY
from verify.facts import Activity, Config, Permission, Rollback, Validation

DATA = Path(__file__).parents[1] / "data"
LIVE = (DATA / "k8s-rollout" / "deployment-live.json").read_bytes()
LIVE_YAML = (DATA / "k8s-rollout" / "smd-deploy2-live.yaml").read_bytes()
TEMPLATE = (DATA / "k8s-rollout" / "analysis-template.json").read_bytes()
MASTER = (DATA / "k8s-manifests" / "redis-master-controller.yaml").read_bytes()
SERVICE = (DATA / "k8s-manifests" / "guestbook-service.yaml").read_bytes()
ARGO = (DATA / "argocd" / "diff-cache.yaml").read_bytes()
TAGGED = "1 image named by a tag, which can move"
REVISION = "deployment.kubernetes.io/revision"
DIGEST = "sha256:" + "ab" * 32


def read(*values: Any) -> Reading:
    return check("---\n".join(yaml.safe_dump(value) for value in values).encode())


def made(kind: str, version: str = "v1", **members: Any) -> dict[str, Any]:
    metadata = {"name": "x", "namespace": "ns"} | members.pop("metadata", {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata} | members


def pod(*images: str, **members: Any) -> dict[str, Any]:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return made("Pod", spec={"containers": containers} | members)


# Manifests.


def test_a_manifest_names_its_image_by_a_tag() -> None:
    reading = check(MASTER)
    assert reading.facts.configs == (
        Config("image", "redis", "7.2"),
        Config("kubernetes Deployment", "redis-master"),
    )
    assert reading.facts.problems == (TAGGED,)
    assert reading.facts.not_captured == ("times",)
    assert reading.kinds == ("config_snapshot",)
    assert reading.summary == "1 object: 1 Deployment"


def test_many_documents_in_one_file() -> None:
    reading = check(MASTER + b"---\n" + SERVICE + b"---\nbroken: [\n---\nnot: an object\n")
    assert reading.summary == "2 objects: 1 Deployment, 1 Service"
    facts = reading.facts
    assert (facts.records, facts.bad_records) == (2, 2)
    assert facts.bad_offsets == (len(MASTER) + len(SERVICE) + 4, len(MASTER) + len(SERVICE) + 18)
    assert facts.problems[:2] == (
        "1 bad record: not YAML",
        "1 bad record: not an object of Kubernetes",
    )


def test_an_alias_bomb_is_a_bad_record() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    bomb = b"---\napiVersion: v1\nkind: ConfigMap\n" + "\n".join(lines).encode() + b"\n"
    facts = check(SERVICE + bomb).facts
    assert (facts.records, facts.bad_records) == (1, 1)
    assert facts.problems == (f"1 bad record: {TOO_MANY}",)


@pytest.mark.parametrize(
    ("image", "config", "tagged"),
    [
        (f"a/b@{DIGEST}", Config("image", "a/b", None, DIGEST), False),
        (
            f"r.example:5000/a/b:1@{DIGEST}",
            Config("image", "r.example:5000/a/b", "1", DIGEST),
            False,
        ),
        ("r.example:5000/a/b", Config("image", "r.example:5000/a/b", "latest"), True),
        ("nginx:1.25", Config("image", "nginx", "1.25"), True),
    ],
)
def test_a_digest_is_one_image_and_a_tag_is_not(image: str, config: Config, tagged: bool) -> None:
    facts = read(pod(image)).facts
    assert config in facts.configs
    assert facts.problems == ((TAGGED,) if tagged else ())


def test_images_are_found_wherever_pods_are_described() -> None:
    assert Config("image", "alpine", "3.8") in check(TEMPLATE).facts.configs
    job = made("CronJob", "batch/v1")
    job["spec"] = {"jobTemplate": {"spec": {"template": {"spec": pod("a:1")["spec"]}}}}
    several = pod("b:1")
    several["spec"]["initContainers"] = [{"image": "c:1"}]
    several["spec"]["ephemeralContainers"] = [{"image": "d:1"}, {"image": 7}]
    facts = read(job, several).facts
    images = [each.name for each in facts.configs if each.kind == "image"]
    assert images == ["a", "b", "c", "d"]
    assert "1 image whose name cannot be read" in facts.problems


def test_what_runs_is_told_by_its_digest() -> None:
    value = pod("a/b:1")
    value["status"] = {"containerStatuses": [{"imageID": f"docker-pullable://a/b@{DIGEST}"}]}
    assert Config("image", "a/b", None, DIGEST) in read(value).facts.configs


def test_a_list_in_either_format() -> None:
    value = {"apiVersion": "v1", "kind": "List", "items": [pod("a:1"), made("Service"), {"x": 1}]}
    for reading in (read(value), check(json.dumps(value).encode())):
        assert reading.summary == "2 objects: 1 Pod, 1 Service"
        assert (reading.facts.records, reading.facts.bad_records) == (2, 1)


def test_secrets_stay_out_of_the_facts() -> None:
    secret = made("Secret", data={"password": "aHVudGVyMg=="})
    token = pod("a:1")
    token["spec"]["containers"][0]["env"] = [{"name": "TOKEN", "value": "hunter2"}]
    token["metadata"]["annotations"] = {"note": "hunter2"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "users": [{"name": "u", "user": {"token": "hunter2"}}],
    }
    reading = read(secret, token, config)
    told = json.dumps(reading.facts.to_json()) + reading.summary
    assert "hunter2" not in told
    assert "aHVudGVyMg" not in told
    assert reading.facts.problems == (
        "1 Secret with its values: handle the file as one",
        TAGGED,
        "1 kubeconfig with its credentials: handle the file as one",
    )


# Permissions.


def test_rules_of_a_role_are_permissions() -> None:
    rules = [
        {"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "delete"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ]
    reading = read(made("Role", "rbac.authorization.k8s.io/v1", rules=rules))
    assert reading.facts.permissions == (
        Permission("delete", "Role ns/x", "apps/pods", "granted"),
        Permission("delete", "Role ns/x", "pods", "granted"),
        Permission("get", "Role ns/x", "/metrics", "granted"),
        Permission("get", "Role ns/x", "apps/pods", "granted"),
        Permission("get", "Role ns/x", "pods", "granted"),
    )
    assert reading.kinds == ("config_snapshot", "permission_grant")
    all_of_it = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    facts = read(made("ClusterRole", "rbac.authorization.k8s.io/v1", rules=all_of_it)).facts
    assert facts.permissions == (Permission("*", "ClusterRole ns/x", "*/*", "granted"),)
    assert facts.problems == ("1 rule of a role that allows all ('*')",)


def test_bindings_say_who_has_a_role_and_where() -> None:
    role = {"kind": "ClusterRole", "name": "view"}
    subjects = [
        {"kind": "User", "name": "ada"},
        {"kind": "Group", "name": "admins"},
        {"kind": "ServiceAccount", "name": "agent"},
        {"kind": "ServiceAccount", "name": "agent", "namespace": "other"},
    ]
    version = "rbac.authorization.k8s.io/v1"
    local = read(made("RoleBinding", version, roleRef=role, subjects=subjects)).facts
    assert [(each.principal, each.resource) for each in local.permissions] == [
        ("ada", "namespace ns"),
        ("group admins", "namespace ns"),
        ("system:serviceaccount:ns:agent", "namespace ns"),
        ("system:serviceaccount:other:agent", "namespace ns"),
    ]
    assert {each.permission for each in local.permissions} == {"ClusterRole view"}
    wide = read(made("ClusterRoleBinding", version, roleRef=role, subjects=subjects[:1])).facts
    assert wide.permissions == (Permission("ClusterRole view", "ada", "cluster", "granted"),)


def test_pods_run_as_a_service_account() -> None:
    facts = read(pod("a:1", serviceAccountName="agent")).facts
    assert facts.permissions == (
        Permission("run as", "Pod ns/x", "system:serviceaccount:ns:agent", "granted"),
    )


# Rollouts.


def test_a_live_deployment_and_its_rollout() -> None:
    reading = check(LIVE)
    facts = reading.facts
    value = json.loads(LIVE)
    assert value["metadata"]["annotations"][REVISION] == "5"
    assert facts.rollbacks == (
        Rollback(
            "Deployment default/guestbook-ui",
            "succeeded",
            to="revision 5",
            at="2020-06-30T19:39:35Z",
        ),
    )
    assert facts.validations == (
        Validation(
            "Deployment default/guestbook-ui Available",
            "passed",
            "2020-06-25T19:25:07Z",
            "revision 5",
        ),
    )
    assert Config("kubernetes Deployment", "default/guestbook-ui", "5") in facts.configs
    assert (facts.first, facts.last) == ("2020-06-25T19:25:05Z", "2020-06-30T19:39:35Z")
    assert reading.kinds == ("config_snapshot", "rollback", "validation")


def test_field_managers_act_when_they_say() -> None:
    facts = check(LIVE_YAML).facts
    assert facts.activities == (
        Activity("argocd-controller", "2022-09-18T23:50:25Z", "2022-09-18T23:50:25Z", 1),
        Activity("kube-controller-manager", "2022-09-23T18:30:59Z", "2022-09-23T18:30:59Z", 1),
    )
    assert facts.rollbacks[0].to == "revision 1"
    assert check(LIVE_YAML).kinds == ("config_snapshot", "validation")  # the first is no way back


@pytest.mark.parametrize(
    ("reason", "state"),
    [("ProgressDeadlineExceeded", "failed"), ("ReplicaSetUpdated", "started"), (None, "started")],
)
def test_states_of_a_rollout(reason: str | None, state: str) -> None:
    value = json.loads(LIVE)
    value["status"]["conditions"][1]["reason"] = reason
    value["status"]["conditions"][0]["status"] = "False"
    facts = check(json.dumps(value).encode()).facts
    assert facts.rollbacks[0].state == state
    assert (facts.rollbacks[0].at is None) == (state == "started")
    assert facts.validations[0].result == "failed"


def test_a_replica_set_that_was_used_before_shows_the_way_back() -> None:
    metadata = {
        "name": "web-6d68ff5f86",
        "annotations": {REVISION: "7", "deployment.kubernetes.io/revision-history": "2,5"},
        "ownerReferences": [{"kind": "Deployment", "name": "web"}],
    }
    reading = read(made("ReplicaSet", "apps/v1", metadata=metadata))
    assert reading.facts.rollbacks == (
        Rollback("Deployment ns/web", "unknown", "back", to="revision 5, now 7"),
    )
    assert reading.kinds == ("config_snapshot", "rollback")


@pytest.mark.parametrize(
    ("phase", "result"),
    [("Successful", "passed"), ("Failed", "failed"), ("Inconclusive", "inconclusive")],
)
def test_an_analysis_is_a_validation(phase: str, result: str) -> None:
    status = {"phase": phase, "completedAt": "2026-01-31T09:30:00Z"}
    reading = read(made("AnalysisRun", "argoproj.io/v1alpha1", status=status))
    assert reading.facts.validations == (
        Validation("AnalysisRun ns/x", result, "2026-01-31T09:30:00Z"),
    )
    assert reading.kinds == ("config_snapshot", "validation")


# Argo CD.

VELERO = "Application argo-cd/velero-test"
COMMIT = "ea8759964626a583667a2bfd08f334ec2070040a"


def application(*revisions: Any, first: int = 0, **status: Any) -> dict[str, Any]:
    history = [
        {
            "id": first + number,
            "revision": revision,
            "deployStartedAt": f"2026-01-31T09:{number:02}:00Z",
            "deployedAt": f"2026-01-31T09:{number:02}:30Z",
        }
        for number, revision in enumerate(revisions)
    ]
    return made("Application", "argoproj.io/v1alpha1", status={"history": history} | status)


def test_deploying_the_same_again_changes_nothing() -> None:
    reading = check(ARGO)
    facts = reading.facts
    history = yaml.safe_load(ARGO)["status"]["history"]
    assert [each["id"] for each in history] == list(range(14, 24))
    assert {each["revision"] for each in history} == {COMMIT}
    assert facts.format == "argocd"
    assert facts.rollbacks == ()
    assert facts.problems == (
        "9 deployments of the revision that ran already",
        TAGGED,
        f"{VELERO}: the history begins at id 14, what was before is gone",
    )
    assert facts.not_captured == ("earlier deployments",)
    assert Config("argocd deployed", VELERO, COMMIT) in facts.configs
    assert Config("argocd synced", VELERO, "rev1") in facts.configs
    assert Config("image", "nginx", "latest") in facts.configs
    at = "2024-03-05T07:33:04Z"
    assert facts.validations == (Validation(f"{VELERO} health", "passed", at, "rev1"),)
    assert facts.activities == (Activity("foo@example.com", at, at, 1),)
    assert facts.first == "2024-03-04T21:30:33Z"
    assert reading.kinds == ("config_snapshot", "validation")
    assert reading.format_label == "Argo CD application"


def test_a_later_id_with_an_earlier_revision_went_back() -> None:
    operation = {
        "finishedAt": "2026-01-31T09:02:30Z",
        "phase": "Succeeded",
        "operation": {"initiatedBy": {"username": "ada"}},
    }
    reading = read(application("a", "b", "a", "a", operationState=operation))
    assert reading.facts.rollbacks == (
        Rollback(
            "Application ns/x",
            "succeeded",
            "back",
            "b",
            "a",
            "ada",
            "2026-01-31T09:02:00Z",
            "2026-01-31T09:02:30Z",
        ),
        Rollback(
            "Application ns/x",
            "succeeded",
            "unknown",
            "a",
            "b",
            None,
            "2026-01-31T09:01:00Z",
            "2026-01-31T09:01:30Z",
        ),
    )
    assert "rollback" in reading.kinds
    value = application("a", "b", "a")
    value["status"]["history"].reverse()
    assert len(read(value).facts.rollbacks) == 2  # ids decide, not the order in the file


def test_a_new_revision_is_of_unknown_direction() -> None:
    reading = read(application("a", "b", first=9))
    (change,) = reading.facts.rollbacks
    assert (change.direction, change.from_, change.to) == ("unknown", "a", "b")
    assert "rollback" in reading.kinds  # a change of what runs, as any deployment is


def test_an_application_of_several_sources_has_several_revisions() -> None:
    value = application()
    value["status"]["history"] = [
        {"id": 0, "revisions": ["a", "b"]},
        {"id": 1, "revisions": ["c", "b"]},
    ]
    (change,) = read(value).facts.rollbacks
    assert (change.from_, change.to) == ("a, b", "c, b")


def test_an_operation_that_failed_is_said() -> None:
    operation = {"phase": "Failed", "operation": {"initiatedBy": {"automated": True}}}
    facts = read(application("a", operationState=operation)).facts
    assert facts.problems == ("the last operation failed",)
    assert facts.principals == ("automated sync",)


# All.


def test_hostile_values_are_left_out() -> None:
    hostile: tuple[Any, ...] = ([], {}, 7, None, True, "x" * 9999, [[{}]], {"a": [1]})
    bases = (json.loads(LIVE), yaml.safe_load(ARGO), yaml.safe_load(LIVE_YAML))
    for base in bases:
        for key, member in base.items():
            values = [base | {key: bad} for bad in hostile]
            for inner in member if isinstance(member, dict) else ():
                values += [base | {key: member | {inner: bad}} for bad in hostile]
            check(json.dumps(values).encode())
    role = made("Role", rules=[{"verbs": 7, "resources": {}}, {"verbs": [[], 7, "get"]}, 5])
    binding = made("RoleBinding", subjects=[7, {"kind": []}], roleRef=7)
    assert read(role, binding).facts.records == 2


def test_only_objects_are_claimed() -> None:
    detect = KubernetesParser().detect
    for data in (LIVE, LIVE_YAML, TEMPLATE, MASTER, SERVICE, ARGO):
        assert detect(data, "x") is Confidence.CERTAIN
    assert detect(b"\xef\xbb\xbf" + MASTER, "x") is Confidence.CERTAIN
    assert detect(LIVE[:1500], "x") is Confidence.LIKELY
    audit = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "x"}
    assert detect(json.dumps(audit).encode(), "x") is Confidence.NONE
    for data in (b"apiVersion: 7\nkind: x\n", b"apiVersion: v1\n", b"kind: Pod\n", b"{}"):
        assert detect(data, "deployment.yaml") is Confidence.NONE
    assert detect(b"  apiVersion: v1\n  kind: Pod\n", "x") is Confidence.NONE


def test_without_the_library_yaml_is_recognised_and_json_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    reading = check(ARGO)
    assert choose(ARGO, "x").name == "kubernetes"
    assert (reading.facts.version, reading.facts.records) == (0, 0)
    assert reading.facts.problems == ("not read: needs evidence-vault[formats]",)
    assert check(LIVE).facts.records == 1
