"""Argo CD applications: what was deployed, when, and whether it went back. No I/O.

The history lists the deployments that are still remembered, by a rising id. Going back means that a
later id has a revision that an earlier one had, with another in between. A revision that was not
seen before may be newer or older than what the history has forgotten: its direction is unknown.
Deploying the same revision again changes nothing, and is only counted.
"""

from __future__ import annotations

from typing import Any

from ingest.parsers.bounded import said
from ingest.parsers.gathering import Gathered
from ingest.parsers.reach import objects, reach, texts, word
from ingest.parsers.times import Time
from verify.facts import Config, Rollback, Validation

_HEALTH = {
    "Healthy": "passed",
    "Degraded": "failed",
    "Missing": "failed",
    "Progressing": "pending",
}
_PHASES = {"Succeeded": "succeeded", "Failed": "failed", "Error": "failed", "Running": "started"}


def is_application(value: dict[str, Any]) -> bool:
    """Whether an object of Kubernetes is an application."""
    return value.get("kind") == "Application" and str(value.get("apiVersion")).startswith(
        "argoproj.io/"
    )


def take_application(value: dict[str, Any], name: str, gathered: Gathered) -> set[str]:
    """Take one application; the kinds of evidence it has shown to be."""
    gathered.add("platforms", "argocd")
    status, kinds = value.get("status"), set[str]()
    target = f"Application {name}"
    for source in (
        *objects(reach(value, "spec", "source")),
        *objects(reach(value, "spec", "sources")),
    ):
        repository, revision = source.get("repoURL"), source.get("targetRevision")
        gathered.keep(Config("argocd source", word(repository), said(revision)))
    synced = _revision(reach(status, "sync"))
    if synced:
        gathered.keep(Config("argocd synced", target, synced))
    for image in texts(reach(status, "summary", "images")):
        repository, _, digest = image.partition("@")
        repository, tag = _split(repository)
        gathered.keep(Config("image", repository, tag, digest or None))
        if not digest:
            gathered.count_problem("image", "named by a tag, which can move")
    at = gathered.time(reach(status, "reconciledAt"))
    if health := _HEALTH.get(word(reach(status, "health", "status"))):
        kinds.add("validation")
        gathered.keep(Validation(f"{target} health", health, _text(at), synced))
    actor = _take_operation(reach(status, "operationState"), gathered)
    if _take_history(target, reach(status, "history"), actor, gathered):
        kinds.add("rollback")
    return kinds


def _take_operation(operation: Any, gathered: Gathered) -> tuple[str | None, str | None]:
    """Who started the last operation, and when it ended: the deployment that ends then is its."""
    gathered.time(reach(operation, "startedAt"))
    ended = gathered.time(reach(operation, "finishedAt"))
    by = reach(operation, "operation", "initiatedBy")
    who = said(reach(by, "username")) or ("automated sync" if reach(by, "automated") else None)
    gathered.activity(who, ended)
    phase = _PHASES.get(word(reach(operation, "phase")))
    if phase == "failed":
        gathered.problem("the last operation failed")
    return who, _text(ended)


def _take_history(
    target: str, history: Any, operation: tuple[str | None, str | None], gathered: Gathered
) -> bool:
    """The changes of revision; whether there was one, in whichever direction."""
    entries = [(each["id"], each) for each in objects(history) if isinstance(each.get("id"), int)]
    entries.sort(key=lambda entry: entry[0])
    if entries and entries[0][0] > 0:
        gathered.problem(
            f"{target}: the history begins at id {entries[0][0]}, what was before is gone"
        )
        gathered.add("not_captured", "earlier deployments")
    before: set[str] = set()
    current: str | None = None
    changed = again = 0
    for _, entry in entries:
        started = gathered.time(entry.get("deployStartedAt"))
        ended = gathered.time(entry.get("deployedAt"))
        revision = _revision(entry)
        if revision is None:
            continue
        if revision == current:
            again += 1
        elif current is not None:
            back = revision in before
            changed += 1
            actor, finished = operation
            gathered.keep(
                Rollback(
                    target,
                    "succeeded",
                    "back" if back else "unknown",
                    from_=current,
                    to=revision,
                    actor=actor if finished is not None and finished == _text(ended) else None,
                    started_at=_text(started),
                    at=_text(ended),
                )
            )
        before.add(revision)
        current = revision
    gathered.keep(Config("argocd deployed", target, current))
    if again:
        gathered.count_problem("deployment", "of the revision that ran already", again)
    return changed > 0


def _revision(value: Any) -> str | None:
    """The revision, or those of an application with several sources."""
    return said(reach(value, "revision")) or said(", ".join(texts(reach(value, "revisions"))))


def _split(image: str) -> tuple[str, str | None]:
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, None)


def _text(time: Time | None) -> str | None:
    return None if time is None else time.text
