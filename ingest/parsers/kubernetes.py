"""Kubernetes objects: manifests as applied, and live ones with what became of them. JSON or YAML.

Read are single objects, many YAML documents in a file, and lists (`items`). Audit events, which
have a `kind` too, are none.

- An image is named by a digest, which stands for one image for ever, or by a tag, which does not.
- Rules of roles and bindings are permissions: of the role by name, and of each subject to it.
- A live workload has a revision (`deployment.kubernetes.io/revision`); its condition `Progressing`
  says how that rollout went, `Available` whether it works. Which way it went is only shown by a
  ReplicaSet that was rolled back to: its earlier revisions are in `revision-history`.
  A rollout that changed what runs makes the item a `rollback`, whichever way it went.
- Field managers act, when `managedFields` says; the kubelet and controllers are among them.
- Argo CD's applications are read by `argocd`, into the same facts.

Values of Secrets, environments and annotations never reach the facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ingest.parsers.argocd import is_application, take_application
from ingest.parsers.bounded import counted, said
from ingest.parsers.gathering import Gathered
from ingest.parsers.library import unread
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, objects, reach, surest, texts, word
from ingest.parsers.records import shape_of
from ingest.parsers.yamldocs import open_documents
from verify.facts import Config, Permission, Rollback, Validation

_KEYS = ("items",)
_JSON = re.compile(rb'"apiVersion"\s*:\s*"')
_JSON_KIND = re.compile(rb'"kind"\s*:\s*"')
_YAML = re.compile(
    rb"^(?:\xef\xbb\xbf)?['\"]?apiVersion['\"]?:[ \t]+['\"]?([a-z0-9][\w./-]*)", re.M
)
_YAML_KIND = re.compile(rb"^(?:\xef\xbb\xbf)?['\"]?kind['\"]?:[ \t]+['\"]?[A-Z]\w+", re.M)
_VERSION = re.compile(r"(?:[a-z0-9.-]+/)?v\d+(?:(?:alpha|beta)\d+)?", re.ASCII)
_AUDIT = "audit.k8s.io/"
_REVISION = "deployment.kubernetes.io/revision"
_HISTORY = "deployment.kubernetes.io/revision-history"
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_IMAGE = re.compile(
    r"(?P<name>(?:[^/@]+/)*[^/:@]+)(?::(?P<tag>[^/:@]+))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]{32,128}))?"
)
_PHASES = {
    "Successful": "passed",
    "Failed": "failed",
    "Error": "failed",
    "Inconclusive": "inconclusive",
    "Running": "pending",
    "Pending": "pending",
}
_STATUSES = {"True": "passed", "False": "failed"}


class KubernetesParser:
    """Reads objects, whatever their kind."""

    name = "kubernetes"
    version = 1
    kinds = ("config_snapshot", "permission_grant", "rollback", "validation")
    whole = True

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where an object says its version and kind at the top level."""
        del name
        if b"apiVersion" not in head or _AUDIT.encode() in head:
            return Confidence.NONE
        if shape_of(head, keys=_KEYS) is None:
            found = _YAML.search(head)
            known = found and _VERSION.fullmatch(found[1].decode())
            return Confidence.CERTAIN if known and _YAML_KIND.search(head) else Confidence.NONE
        if not _JSON.search(head) or not _JSON_KIND.search(head):
            return Confidence.NONE
        return surest(first_records(head, keys=_KEYS), _is_object)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every object; what is none counts as a bad record."""
        del name
        reader = open_documents(stream, keys=_KEYS, keep=("apiVersion", "kind"))
        if reader is None:
            return unread(self, self.name, "Kubernetes", self.kinds[:1])
        cluster = _Cluster()
        for offset, value in reader:
            for each in _listed(value):
                if _is_object(each):
                    cluster.take(each)
                else:
                    reader.note_bad(offset, "not an object of Kubernetes")
        return cluster.reading(self, reader)


def _is_object(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    version, kind = value.get("apiVersion"), value.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str) or version.startswith(_AUDIT):
        return False
    return _VERSION.fullmatch(version) is not None


def _listed(value: Any) -> Iterator[Any]:
    """The objects of a list; any other object itself."""
    if (
        _is_object(value)
        and value["kind"].endswith("List")
        and isinstance(value.get("items"), list)
    ):
        yield from value["items"]
    else:
        yield value


class _Cluster:
    """What the objects taken so far say."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.gathered.add("platforms", "kubernetes")
        self._kinds = {"config_snapshot"}
        self._counts: dict[str, int] = {}
        self._applications = 0
        self._live = 0

    def take(self, value: dict[str, Any]) -> None:
        """Take one object."""
        gathered = self.gathered
        gathered.record()
        kind, metadata = value["kind"].strip(), value.get("metadata")
        if len(self._counts) < 1000 or kind in self._counts:
            self._counts[kind] = self._counts.get(kind, 0) + 1
        name = _named(metadata)
        version = said(reach(metadata, "generation")) or said(reach(metadata, "resourceVersion"))
        gathered.keep(Config(f"kubernetes {kind}", name, version))
        gathered.time(reach(metadata, "creationTimestamp"))
        for managed in objects(reach(metadata, "managedFields")):
            at = gathered.time(managed.get("time"))
            gathered.activity(managed.get("manager"), at)
        self._take_pods(kind, name, metadata, value.get("spec"))
        if is_application(value):
            self._applications += 1
            self._kinds |= take_application(value, name, gathered)
        elif kind in ("Role", "ClusterRole"):
            self._take_rules(kind, name, value.get("rules"))
        elif kind in ("RoleBinding", "ClusterRoleBinding"):
            self._take_binding(name, metadata, value)
        elif kind == "Secret" and (value.get("data") or value.get("stringData")):
            gathered.count_problem("Secret", "with its values: handle the file as one")
        elif kind == "Config" and isinstance(value.get("users"), list):
            gathered.count_problem("kubeconfig", "with its credentials: handle the file as one")
        elif kind == "ReplicaSet":
            self._take_replica_set(metadata)
        elif kind == "AnalysisRun":
            self._take_analysis(name, value)
        if isinstance(value.get("status"), dict) and not is_application(value):
            self._take_status(kind, name, metadata, value["status"])

    def _take_pods(self, kind: str, name: str, metadata: Any, spec: Any) -> None:
        """The images and service accounts of all pods that the object describes."""
        gathered = self.gathered
        for pod in _pods(spec):
            account = pod.get("serviceAccountName") or pod.get("serviceAccount")
            if isinstance(account, str) and account:
                namespace = word(reach(metadata, "namespace")) or "default"
                user = f"system:serviceaccount:{namespace}:{account}"
                gathered.keep(Permission("run as", f"{kind} {name}", user, "granted"))
            for place in _CONTAINERS:
                for container in objects(pod.get(place)):
                    if container.get("image"):
                        self._image(container["image"])

    def _image(self, reference: object) -> None:
        match = _IMAGE.fullmatch(reference) if isinstance(reference, str) else None
        if match is None:
            self.gathered.count_problem("image", "whose name cannot be read")
            return
        tag = match["tag"] or (None if match["digest"] else "latest")
        self.gathered.keep(Config("image", match["name"], tag, match["digest"]))
        if not match["digest"]:
            self.gathered.count_problem("image", "named by a tag, which can move")

    def _take_rules(self, kind: str, name: str, rules: Any) -> None:
        """What a role allows: each verb on each resource."""
        self._kinds.add("permission_grant")
        for rule in objects(rules):
            named = rule.get("apiGroups")
            groups = (
                [each for each in named if isinstance(each, str)]
                if isinstance(named, list)
                else [""]
            )
            resources = [
                f"{group}/{resource}" if group else resource
                for group in groups
                for resource in texts(rule.get("resources"))
            ]
            resources += texts(rule.get("nonResourceURLs"))
            verbs = list(texts(rule.get("verbs")))
            for verb in verbs:
                for resource in resources:
                    self.gathered.keep(Permission(verb, f"{kind} {name}", resource, "granted"))
            if "*" in verbs or any(resource.endswith("*") for resource in resources):
                self.gathered.count_problem("rule", "of a role that allows all ('*')")

    def _take_binding(self, name: str, metadata: Any, value: dict[str, Any]) -> None:
        """Who has a role, and where."""
        self._kinds.add("permission_grant")
        role = f"{word(reach(value, 'roleRef', 'kind'))} {word(reach(value, 'roleRef', 'name'))}"
        namespace = word(reach(metadata, "namespace"))
        within = "cluster" if value["kind"].startswith("Cluster") else f"namespace {namespace}"
        for subject in objects(value.get("subjects")):
            who = word(subject.get("name"))
            if subject.get("kind") == "ServiceAccount":
                its = word(subject.get("namespace")) or namespace or "default"
                who = f"system:serviceaccount:{its}:{who}"
            elif subject.get("kind") == "Group":
                who = f"group {who}"
            self.gathered.keep(Permission(role, who, within, "granted"))

    def _take_replica_set(self, metadata: Any) -> None:
        """A ReplicaSet that was in use before: a rollout went back to it."""
        history = said(reach(metadata, "annotations", _HISTORY))
        revision = said(reach(metadata, "annotations", _REVISION))
        if not history or not revision:
            return
        owner = word(reach(metadata, "ownerReferences", 0, "name")) or word(reach(metadata, "name"))
        target = f"Deployment {word(reach(metadata, 'namespace')) or 'default'}/{owner}"
        earlier = history.rpartition(",")[2].strip()
        self._kinds.add("rollback")
        to = f"revision {earlier}, now {revision}"
        self.gathered.keep(Rollback(target, "unknown", "back", to=to))

    def _take_analysis(self, name: str, value: dict[str, Any]) -> None:
        """What measuring a rollout came to."""
        result = _PHASES.get(word(reach(value, "status", "phase")))
        if result is not None:
            at = self.gathered.time(reach(value, "status", "completedAt"))
            self._kinds.add("validation")
            self.gathered.keep(
                Validation(f"AnalysisRun {name}", result, None if at is None else at.text)
            )

    def _take_status(self, kind: str, name: str, metadata: Any, status: dict[str, Any]) -> None:
        """What became of a live object."""
        self._live += 1
        revision = said(reach(metadata, "annotations", _REVISION))
        subject = f"revision {revision}" if revision else None
        for container in objects(status.get("containerStatuses")):
            running = word(container.get("imageID")).partition("://")[2] or container.get("imageID")
            if isinstance(running, str) and "@" in running:
                self._image(running)
        for condition in objects(status.get("conditions")):
            kind_of = word(condition.get("type"))
            changed = self.gathered.time(condition.get("lastTransitionTime"))
            updated = self.gathered.time(condition.get("lastUpdateTime")) or changed
            self.gathered.time(condition.get("lastProbeTime"))
            result = _STATUSES.get(str(condition.get("status")), "unknown")
            at = None if changed is None else changed.text
            if kind_of in ("Available", "Ready", "Complete"):
                self._kinds.add("validation")
                self.gathered.keep(Validation(f"{kind} {name} {kind_of}", result, at, subject))
            elif kind_of == "Progressing" and revision and kind == "Deployment":
                if revision != "1":  # the first rollout goes back to nothing
                    self._kinds.add("rollback")
                ended = None if updated is None else updated.text
                state = _rollout(word(condition.get("reason")))
                self.gathered.keep(
                    Rollback(
                        f"{kind} {name}",
                        state,
                        to=subject,
                        at=ended if state in ("succeeded", "failed") else None,
                    )
                )

    def reading(self, parser: KubernetesParser, damage: Any) -> Reading:
        """The reading of these objects."""
        gathered = self.gathered
        if gathered.records and gathered.clock.quality == "none":
            gathered.add("not_captured", "times")
        only_argo = self._applications and self._applications == gathered.records
        form = "argocd" if only_argo else "kubernetes"
        order = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        what = ", ".join(f"{number:,} {kind}" for kind, number in order[:4])
        what += " and more" if order[4:] else ""
        told = f"{counted(gathered.records, 'object')}: {what}" if what else "no objects"
        if self._live:
            told += f"; {self._live:,} live"
        kinds = tuple(kind for kind in parser.kinds if kind in self._kinds)
        label = "Argo CD application" if only_argo else "Kubernetes"
        return Reading(gathered.facts(parser, form, damage), kinds, label, told)


def _named(metadata: Any) -> str:
    name = word(reach(metadata, "name")) or word(reach(metadata, "generateName")) or "(unnamed)"
    namespace = word(reach(metadata, "namespace"))
    return f"{namespace}/{name}" if namespace else name


def _pods(value: Any) -> Iterator[dict[str, Any]]:
    """Whatever lists containers, wherever it lies in a specification."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if any(isinstance(each.get(place), list) for place in _CONTAINERS):
                yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _rollout(reason: str) -> str:
    if reason == "NewReplicaSetAvailable":
        return "succeeded"
    return "failed" if reason == "ProgressDeadlineExceeded" else "started"


PARSERS = (KubernetesParser(),)
