"""One table of all samples: for each built-in parser, the files of `tests/data` that it reads.

A family adds a line for each of its parsers. Patterns are those of `Path.glob`; a file that only
documents the samples (SOURCE.md, LICENSE) is never one.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from made_git import BUNDLE, COMMIT, PACK, loose

DATA = Path(__file__).parents[1] / "data"
CUT = 64 << 10
"""Samples are read up to here, so that each damaged copy costs little."""

PATTERNS: dict[str, tuple[str, ...]] = {
    "agentdojo": ("agentdojo/*",),
    "anthropic-managed-agent-events": ("anthropic-managed-agent-events/*",),
    "atif": ("atif/*",),
    "auditd": ("auditd/*",),
    "azure-activity": ("azure-activity/*",),
    "bedrock-guardrail": ("bedrock-guardrail/*",),
    "claude-code": ("claude-code/*",),
    "cloudtrail": ("cloudtrail/*", "cloudtrail-zoneless/*"),
    "cloudtrail-digest": ("cloudtrail-digest/*",),
    "entra-signin": ("entra-signin/*",),
    "fast-agent": ("fast-agent/*",),
    "garak": ("garak/*",),
    "gcp-audit": ("gcp-audit/*",),
    "git": ("git-objects/*.bin", "git-objects/*.txt"),
    "github-actions": ("github-actions/*",),
    "github-webhook": ("github-webhooks/*",),
    "guardduty": ("guardduty/*",),
    "jira": ("jira/*",),
    "k8s-audit": ("k8s-audit/*",),
    "kubernetes": ("argocd/*", "k8s-manifests/*", "k8s-rollout/*"),
    "langfuse": ("langfuse/*",),
    "langsmith": ("langsmith/*",),
    "llm-config": ("llm-config/*",),
    "macie": ("macie/*",),
    "mcp-jsonrpc": ("mcp-jsonrpc/*",),
    "nemo-guardrails": ("nemo-guardrails/*",),
    "o365-audit": ("o365-audit/*",),
    "ocsf": ("ocsf/*",),
    "openai-agents-runstate": ("openai-agents-runstate/*",),
    "openai-agents-trace": ("openai-agents-trace/*",),
    "openinference": ("openinference/*",),
    "otel-genai-cloudwatch": ("otel-genai-cloudwatch/*",),
    "otel-genai-spans": ("otel-genai-spans/*",),
    "otlp-json": ("otlp-json/*",),
    "otlp-protobuf": ("otlp-protobuf/*",),
    "pagerduty": ("pagerduty/*",),
    "postgresql": ("pgaudit/*",),
    "presidio": ("presidio/*",),
    "provider-messages": ("provider-messages/*",),
    "s3-access": ("s3-access/*",),
    "sarif": ("sarif/*",),
    "securityhub-asff": ("securityhub-asff/*",),
    "servicenow": ("servicenow/*",),
    "swe-agent": ("swe-agent/*",),
    "tau-bench": ("tau-bench/*",),
    "terraform-state": ("terraform-state/*",),
    "vcr-cassette": ("vcr-cassette/*",),
    "web-access": ("web-access/*",),
}

MEMBERS = {
    "d/run.json": (DATA / "agentdojo" / "baseline.json").read_bytes(),
    "d/words.txt": b"first\nsecond\n",
}


COMMAND = b"""{
 "argv": ["kubectl", "get", "events"],
 "ended_at": "2026-01-31T09:30:02Z",
 "evault_command": 1,
 "exit_code": 0,
 "folder": "/home/ada",
 "program": {"path": "/usr/bin/kubectl", "sha256": "%s", "size": 7},
 "query": {"from": "2026-01-31T09:00:00Z", "source": "k8s", "system": "agent", "to": "2026-01-31T09:30:00Z"},
 "signal": null,
 "started_at": "2026-01-31T09:30:01Z",
 "stderr": {"sha256": "%s", "size": 0},
 "stdout": {"sha256": "%s", "size": 0}
}
""" % (b"0" * 64, b"1" * 64, b"1" * 64)  # noqa: E501


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The members as a zip, the same bytes each time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return packed.getvalue()


def tarred(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """The members as a tar, the same bytes each time."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def bundle() -> bytes:
    """The bundle of the worked example, packed so that all of it is below `CUT`."""
    worked = DATA.parent / "golden" / "worked-example" / "bundle.zip"
    with zipfile.ZipFile(worked) as archive:
        return zipped({name: archive.read(name) for name in archive.namelist()})


MADE: dict[str, dict[str, bytes]] = {
    "command": {"run": COMMAND},
    "empty": {"nothing": b""},
    "evault-bundle": {"bundle.zip": bundle()},
    "git": {"bundle": BUNDLE, "loose": loose("commit", COMMIT), "pack": PACK},
    "json": {
        "lines": b'{"a": 1}\n{"b": [2, "\xc3\xa9"]}\n' * 9,
        "list": b'[{"a": {"b": null}}, 2]\n',
    },
    "text": {"lines": b"first\nsecond \xc3\xa9\n\nlast without end"},
    "tar": {"members": tarred(MEMBERS)},
    "zip": {"members": zipped(MEMBERS)},
    "binary": {"bytes": bytes(range(256)) * 4},
}
"""Samples of what has no format of its own, and so no source."""


def paths_of(parser: str) -> list[Path]:
    """The sample files of a parser, in a fixed order."""
    return sorted(
        path
        for pattern in PATTERNS.get(parser, ())
        for path in DATA.glob(pattern)
        if path.is_file() and not path.name.startswith(("SOURCE", "LICENSE"))
    )


def samples() -> list[tuple[str, str, bytes]]:
    """Every sample as parser, name and bytes, cut to `CUT`."""
    made = [(parser, name, data) for parser, files in MADE.items() for name, data in files.items()]
    found = [
        (parser, path.name, path.read_bytes()[:CUT])
        for parser in PATTERNS
        for path in paths_of(parser)
    ]
    return made + found
