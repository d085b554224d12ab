"""Every family of formats that this package reads: name, module, and signs. See the package.

Modules are imported when a file with their signs is met; nothing registers itself on import.
`firstlook` says what signs are.
"""

from __future__ import annotations

import re

from ingest.parsers import archives, generic
from ingest.parsers.firstlook import Deferred, Signs
from ingest.parsers.parser import Parser

_EVENTS = (b"event:", b"data:", b"id:", b"retry:")
"""One of these opens a stream of server-sent events."""

_MCP_LOG = (b"Message from ", b"MCP server", b"Initializing server", b"] Server ")
_MCP_PARTS = (
    b'"jsonrpc"', b'"content"', b'"arguments"', b'"code"', b'"maxTokens"', b'"requestedSchema"',
    b'"url"', b'"action"', b'"level"', b'"progressToken"',
)  # fmt: skip
# Four of five different keys: of any two of them, one is there.
_SPAN = (
    (b'"trace_id"', b'"span_id"'),
    (b'"parent_span_id"', b'"attributes"'),
    (b'"start_time"', b'"trace_id"'),
)

KNOWN: tuple[Parser, ...] = (
    Deferred("agentdojo", "agentdojo", Signs(json=((b'"suite_name"',), (b'"pipeline_name"',)))),
    Deferred(
        "anthropic-managed-agent-events",
        "anthropic_agents",
        Signs(json=((b'"processed_at"', b'"sevt_', b"sessions."),)),
    ),
    Deferred("auditd", "auditd", Signs(either=((b"msg=audit(",),))),
    Deferred("securityhub-asff", "aws_findings", Signs(json=((b'"ProductArn"',),))),
    Deferred("guardduty", "aws_findings", Signs(json=((b'"guardduty"', b"etectorId"),))),
    Deferred("macie", "aws_findings", Signs(json=((b"esourcesAffected",),))),
    Deferred(
        "bedrock-guardrail",
        "bedrock_guardrail",
        Signs(either=((b"uardrail", b"GUARDRAIL", b"interactions:"),)),
    ),
    Deferred(
        "claude-code",
        "claude_code",
        Signs(
            json=(
                (
                    b'"sessionId"',
                    b'"leafUuid"',
                    b'"session_id"',
                    b'"parent_tool_use_id"',
                    b'"control_',
                ),
            )
        ),
    ),
    Deferred(
        "cloudtrail",
        "cloudtrail",
        # Four of eight different keys: of any five of them, one is there.
        Signs(
            json=((b'"eventID"', b'"eventName"', b'"eventTime"', b'"awsRegion"', b'"eventType"'),)
        ),
    ),
    Deferred(
        "cloudtrail-digest",
        "cloudtrail_digest",
        # Three of six.
        Signs(
            json=(
                (
                    b'"digestStartTime"',
                    b'"digestEndTime"',
                    b'"digestS3Object"',
                    b'"digestSignatureAlgorithm"',
                ),
            )
        ),
    ),
    Deferred("command", "commands", Signs(json=((b'"evault_command"',), (b'"argv"',)))),
    Deferred(
        "evault-bundle",
        "evault_bundle",
        Signs(either=((b"bagit.txt",),), start=re.compile(rb"PK\x03\x04")),
    ),
    Deferred("garak", "garak", Signs(json=((b'"entry_type"',),))),
    Deferred("gcp-audit", "gcp_audit", Signs(json=((b'"protoPayload"',),))),
    Deferred("git", "git_objects", Signs(text=())),
    Deferred(
        "github-actions",
        "github_actions",
        Signs(text=((b"jobs:",), (b"runs-on:", b"uses:", b"steps:"))),
    ),
    Deferred(
        "github-webhook",
        "github_webhooks",
        Signs(json=((b'"sender"', b'"node_id"', b'"ghsa_id"'),)),
    ),
    Deferred(
        "vcr-cassette",
        "http_cassettes",
        Signs(json=((b'"interactions"',),), text=((b"interactions:",),)),
    ),
    Deferred("jira", "jira", Signs(json=((b'"fields"',),))),
    Deferred(
        "kubernetes",
        "kubernetes",
        Signs(json=((b'"apiVersion"',), (b'"kind"',)), text=((b"apiVersion",), (b"kind",))),
    ),
    Deferred("k8s-audit", "kubernetes_audit", Signs(json=((b'"auditID"',),))),
    Deferred(
        "langfuse",
        "langfuse",
        # Four of six.
        Signs(
            json=(
                (b'"traceId"', b'"parentObservationId"', b'"observations"'),
                (b'"startTime"', b'"type"', b'"trace"'),
            )
        ),
    ),
    Deferred(
        "langsmith",
        "langsmith",
        # Three of five.
        Signs(
            json=(
                (b'"trace_id"', b'"run_type"', b'"session_name"'),
                (b'"dotted_order"', b'"start_time"', b'"run_type"'),
            )
        ),
    ),
    Deferred(
        "llm-config",
        "llm_config",
        Signs(
            json=((b'"agentId"',), (b'"agent"',)),
            text=(
                (
                    b"define ",
                    b"agent:",
                    b"models:",
                    b"rails:",
                    b"prompts:",
                    b"instructions:",
                    b"sample_conversation:",
                ),
            ),
        ),
    ),
    Deferred(
        "mcp-jsonrpc",
        "mcp_messages",
        Signs(json=((*_MCP_PARTS, *_MCP_LOG),), text=((*_MCP_LOG, *_EVENTS),)),
    ),
    Deferred(
        "azure-activity",
        "microsoft",
        Signs(
            json=(
                (
                    b'"event_timestamp"',
                    b'"eventTimestamp"',
                    b'"OperationNameValue"',
                    b'"authorization"',
                    b'"callerIpAddress"',
                ),
            )
        ),
    ),
    Deferred(
        "entra-signin",
        "microsoft",
        Signs(json=((b'"conditionalAccessStatus"', b'SignInLogs"'),)),
    ),
    Deferred("o365-audit", "microsoft", Signs(json=((b'"RecordType"', b'"AuditData"'),))),
    Deferred(
        "nemo-guardrails",
        "nemo_guardrails",
        Signs(
            json=((b'"activated_rails"',),),
            text=(
                (
                    b"activated_rails",
                    b"ActivatedRail(",
                    b"ExecutedAction(",
                    b"GenerationLog(",
                    b"_rail':",
                ),
            ),
        ),
    ),
    Deferred("ocsf", "ocsf", Signs(json=((b'"class_uid"',),))),
    Deferred("openai-agents-runstate", "openai_agents", Signs(json=((b'"$schemaVersion"',),))),
    Deferred(
        "openai-agents-trace",
        "openai_agents",
        Signs(json=((b'"trace"', b'"trace.span"'), (b'"object"',))),
    ),
    Deferred("otel-genai-cloudwatch", "otel_cloudwatch", Signs(json=((b"imeUnixNano",),))),
    Deferred(
        "otlp-json",
        "otlp_json",
        Signs(json=((b'"resourceSpans"', b'"resourceLogs"', b'"resourceMetrics"'),)),
    ),
    Deferred(
        "otlp-protobuf",
        "otlp_protobuf",
        # Field 1 of a request, behind the length that some framings put there; in it field 2.
        Signs(
            either=((b"\x12",),),
            start=re.compile(rb"\n|.{4}\n|[\x80-\xff]{0,10}[\x00-\x7f]\n", re.DOTALL),
        ),
    ),
    Deferred(
        "pagerduty",
        "pagerduty",
        Signs(
            json=((b'"incident_number"', b'"incident_key"', b'"escalation_policy"', b"pagerduty"),)
        ),
    ),
    Deferred("postgresql", "postgresql", Signs(json=((b'"error_severity"',),), text=())),
    Deferred("presidio", "presidio", Signs(json=((b'"entity_type"',), (b'"start"',), (b'"end"',)))),
    Deferred(
        "provider-messages",
        "provider_messages",
        Signs(
            json=(
                (
                    b'"messages"',
                    b'"input"',
                    b'"stop_reason"',
                    b'"chat.completion',
                    b'"content_block',
                    b'"message_',
                    b'"response',
                ),
            ),
            text=(_EVENTS,),
        ),
    ),
    Deferred("fast-agent", "provider_messages", Signs(json=((b'"fast',),))),
    Deferred("s3-access", "s3_access", Signs(either=((b"] ",),))),
    Deferred("sarif", "sarif", Signs(either=((b'"version"',), (b'"$schema"', b'"driver"')))),
    Deferred("servicenow", "servicenow", Signs(json=((b'"sys_id"',), (b'"number"',)))),
    Deferred("openinference", "span_dumps", Signs(json=(*_SPAN, (b'"openinference.',)))),
    Deferred("otel-genai-spans", "span_dumps", Signs(json=_SPAN)),
    Deferred(
        "terraform-state",
        "terraform_state",
        Signs(json=((b'"serial"',), (b'"version"',), (b'"lineage"', b'"terraform_version"'))),
    ),
    Deferred("atif", "trajectories", Signs(json=((b'"schema_version"',),))),
    Deferred(
        "swe-agent",
        "trajectories",
        Signs(json=((b'"trajectory"',), (b'"action"',), (b'"observation"',))),
    ),
    Deferred(
        "tau-bench",
        "trajectories",
        Signs(json=((b'"task_id"',), (b'"reward"',), (b'"traj"', b'"reward_info"'))),
    ),
    Deferred("web-access", "web_access", Signs(either=((b'] "',),))),
)
"""Parsers of known formats, families in alphabetical order."""

BUILT_IN: tuple[Parser, ...] = (
    *KNOWN,
    *archives.over((*KNOWN, *generic.PARSERS)),
    *generic.PARSERS,
)
"""Every parser of this package; among equally sure ones the earlier reads."""
