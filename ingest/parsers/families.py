"""Every family of formats that this package reads: one import and one entry each. See the package.

Nothing registers itself on import.
"""

from __future__ import annotations

from ingest.parsers import (
    agentdojo,
    anthropic_agents,
    archives,
    claude_code,
    cloudtrail,
    cloudtrail_digest,
    commands,
    gcp_audit,
    generic,
    http_cassettes,
    kubernetes_audit,
    langfuse,
    langsmith,
    mcp_messages,
    openai_agents,
    otel_cloudwatch,
    otlp_json,
    otlp_protobuf,
    provider_messages,
    s3_access,
    span_dumps,
    trajectories,
)
from ingest.parsers.parser import Parser

KNOWN: tuple[Parser, ...] = (
    *agentdojo.PARSERS,
    *anthropic_agents.PARSERS,
    *claude_code.PARSERS,
    *cloudtrail.PARSERS,
    *cloudtrail_digest.PARSERS,
    *commands.PARSERS,
    *gcp_audit.PARSERS,
    *http_cassettes.PARSERS,
    *kubernetes_audit.PARSERS,
    *langfuse.PARSERS,
    *langsmith.PARSERS,
    *mcp_messages.PARSERS,
    *openai_agents.PARSERS,
    *otel_cloudwatch.PARSERS,
    *otlp_json.PARSERS,
    *otlp_protobuf.PARSERS,
    *provider_messages.PARSERS,
    *s3_access.PARSERS,
    *span_dumps.PARSERS,
    *trajectories.PARSERS,
)
"""Parsers of known formats, families in alphabetical order."""

BUILT_IN: tuple[Parser, ...] = (
    *KNOWN,
    *archives.over((*KNOWN, *generic.PARSERS)),
    *generic.PARSERS,
)
"""Every parser of this package; among equally sure ones the earlier reads."""
