"""Terraform state, agents' and guardrails' configuration, workflows: versions, and no secrets."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from damage import check

from ingest.parsers import Confidence, Parser, Reading
from ingest.parsers.github_actions import GitHubActionsParser
from ingest.parsers.llm_config import LlmConfigParser, digest_of
from ingest.parsers.terraform_state import TerraformStateParser
from verify.facts import Config, Model, Permission

DATA = Path(__file__).parents[1] / "data"
BUCKETS = (DATA / "terraform-state" / "aws_s3_full__terraform.tfstate").read_bytes()
POLICIES = (
    DATA / "terraform-state" / "aws_iam_user_policy_multiple__terraform.tfstate"
).read_bytes()
BEDROCK = (DATA / "llm-config" / "bedrock_config.json").read_bytes()
NEMO = (DATA / "llm-config" / "config.yml").read_bytes()
PROMPTS = (DATA / "llm-config" / "prompts.yml").read_bytes()
COLANG = (DATA / "llm-config" / "disallowed.co").read_bytes()
WORKFLOW = (DATA / "github-actions" / "python-CI.yaml").read_bytes()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read(value: Any) -> Reading:
    return check(json.dumps(value).encode())


# Terraform.


def test_a_state_is_a_serial_of_a_lineage() -> None:
    for data, serial, resources in ((BUCKETS, "398", 26), (POLICIES, "556", 12)):
        reading = check(data)
        state = json.loads(data)
        assert (str(state["serial"]), len(state["resources"])) == (serial, resources)
        assert (
            Config("state", "b4b284a7-9835-6ae1-b6c5-21100080f61e", serial) in reading.facts.configs
        )
        assert Config("program", "terraform", "0.12.26") in reading.facts.configs
        assert reading.facts.records == resources
        assert reading.facts.platforms == ("aws",)  # the old form is `provider.aws`
        assert reading.facts.not_captured == ("times",)


def test_policies_say_who_may_do_what() -> None:
    reading = check(POLICIES)
    users = {
        each["instances"][0]["attributes"]["user"] for each in json.loads(POLICIES)["resources"]
    }
    assert reading.facts.permissions == tuple(
        Permission("ec2:Describe*", f"aws_iam_user_policy {user}", "*", "granted")
        for user in sorted(users)
    )
    assert reading.kinds == ("config_snapshot", "permission_grant")
    assert check(BUCKETS).kinds == ("config_snapshot",)
    assert "s3://bucket-martin-test-drift" in check(BUCKETS).facts.datasets


def state(*resources: Any, **members: Any) -> dict[str, Any]:
    base = {"version": 4, "terraform_version": "1.9.0", "serial": 3, "lineage": "l-1"}
    return base | {"outputs": {"key": {"value": "hunter2"}}, "resources": list(resources)} | members


def resource(kind: str = "aws_db_instance", **attributes: Any) -> dict[str, Any]:
    return {
        "mode": "managed",
        "type": kind,
        "name": "x",
        "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
        "instances": [{"attributes": attributes, "private": "aHVudGVyMg=="}],
    }


def test_no_attribute_reaches_the_facts() -> None:
    reading = read(
        state(resource(password="hunter2", id="hunter2", arn="arn:aws:rds:eu:123456789012:db:x"))
    )
    told = json.dumps(reading.facts.to_json()) + reading.summary
    assert "hunter2" not in told
    assert "aHVudGVyMg" not in told
    assert reading.facts.accounts == ("123456789012",)
    assert reading.facts.platforms == ("aws",)


def test_what_a_policy_excepts_is_marked_so() -> None:
    policy = {
        "Statement": [
            {"Effect": "Deny", "NotAction": "iam:*", "NotResource": ["a", "b"]},
            {"Effect": "Allow", "Action": ["sts:AssumeRole"]},
        ]
    }
    facts = read(state(resource("aws_iam_role_policy", role="r", policy=json.dumps(policy)))).facts
    assert facts.permissions == (
        Permission("!iam:*", "aws_iam_role_policy r", "!a", "denied"),
        Permission("!iam:*", "aws_iam_role_policy r", "!b", "denied"),
        Permission("sts:AssumeRole", "aws_iam_role_policy r", "(this role)", "granted"),
    )


def test_modules_data_and_tainted_instances() -> None:
    inner = resource() | {"module": "module.db"}
    inner["instances"][0]["status"] = "tainted"
    reading = read(state(inner, resource() | {"mode": "data"}))
    assert [each.name for each in reading.facts.configs if each.kind.startswith("terraform ")] == [
        "data.aws_db_instance.x",
        "module.db.aws_db_instance.x",
    ]
    assert reading.facts.problems == ("1 instance that is tainted",)
    assert reading.summary == "serial 3 of lineage l-1, 1 resource managed, 1 read"


def test_version_3_lists_modules() -> None:
    primary = {"id": "x", "attributes": {"arn": "arn:aws:s3:eu:123456789012:x", "bucket": "b"}}
    old = {
        "version": 3,
        "terraform_version": "0.11.14",
        "serial": 12,
        "lineage": "l-1",
        "modules": [
            {
                "path": ["root"],
                "outputs": {},
                "resources": {
                    "aws_s3_bucket.b": {
                        "type": "aws_s3_bucket",
                        "primary": primary,
                        "provider": "provider.aws",
                    },
                    "data.aws_ami.a": {"type": "aws_ami", "primary": {}},
                },
            },
            {"path": ["root", "net"], "resources": {"aws_vpc.v": {"type": "aws_vpc"}}},
        ],
    }
    reading = read(old)
    assert reading.summary == "serial 12 of lineage l-1, 2 resources managed, 1 read"
    assert reading.facts.datasets == ("s3://b",)
    names = [each.name for each in reading.facts.configs if each.kind.startswith("terraform ")]
    assert sorted(names) == ["aws_s3_bucket.b", "data.aws_ami.a", "root.net.aws_vpc.v"]


def test_the_state_itself_is_kept_where_there_is_no_room_for_all() -> None:
    facts = read(state(*(resource() | {"name": f"x{n:04}"} for n in range(300)))).facts
    assert facts.capped == ("configs",)
    assert Config("state", "l-1", "3") in facts.configs


def test_a_state_without_lineage_cannot_be_compared() -> None:
    without = state()
    del without["lineage"]
    assert read(without).facts.parser == "terraform-state"
    facts = read(state(lineage="")).facts
    assert facts.problems == ("no lineage: it cannot be compared with other states",)


# Bedrock agents.


def test_an_agent_with_its_model_prompts_and_guardrail() -> None:
    reading = check(BEDROCK)
    facts = reading.facts
    agent = json.loads(BEDROCK)["agent"]
    assert facts.format == "bedrock-agent"
    assert facts.models == (
        Model("anthropic.claude-3-5-sonnet-20241022-v2:0", 1, 0, "exact"),
        Model(
            "arn:aws:bedrock:us-west-2::foundation-model/amazon.titan-embed-text-v2:0",
            2,
            0,
            "exact",
        ),
    )
    assert Config("agent", "4PEPHTCAHB", "16") in facts.configs
    assert Config("guardrail", "1osayeole3j5", "DRAFT") in facts.configs
    assert facts.problems == ("guardrail version DRAFT: it can change without a new version",)
    digest = sha256(agent["instruction"])
    assert Config("prompt", "4PEPHTCAHB/instruction", None, digest) in facts.configs
    prompts = [each.name for each in facts.configs if each.kind == "prompt"]
    assert prompts == [
        "4PEPHTCAHB/MEMORY_SUMMARIZATION",
        "4PEPHTCAHB/ORCHESTRATION",
        "4PEPHTCAHB/POST_PROCESSING",
        "4PEPHTCAHB/PRE_PROCESSING",
        "4PEPHTCAHB/instruction",
    ]
    tools = {each.name: each.version for each in facts.configs if each.kind == "tool"}
    assert tools["s3manager/deleteBucket"] == "confirmation DISABLED"
    assert tools["insuranceclaimsapi/send-reminders"] is None
    assert len(tools) == 8
    assert (facts.first, facts.last) == (
        "2025-05-14T22:59:37.056959Z",
        "2025-07-01T00:12:46.296254Z",
    )
    assert facts.permissions[0].resource == agent["agentResourceRoleArn"]
    assert len(facts.datasets) == 3
    assert reading.kinds == ("model_config", "config_snapshot", "permission_grant")


def test_prompts_are_in_the_facts_as_digests_only() -> None:
    for data in (BEDROCK, NEMO, PROMPTS):
        told = json.dumps(check(data).facts.to_json())
        for text in ("You're an agent", "conversation between", "Company policy"):
            assert text not in told


def test_a_template_that_is_an_object_has_the_digest_of_its_json() -> None:
    template = {"b": [1, 2.5], "a": "ü"}
    assert digest_of(template) == sha256('{"a":"ü","b":[1,2.5]}')
    assert digest_of("text") == sha256("text")


def test_an_agent_alone_and_at_draft() -> None:
    agent = {"agentId": "A1", "agentVersion": "DRAFT", "foundationModel": "us.anthropic.claude-x"}
    reading = read({"agent": agent})
    assert reading.facts.models == (Model("us.anthropic.claude-x", 1, 0, "floating"),)
    assert reading.facts.problems == ("agent version DRAFT: it can change without a new version",)
    assert reading.kinds == ("model_config", "config_snapshot")
    other = {"agent": {"agentId": "A2", "version": "3", "foundationModel": "m"}}
    facts = read({"agent": agent, "collaborators": [other, 7]}).facts
    assert Config("agent", "A2", "3") in facts.configs


# NeMo Guardrails and SWE-agent.


def test_rails_models_and_prompts_of_nemo() -> None:
    reading = check(NEMO)
    facts = reading.facts
    value = yaml.safe_load(NEMO)
    assert facts.format == "nemo-config"
    assert facts.models == (Model("gpt-3.5-turbo-instruct", 1, 0, "floating"),)
    assert facts.platforms == ("openai",)
    assert facts.configs == (
        Config("prompt", "instructions/general", None, sha256(value["instructions"][0]["content"])),
        Config("prompt", "sample_conversation", None, sha256(value["sample_conversation"])),
        Config("rail", "input: self check input"),
        Config("rail", "output: self check output"),
    )
    assert reading.kinds == ("model_config", "config_snapshot")
    prompts = {each["task"]: each["content"] for each in yaml.safe_load(PROMPTS)["prompts"]}
    assert {each.name: each.digest for each in check(PROMPTS).facts.configs} == {
        task: sha256(content) for task, content in prompts.items()
    }
    assert check(PROMPTS).kinds == ("config_snapshot",)


def test_flows_of_colang() -> None:
    reading = check(COLANG)
    assert reading.facts.format == "colang"
    assert reading.facts.records == COLANG.count(b"\ndefine ") + COLANG.startswith(b"define ") == 62
    assert Config("flow", "user ask about cooking") in reading.facts.configs
    assert reading.summary == "62 flows"


SWE_AGENT = {
    "agent": {
        "model": {"name": "claude-sonnet-4-20250514"},
        "templates": {"system_template": "Be helpful.", "demonstrations": ["a.traj"]},
        "tools": {"bundles": [{"path": "tools/registry"}], "enable_bash_tool": True},
    },
    "env": {"deployment": {"image": "python:3.11"}},
}


def test_swe_agent() -> None:
    reading = check(yaml.safe_dump(SWE_AGENT).encode())
    assert reading.facts.format == "swe-agent-config"
    assert reading.facts.models == (Model("claude-sonnet-4-20250514", 1, 0, "exact"),)
    assert reading.facts.configs == (
        Config("image", "python", "3.11"),
        Config("prompt", "system_template", None, sha256("Be helpful.")),
        Config("tool", "bash"),
        Config("tool", "tools/registry"),
    )
    assert reading.format_label == "SWE-agent configuration"


# Workflows.


def workflow(text: str) -> Reading:
    return check(text.encode())


def test_what_starts_a_workflow_and_whose_code_it_runs() -> None:
    reading = check(WORKFLOW)
    facts = reading.facts
    assert True in yaml.safe_load(WORKFLOW)  # the trap: `on` became a truth value
    assert facts.actions == ("on pull_request", "on push", "on workflow_dispatch")
    assert facts.permissions == (
        Permission("contents: read", "token of workflow Python CI", None, "granted"),
    )
    assert facts.configs == (
        Config("action", "actions/checkout", None, "de0fac2e4500dabe0009e67214ff5f5447ce83dd"),
        Config("action", "astral-sh/setup-uv", None, "d4b2f3b6ecc6e67c4457f6d3e41ec42d3d0fcb86"),
        Config("action", "dorny/paths-filter", None, "de90cc6fb38fc0963ad72b210f1f284cd68cea36"),
        Config("workflow", "Python CI"),
    )
    assert facts.problems == ()
    assert reading.summary == "4 jobs, 6 actions used"


def test_a_tag_can_move_and_a_commit_cannot() -> None:
    reading = workflow(
        "on: [push, pull_request_target]\njobs:\n"
        "  a:\n    runs-on: x\n    environment: production\n"
        "    permissions: {id-token: write, contents: none, odd: 7}\n    steps:\n"
        "    - uses: actions/checkout@v4\n    - uses: ./local\n    - uses: docker://x@sha256:ab\n"
        "  b:\n    uses: o/r/.github/workflows/w.yml@main\n    environment: {name: staging}\n"
        "    permissions: write-all\n"
    )
    facts = reading.facts
    assert facts.actions == ("on pull_request_target", "on push")
    assert facts.configs == (
        Config("action", "./local"),
        Config("action", "actions/checkout", "v4"),
        Config("action", "docker://x", None, "sha256:ab"),
        Config("action", "o/r/.github/workflows/w.yml", "main"),
        Config("environment", "(unnamed)/a", "production"),
        Config("environment", "(unnamed)/b", "staging"),
        Config("workflow", "(unnamed)"),
    )
    assert facts.problems == ("2 actions named by a tag or branch, which can move",)
    assert facts.permissions == (
        Permission("contents: none", "token of job (unnamed)/a", None, "denied"),
        Permission("id-token: write", "token of job (unnamed)/a", None, "granted"),
        Permission("write-all", "token of job (unnamed)/b", None, "granted"),
    )
    assert "permissions of the repository's setting" in facts.not_captured


# All.

OWN: dict[str, tuple[bytes, ...]] = {
    "github-actions": (WORKFLOW,),
    "llm-config": (BEDROCK, NEMO, PROMPTS, COLANG, yaml.safe_dump(SWE_AGENT).encode()),
    "terraform-state": (BUCKETS, POLICIES),
}
PARSERS: tuple[Parser, ...] = (GitHubActionsParser(), LlmConfigParser(), TerraformStateParser())


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_only_their_own_are_claimed(parser: Parser) -> None:
    for name, samples in OWN.items():
        for data in samples:
            expected = Confidence.CERTAIN if name == parser.name else Confidence.NONE
            assert parser.detect(data, "x") is expected
    for data in (
        b"",
        b"on: push\njobs:\n  - nothing\n",
        b"models:\n  - a\n",
        b"agent:\n  name: x\n",
        b"# define user x\n",
        b'{"version": 4, "serial": 1, "lineage": "x"}',
        b'{"agent": {"agentId": 7}, "agentStatus": 1}',
    ):
        assert parser.detect(data, "terraform.tfstate") is Confidence.NONE


@pytest.mark.parametrize("data", [NEMO, WORKFLOW, yaml.safe_dump(SWE_AGENT).encode()])
def test_without_the_library_yaml_is_recognised_and_not_read(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    reading = check(data)
    assert reading.facts.parser in OWN
    assert reading.facts.version == 0
    assert reading.facts.problems == ("not read: needs evidence-vault[formats]",)


@pytest.mark.slow
def test_hostile_values_are_left_out() -> None:
    hostile: tuple[Any, ...] = ([], {}, 7, None, True, "x" * 9999, [[{}]], {"a": [1]}, 1 << 90)
    agent = json.loads(BEDROCK)
    for key in agent["agent"]:
        for bad in hostile:
            read(agent | {"agent": agent["agent"] | {key: bad}})
    for bad in hostile:
        read(agent | {"action_groups": bad, "knowledge_bases": [bad, {"knowledgeBaseId": bad}]})
        read(
            state(resource(arn=bad, policy=bad), bad, {"type": "x", "instances": [bad]}, serial=bad)
        )
        read(state(resource("aws_iam_policy", policy=json.dumps({"Statement": bad}), name=bad)))
        for base in (yaml.safe_load(NEMO), SWE_AGENT, {"on": "push", "jobs": {"a": {"steps": []}}}):
            for key in base:
                check(yaml.safe_dump({str(k): v for k, v in (base | {key: bad}).items()}).encode())
