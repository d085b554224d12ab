"""Reports, tickets and configurations: every real file is recognised, and what it says stands.

Files are the copied samples, always, and those of `../shared/data`, where that folder is. What is
expected of a file was read in it by eye, or is read here in a few plain lines.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from damage import check

from ingest.parsers import HEAD_SIZE, Confidence, recognise
from verify.facts import Facts

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "tests" / "data", ROOT.parent / "shared" / "data")

FORMATS = {
    "argocd/*.yaml": ("kubernetes", "argocd"),
    "bedrock-guardrail/*.json*": ("bedrock-guardrail", "bedrock-guardrail"),
    "bedrock-guardrail/*.yaml": ("bedrock-guardrail", "bedrock-guardrail"),
    "garak/*.jsonl": ("garak", "garak"),
    "git-objects/**/*.bin": ("git", "git"),
    "git-objects/**/*.commit": ("git", "git"),
    "git-objects/**/*.txt": ("git", "git"),
    "github-actions/*.y*ml": ("github-actions", "github-actions"),
    "github-webhooks/*.json": ("github-webhook", "github-webhook"),
    "guardduty/*.json": ("guardduty", "guardduty"),
    "jira/*.json": ("jira", "jira"),
    "k8s-manifests/**/*.yaml": ("kubernetes", "kubernetes"),
    "k8s-rollout/*.json": ("kubernetes", "kubernetes"),
    "k8s-rollout/*.yaml": ("kubernetes", "kubernetes"),
    "llm-config/**/*.co": ("llm-config", "colang"),
    "llm-config/**/*.json": ("llm-config", "bedrock-agent"),
    "llm-config/**/*.yml": ("llm-config", "nemo-config"),
    "macie/*.json": ("macie", "macie"),
    "nemo-guardrails/*.txt": ("nemo-guardrails", "nemo-guardrails"),
    "pagerduty/*.json": ("pagerduty", "pagerduty"),
    "presidio/*.json": ("presidio", "presidio"),
    "sarif/*.sarif": ("sarif", "sarif"),
    "securityhub-asff/*.json": ("securityhub-asff", "securityhub-asff"),
    "servicenow/*.log": ("servicenow", "servicenow"),
    "terraform-state/*": ("terraform-state", "terraform-state"),
}


def files(*patterns: str) -> list[Any]:
    return [
        pytest.param(path, id=str(path.relative_to(folder))[-60:])
        for folder in FOLDERS
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if path.name != "SOURCE.md"
    ]


def facts_of(path: Path) -> Facts:
    return check(path.read_bytes(), path.name).facts


EVERY = [
    pytest.param(param.values[0], *expected, id=param.id)
    for pattern, expected in FORMATS.items()
    for param in files(pattern)
]


@pytest.mark.parametrize(("path", "parser", "form"), EVERY)
def test_every_file_is_recognised_as_what_it_is(path: Path, parser: str, form: str) -> None:
    head = path.read_bytes()[:HEAD_SIZE]
    chosen, sure = recognise(head, "without a name")
    assert (chosen.name, sure) == (parser, Confidence.CERTAIN)
    reading = check(path.read_bytes(), path.name)
    assert (reading.facts.parser, reading.facts.format) == (parser, form)
    assert reading.facts.records > 0
    assert reading.facts.bad_records == 0
    assert reading.summary


def test_no_file_is_left_out() -> None:
    """Each folder's files are of the patterns above, so that none is skipped unseen."""
    names = {pattern.partition("/")[0] for pattern in FORMATS}
    for folder in FOLDERS:
        there = {
            path
            for name in names
            for path in (folder / name).rglob("*")
            if path.is_file() and path.name != "SOURCE.md"
        }
        assert there <= {path for pattern in FORMATS for path in folder.glob(pattern)}


@pytest.mark.parametrize("path", files("git-objects/**/*.commit"))
def test_a_commit_has_the_id_that_its_name_states(path: Path) -> None:
    data = path.read_bytes()
    identifier = hashlib.sha1(b"commit %d\0" % len(data) + data).hexdigest()
    verdicts = {
        each.name: each.result for each in facts_of(path).verdicts if each.subject == identifier
    }
    assert path.stem == identifier
    assert verdicts["git object id"] == "passed"


@pytest.mark.parametrize("path", files("git-objects/**/*.ls-tree.txt"))
def test_a_listing_comes_to_the_tree_of_its_commit(path: Path) -> None:
    commit = path.with_name(path.name.replace(".ls-tree.txt", ".commit")).read_bytes()
    (config,) = facts_of(path).configs
    assert commit.startswith(f"tree {config.digest}\n".encode())


@pytest.mark.parametrize("path", files("bedrock-guardrail/*"))
def test_a_guardrail_finds_what_it_says_to_have_detected(path: Path) -> None:
    """Rows that were detected, or of a body without that word those that acted."""
    text = path.read_text()
    if path.suffix == ".yaml":
        body = yaml.safe_load(text)["interactions"][0]["response"]["body"]["string"]
        text = body if isinstance(body, str) else body.decode("latin-1")
    detected = text.count('"detected":true')
    if '"detected"' not in text:
        detected = len(re.findall(r'"action":"(?:BLOCKED|ANONYMIZED)"', text))
    facts = facts_of(path)
    assert sum(each.count for each in facts.findings) == detected > 0
    assert ("times" in facts.not_captured) == (facts.first is None)


@pytest.mark.parametrize("path", files("terraform-state/*"))
def test_a_state_names_its_lineage_serial_and_resources(path: Path) -> None:
    state = json.loads(path.read_bytes())
    facts = facts_of(path)
    versions = {(each.kind, each.name): each.version for each in facts.configs}
    assert versions["state", state["lineage"]] == str(state["serial"])
    assert facts.records == len(state["resources"])
    for each in state["resources"]:
        assert (f"terraform {each['type']}", f"{each['type']}.{each['name']}") in versions


@pytest.mark.parametrize("path", files("k8s-manifests/**/*.yaml", "k8s-rollout/*"))
def test_objects_and_images_are_those_of_a_plain_reading(path: Path) -> None:
    objects = [each for each in yaml.safe_load_all(path.read_bytes()) if each]
    images = sorted(set(re.findall(r"""["']?image["']?:\s*["']?([^"'\s,]+)""", path.read_text())))
    images = [each for each in images if ":" in each and "\\" not in each]
    facts = facts_of(path)
    assert facts.records == len(objects)
    named = {each.name for each in facts.configs if each.kind.startswith("kubernetes ")}
    for each in objects:
        namespace = each["metadata"].get("namespace")
        name = each["metadata"]["name"]
        assert (f"{namespace}/{name}" if namespace else name) in named
    told = [f"{each.name}:{each.version}" for each in facts.configs if each.kind == "image"]
    assert told == images


@pytest.mark.parametrize("path", files("sarif/*.sarif"))
def test_results_of_sarif_are_counted(path: Path) -> None:
    runs = json.loads(path.read_text(encoding="utf-8-sig"))["runs"]
    facts = facts_of(path)
    assert facts.records == len(runs)
    assert sum(each.count for each in facts.findings) == sum(len(each["results"]) for each in runs)
    assert {each.detector for each in facts.findings} <= {
        each["tool"]["driver"]["name"] for each in runs
    }


@pytest.mark.parametrize("path", files("github-webhooks/*.json"))
def test_the_sender_acted_and_the_repositorys_owner_is_the_account(path: Path) -> None:
    payload = json.loads(path.read_bytes())
    facts = facts_of(path)
    assert facts.principals == (payload["sender"]["login"],)
    assert payload["repository"]["owner"]["login"] in facts.accounts
    assert facts.clock == "zoned"


@pytest.mark.parametrize("path", files("servicenow/*.log", "jira/issues*.json", "pagerduty/*.json"))
def test_tickets_have_the_numbers_and_titles_of_their_records(path: Path) -> None:
    text = path.read_text()
    facts = facts_of(path)
    assert facts.tickets
    for ticket in facts.tickets:
        assert f'"{ticket.id}"' in text
        assert ticket.title == "(no summary)" or f'"{ticket.title}"' in text
    if "servicenow" in path.parts:
        assert (facts.clock, facts.first) == ("unzoned", None)
