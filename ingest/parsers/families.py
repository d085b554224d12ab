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
    commands,
    generic,
    http_cassettes,
    langfuse,
    langsmith,
    mcp_messages,
    openai_agents,
    otel_cloudwatch,
    otlp_json,
    otlp_protobuf,
    provider_messages,
    span_dumps,
    trajectories,
)
from ingest.parsers.parser import Parser

KNOWN: tuple[Parser, ...] = (
    *agentdojo.PARSERS,
    *anthropic_agents.PARSERS,
    *claude_code.PARSERS,
    *cloudtrail.PARSERS,
    *commands.PARSERS,
    *http_cassettes.PARSERS,
    *langfuse.PARSERS,
    *langsmith.PARSERS,
    *mcp_messages.PARSERS,
    *openai_agents.PARSERS,
    *otel_cloudwatch.PARSERS,
    *otlp_json.PARSERS,
    *otlp_protobuf.PARSERS,
    *provider_messages.PARSERS,
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
