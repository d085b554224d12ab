"""The cloud template: sound, each role may do what its code calls, and nobody may do the rest.

What AWS would answer is computed here from the policies alone, by the rules of its evaluation that
they use; nothing is deployed.
"""

from __future__ import annotations

import ast
import fnmatch
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import vault.adapters
from vault.adapters.s3_check import RIGHTS, SCRATCH

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "infra" / "cloudformation.yaml"
ADAPTERS = Path(vault.adapters.__file__).parent

BYPASS = "s3:BypassGovernanceRetention"
ROLES = ("ServiceRole", "SealerRole", "AuditorRole", "InstallerRole")
BUCKET = "arn:aws:s3:::evidence"
TLS = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
CONTENT_KEY = "ContentKey.Arn"

# Amazon S3 API Reference: the permissions that each operation's page names.
CALLS = {
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "complete_multipart_upload": {"s3:PutObject"},
    "create_multipart_upload": {"s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "get_object": {"s3:GetObject"},
    "get_object_lock_configuration": {"s3:GetBucketObjectLockConfiguration"},
    "head_bucket": {"s3:ListBucket"},
    # ListBucket, so that what is absent is 404 and not 403.
    "head_object": {"s3:GetObject", "s3:ListBucket"},
    "list_multipart_uploads": {"s3:ListBucketMultipartUploads"},
    "list_object_versions": {"s3:ListBucketVersions"},
    "list_objects_v2": {"s3:ListBucket"},
    "put_object": {"s3:PutObject"},
    "put_object_legal_hold": {"s3:PutObjectLegalHold"},
    "put_object_retention": {"s3:PutObjectRetention"},
    "upload_part": {"s3:PutObject"},
}
# The same reference: what a parameter, or a field of an answer, needs besides. "If you GET or HEAD
# an object version but don't have the necessary permissions to view its lock status, the request
# will succeed but won't return the information" (Managing Object Lock).
FIELDS = {
    "BypassGovernanceRetention": {BYPASS},
    "ObjectLockLegalHoldStatus": {"s3:GetObjectLegalHold", "s3:PutObjectLegalHold"},
    "ObjectLockMode": {"s3:GetObjectRetention", "s3:PutObjectRetention"},
    "VersionId": {"s3:GetObjectVersion"},
}
NO_CALLS = {"close", "get_paginator"}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, in their long form."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _Loader)["Resources"]
    return found


def needed(module: str) -> set[str]:
    """The permissions that the calls of an adapter need, as far as its text shows."""
    tree = ast.parse((ADAPTERS / module).read_text())
    calls, words = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg:
            words.add(node.arg)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "self._client"
        ):
            paged = node.func.attr == "get_paginator"
            calls.add(ast.literal_eval(node.args[0]) if paged else node.func.attr)
    unknown = calls - CALLS.keys() - NO_CALLS
    assert not unknown, f"{module} calls {unknown}: say above what they need, then allow it"
    assert "put_object" in calls, "the calls are not found any more"
    found = set[str]().union(*(CALLS[each] for each in calls - NO_CALLS))
    if "delete_object" in calls:
        found.add("s3:DeleteObjectVersion")
    return found.union(*(actions for word, actions in FIELDS.items() if word in words))


def test_the_policy_that_only_root_can_lift_comes_last(resources: dict[str, Any]) -> None:
    policy = resources["BucketPolicy"]
    others = {name for name, each in resources.items() if each["Type"].endswith("::ManagedPolicy")}
    assert {*others, "Database"} <= set(policy["DependsOn"])
    assert policy["DeletionPolicy"] == policy["UpdateReplacePolicy"] == "Retain"


def statements_of(resources: dict[str, Any], role: str) -> list[dict[str, Any]]:
    """What a role is allowed, by all policies that name it."""
    found = []
    for resource in resources.values():
        properties = resource["Properties"]
        if "PolicyDocument" in properties and {"Ref": role} in properties.get("Roles", ()):
            found += properties["PolicyDocument"]["Statement"]
    return found


def actions_of(resources: dict[str, Any], role: str) -> set[str]:
    return {
        each for allowed in statements_of(resources, role) for each in listed(allowed, "Action")
    }


def listed(statement: dict[str, Any], name: str) -> list[Any]:
    value = statement.get(name, [])
    return value if isinstance(value, list) else [value]


# The template as such


@pytest.mark.slow
def test_cfn_lint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([program, TEMPLATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_bucket_keeps_versions_and_locks_and_has_no_default(resources: dict[str, Any]) -> None:
    bucket = resources["Bucket"]
    properties = bucket["Properties"]
    assert properties["ObjectLockEnabled"] is True
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    # A rule here is a default retention, which would lock log/checkpoint and partial tiles.
    assert properties["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
    # Kept whatever becomes of the stack, but for one that never came about.
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["UpdateReplacePolicy"] == "Retain"
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    encryption = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert encryption["ServerSideEncryptionByDefault"] == {
        "KMSMasterKeyID": {"Fn::GetAtt": CONTENT_KEY},
        "SSEAlgorithm": "aws:kms",
    }


def test_no_lifecycle_rule_touches_a_version(resources: dict[str, Any]) -> None:
    for rule in resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]:
        assert rule.keys() == {"Id", "Status", "AbortIncompleteMultipartUpload"}


def test_the_database_is_encrypted_private_and_not_deleted_by_mistake(
    resources: dict[str, Any],
) -> None:
    database = resources["Database"]
    properties = database["Properties"]
    assert properties["StorageEncrypted"] is True
    assert properties["DeletionProtection"] is True
    assert properties["PubliclyAccessible"] is False
    assert properties["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in properties
    assert database["DeletionPolicy"] == database["UpdateReplacePolicy"] == "Snapshot"
    assert resources["DatabaseSettings"]["Properties"]["Parameters"]["rds.force_ssl"] == "1"


# Keys


def test_log_and_manifests_have_keys_of_their_own(resources: dict[str, Any]) -> None:
    """DESIGN §4: checkpoints are signed by Ed25519, envelopes by ECDSA P-256 with SHA-256."""
    for name, spec, algorithm in (
        ("LogKey", "ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
        ("ManifestKey", "ECC_NIST_P256", "ECDSA_SHA_256"),
    ):
        properties = resources[name]["Properties"]
        assert (properties["KeySpec"], properties["KeyUsage"]) == (spec, "SIGN_VERIFY")
        conditional = [each["Fn::If"] for each in key_policy(resources, name) if "Fn::If" in each]
        [[condition, signing, otherwise]] = conditional
        assert (condition, otherwise) == ("Signs", {"Ref": "AWS::NoValue"})
        assert signing["Action"] == "kms:Sign"
        assert signing["Condition"]["StringEquals"] == {"kms:SigningAlgorithm": algorithm}
        assert principals(signing) == {"ServiceRole.Arn", "SealerRole.Arn"}


def test_no_administrator_uses_or_ends_a_key(resources: dict[str, Any]) -> None:
    names = [name for name in resources if resources[name]["Type"] == "AWS::KMS::Key"]
    assert sorted(names) == ["ContentKey", "DatabaseKey", "LogKey", "ManifestKey"]
    ending = {"kms:DeleteImportedKeyMaterial", "kms:DisableKey", "kms:ScheduleKeyDeletion"}
    use = ("kms:Decrypt", "kms:Sign", "kms:GenerateDataKey", "kms:CreateGrant", "kms:ReEncryptFrom")
    for name in names:
        policy = [each for each in key_policy(resources, name) if "Fn::If" not in each]
        denied = [each for each in policy if each["Effect"] == "Deny"]
        assert [(set(each["Action"]), each["Principal"]) for each in denied] == [(ending, "*")]
        [administration] = [each for each in policy if each["Sid"] == "Administration"]
        for action in (*use, *ending):
            assert not matches(administration, "Action", action), (name, action)
        assert resources[name]["DeletionPolicy"] == "Retain"


def test_contents_are_decrypted_by_the_roles_alone_and_only_through_s3(
    resources: dict[str, Any],
) -> None:
    for each in key_policy(resources, "ContentKey"):
        if each["Effect"] == "Allow" and matches(each, "Action", "kms:Decrypt"):
            assert principals(each) <= {f"{role}.Arn" for role in ROLES}
            assert each["Condition"]["StringEquals"].keys() == {"kms:ViaService"}
    writers = {
        name
        for each in key_policy(resources, "ContentKey")
        if each["Effect"] == "Allow" and matches(each, "Action", "kms:GenerateDataKey")
        for name in principals(each)
    }
    assert writers == {"ServiceRole.Arn", "SealerRole.Arn", "InstallerRole.Arn"}


def key_policy(resources: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = resources[name]["Properties"]["KeyPolicy"]["Statement"]
    return found


def principals(statement: dict[str, Any]) -> set[str]:
    return {
        each.get("Fn::GetAtt") or each["Fn::Sub"] for each in listed(statement["Principal"], "AWS")
    }


# What each role's code needs, and no more


def test_the_service_may_do_what_its_adapter_calls_and_nothing_else(
    resources: dict[str, Any],
) -> None:
    needs = needed("s3.py")
    assert BYPASS in needs  # for the step from governance to compliance, which the sealer takes
    assert actions_of(resources, "ServiceRole") == needs - {BYPASS}
    assert actions_of(resources, "SealerRole") == needs
    assert set(RIGHTS) == needs - {BYPASS}, "evault store check names other rights"


def test_the_installer_may_do_what_a_check_calls_on_scratch_keys_alone(
    resources: dict[str, Any],
) -> None:
    assert actions_of(resources, "InstallerRole") == needed("s3_check.py") - {BYPASS}
    on_keys = {
        resource["Fn::Sub"]
        for each in statements_of(resources, "InstallerRole")
        for resource in listed(each, "Resource")
        if "Fn::Sub" in resource
    }
    assert on_keys == {"${Bucket.Arn}/${Prefix}/" + SCRATCH + "*"}


def test_the_auditor_reads_and_changes_nothing(resources: dict[str, Any]) -> None:
    allowed = actions_of(resources, "AuditorRole")
    assert {each for each in needed("s3.py") if each.startswith(("s3:Get", "s3:List"))} <= allowed
    assert all(each.startswith(("s3:Get", "s3:List")) for each in allowed)


def test_there_are_no_other_roles_and_no_wildcards(resources: dict[str, Any]) -> None:
    roles = {name for name, each in resources.items() if each["Type"] == "AWS::IAM::Role"}
    assert roles == set(ROLES)  # none for collectors and people: they speak to the service
    kinds = {each["Type"] for each in resources.values() if each["Type"].startswith("AWS::IAM::")}
    assert kinds == {"AWS::IAM::InstanceProfile", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"}
    assert resources["ServiceProfile"]["Properties"]["Roles"] == [{"Ref": "ServiceRole"}]
    for role in ROLES:
        properties = resources[role]["Properties"]
        assert not properties.keys() & {"Policies", "ManagedPolicyArns"}
        for each in statements_of(resources, role):
            assert not any("*" in action for action in listed(each, "Action"))
            assert "*" not in listed(each, "Resource")


# What nobody may do


@dataclass(frozen=True)
class Attempt:
    """A request to the bucket, by a role or by anybody else in the account."""

    action: str
    key: str | None = "vault/artifacts/01"
    who: str = "Administrator"
    more: tuple[tuple[str, str], ...] = ()

    @property
    def resource(self) -> str:
        return BUCKET if self.key is None else f"{BUCKET}/{self.key}"

    @property
    def context(self) -> dict[str, str]:
        return {**TLS, "aws:PrincipalArn": f"{self.who}.Arn", **dict(self.more)}


ENCRYPTION = "s3:x-amz-server-side-encryption"
DENIED = [
    *(Attempt("s3:DeleteObject", who=who) for who in (*ROLES, "Administrator")),
    *(Attempt("s3:DeleteObjectVersion", who=who) for who in (*ROLES, "Administrator")),
    Attempt("s3:DeleteObjectVersion", "vault/checkpoint", "InstallerRole"),
    Attempt("s3:DeleteObjectVersion", "vault/log/check/1", "InstallerRole"),
    Attempt("s3:DeleteObjectVersion", "check/1", "InstallerRole"),
    *(Attempt(BYPASS, who=who) for who in (*ROLES, "Administrator") if who != "SealerRole"),
    *(
        Attempt(f"s3:{action}", None, who)
        for who in ("Administrator", "SealerRole")
        for action in (
            "DeleteBucket", "DeleteBucketPolicy", "PutBucketObjectLockConfiguration",
            "PutBucketPolicy", "PutBucketPublicAccessBlock", "PutBucketVersioning",
            "PutEncryptionConfiguration", "PutLifecycleConfiguration",
            "PutReplicationConfiguration",
        )
    ),
    Attempt("s3:GetObject"),
    Attempt("s3:GetObjectVersion"),
    Attempt("s3:PutObject"),
    Attempt("s3:PutObjectLegalHold"),
    Attempt("s3:PutObjectRetention"),
    Attempt("s3:UpdateObjectEncryption", who="ServiceRole"),
    Attempt("s3:GetObject", who="ServiceRole", more=(("aws:SecureTransport", "false"),)),
    Attempt("s3:GetObject", who="ServiceRole", more=(("s3:TlsVersion", "1.1"),)),
    Attempt("s3:PutObject", who="ServiceRole", more=((ENCRYPTION, "AES256"),)),
    Attempt("s3:PutObject", who="ServiceRole",
            more=((ENCRYPTION, "aws:kms"), (f"{ENCRYPTION}-aws-kms-key-id", "AnotherKey.Arn"))),
    Attempt("s3:PutObject", who="ServiceRole",
            more=((f"{ENCRYPTION}-customer-algorithm", "AES256"),)),
]  # fmt: skip
NOT_DENIED = [
    *(Attempt(action, who="ServiceRole") for action in RIGHTS if "Object" in action),
    *(Attempt(action, None, "ServiceRole") for action in RIGHTS if "ListBucket" in action),
    Attempt("s3:PutObject", who="ServiceRole",
            more=((ENCRYPTION, "aws:kms"), (f"{ENCRYPTION}-aws-kms-key-id", CONTENT_KEY))),
    Attempt("s3:GetObjectVersion", who="AuditorRole"),
    Attempt(BYPASS, who="SealerRole"),
    Attempt("s3:DeleteObjectVersion", f"vault/{SCRATCH}01/x", "InstallerRole"),
]  # fmt: skip


@pytest.mark.parametrize("attempt", DENIED, ids=str)
def test_the_bucket_denies(resources: dict[str, Any], attempt: Attempt) -> None:
    assert denials(resources, attempt)


@pytest.mark.parametrize("attempt", NOT_DENIED, ids=str)
def test_the_bucket_lets_the_vault_work(resources: dict[str, Any], attempt: Attempt) -> None:
    assert denials(resources, attempt) == []


@pytest.mark.parametrize("sid", ["NobodyDeletes", "NobodyChangesTheBucket", "OnlyTheVaultsRoles"])
def test_without_a_statement_the_table_above_would_fail(
    resources: dict[str, Any], sid: str
) -> None:
    """The evaluation is ours: show that it depends on the statements."""
    policy = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    kept = [each for each in policy if each["Sid"] != sid]
    less = {"BucketPolicy": {"Properties": {"PolicyDocument": {"Statement": kept}}}}
    assert len(kept) == len(policy) - 1
    assert any(not denials(less, attempt) for attempt in DENIED)


def denials(resources: dict[str, Any], attempt: Attempt) -> list[str]:
    """The statements of the bucket's policy that deny it. All are denials, to everybody."""
    policy = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert all((each["Effect"], each["Principal"]) == ("Deny", "*") for each in policy)
    return [
        each["Sid"]
        for each in policy
        if matches(each, "Action", attempt.action)
        and concerns(each, attempt.resource)
        and all(
            holds(operator, key, value, attempt.context)
            for operator, tests in each.get("Condition", {}).items()
            for key, value in tests.items()
        )
    ]


def matches(statement: dict[str, Any], name: str, text: str) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in listed(statement, name))


def concerns(statement: dict[str, Any], resource: str) -> bool:
    name = "NotResource" if "NotResource" in statement else "Resource"
    patterns = [resolved(each) for each in listed(statement, name)]
    assert patterns
    found = any(fnmatch.fnmatchcase(resource, pattern) for pattern in patterns)
    return found == (name == "Resource")


def resolved(value: Any) -> str:
    """A value of the template, with Prefix at its default."""
    if isinstance(value, str):
        return value
    if "Fn::Sub" in value:
        text: str = value["Fn::Sub"]
        return text.replace("${Bucket.Arn}", BUCKET).replace("${Prefix}", "vault")
    named: str = value["Fn::GetAtt"]
    return BUCKET if named == "Bucket.Arn" else named


def holds(operator: str, key: str, value: Any, context: dict[str, str]) -> bool:
    """IAM User Guide, condition operators. A negated one holds for a key that is absent."""
    expected = [resolved(each) for each in (value if isinstance(value, list) else [value])]
    found = context.get(key)
    match operator:
        case "Bool":
            return found in expected
        case "NumericLessThan":
            return found is not None and float(found) < float(expected[0])
        case "ArnNotEquals":
            return found not in expected
        case "StringNotEqualsIfExists":
            return found is not None and found not in expected
        case "Null":
            return (found is None) == (expected == ["true"])
    raise AssertionError(f"not evaluated here: {operator}")
