"""One attestation of each type with every field that it may have (FORMAT.md §4.10)."""

from __future__ import annotations

from typing import Any

AT = "2026-03-02T09:10:00Z"
LATER = "2026-03-02T09:20:00Z"
LAST = "2026-03-02T09:25:00Z"

FULL: dict[str, dict[str, Any]] = {
    "acknowledgement": {"at": AT, "person": "Ada", "alert": "EV-0001"},
    "freeze": {"at": AT, "systems": ["crm", "mail"], "principals": ["agent-7"]},
    "kill_switch": {"at": AT, "systems": ["crm"]},
    "isolation": {"at": AT, "targets": ["connector:mail", "dataset:customers"]},
    "rollback": {
        "action": "RB-1",
        "started_at": AT,
        "ended_at": LATER,
        "target": "crm-agent prompt",
        "from_digest": "9f2c1e0",
        "to_digest": "41d0aa7",
        "result": "succeeded",
        "person": "Linus",
    },
    "validation": {
        "at": LATER,
        "ended_at": LAST,
        "action": "RB-1",
        "subject": "41d0aa7",
        "checks": ["targeted_tests", "dry_run", "slo", "data_integrity", "user_path", "rollback"],
        "result": "passed",
    },
    "permissions_revalidated": {
        "at": AT,
        "document": "EV-0001",
        "principals": ["agent-7"],
        "tightened": "yes",
    },
    "re_enable": {"at": AT, "systems": ["crm"], "stage": "10 percent", "monitoring": "yes"},
    "slo_check": {
        "at": AT,
        "systems": ["crm"],
        "checks": ["slo", "data_integrity", "user_path"],
        "result": "failed",
    },
    "logging": {"at": AT, "enhanced": "on", "stable_at": LATER},
    "page": {"at": AT, "team": "sre", "delivered_at": LATER, "acknowledged_at": LAST},
    "notice": {
        "at": AT,
        "audience": "legal",
        "channel": "mail",
        "delivered_at": LATER,
        "accepted_at": LAST,
    },
    "approval": {
        "of": "RB-1",
        "approver": "Grace",
        "requester": "Linus",
        "role": "governance_steward",
        "approved_at": AT,
        "effective_from": LATER,
        "subject": "41d0aa7",
    },
    "alignment": {
        "at": AT,
        "document": "rulebook",
        "result": "deviates",
        "deviation": "rule 7: two reviewers",
    },
    "postmortem_published": {
        "at": AT,
        "exhibit": "EV-0001",
        "reviewer": "Grace",
        "author": "Ada",
    },
    "nil_return": {
        "kinds": ["dlp_finding"],
        "system": "mail",
        "detector": "dlp-gateway",
        "from": AT,
        "to": LATER,
        "query": "incidents where channel = mail",
    },
    "not_applicable": {"item": "C5", "reason": "nothing was changed"},
    "applies": {"item": "C5", "reason": "the prompt was rolled back after all"},
    "finding": {
        "conflict": "C2.models",
        "believed": "EV-0001",
        "disbelieved": ["statement"],
        "reason": "the provider's log is signed",
    },
}

OPTIONAL: dict[str, tuple[str, ...]] = {
    "acknowledgement": ("alert",),
    "freeze": ("systems", "principals"),
    "kill_switch": (),
    "isolation": (),
    "rollback": ("from_digest", "to_digest", "person"),
    "validation": ("ended_at", "action", "subject"),
    "permissions_revalidated": ("principals",),
    "re_enable": (),
    "slo_check": ("systems",),
    "logging": ("stable_at",),
    "page": ("delivered_at", "acknowledged_at"),
    "notice": ("channel", "delivered_at", "accepted_at"),
    "approval": ("effective_from", "subject"),
    "alignment": ("deviation",),
    "postmortem_published": (),
    "nil_return": ("system", "detector"),
    "not_applicable": (),
    "applies": (),
    "finding": ("disbelieved",),
}
