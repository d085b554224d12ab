"""VCR cassettes: what is asserted was read in the samples by eye."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import pytest
from damage import check

from ingest.parsers import Confidence, http_cassettes
from ingest.parsers.http_cassettes import CassetteParser
from verify.facts import Config, Model, ToolUse

SAMPLES = Path(__file__).parents[1] / "data" / "vcr-cassette"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def test_two_turns_of_a_chat_are_read_from_their_bodies() -> None:
    reading = check(sample("chat.yaml"))
    facts = reading.facts
    assert facts.parser == facts.format == "vcr-cassette"
    assert (facts.records, facts.bad_records, facts.problems) == (2, 0, ())
    assert facts.models == (
        Model("gpt-4o-mini", 2, 0, "floating"),
        Model("gpt-4o-mini-2024-07-18", 0, 2, "exact"),
    )
    # Two calls, for Seattle and San Francisco; the second request has both results.
    assert facts.tools == (ToolUse("get_current_weather", 2, 0),)
    assert facts.configs == (
        Config("model", "gpt-4o-mini-2024-07-18", "fp_0ba0d124f1"),
        Config("model", "gpt-4o-mini-2024-07-18", "fp_f59a81427f"),
    )
    # created: 1731456245; Date: Wed, 13 Nov 2024 00:04:07 GMT
    assert (facts.first, facts.last) == ("2024-11-13T00:04:05Z", "2024-11-13T00:04:07Z")
    assert (facts.raw_first, facts.raw_last) == ("1731456245", "Wed, 13 Nov 2024 00:04:07 GMT")
    assert (facts.clock, facts.time_unit, facts.precision) == ("zoned", "mixed", "s")
    assert facts.platforms == ("api.openai.com",)
    assert facts.accounts == ("test_openai_org_id",)
    assert facts.not_captured == ()
    assert reading.kinds == ("prompt", "tool_trace")
    assert reading.format_label == "VCR cassette, OpenAI Chat Completions"


def test_answers_packed_in_base64_are_read() -> None:
    facts = check(sample("responses.yaml")).facts
    assert facts.models == (
        Model("gpt-4o", 2, 0, "floating"),
        Model("gpt-4o-2024-08-06", 0, 2, "exact"),
    )
    assert facts.tools == (ToolUse("random_number", 1, 0), ToolUse("transfer_to_agent2", 1, 0))
    assert facts.accounts == ("pydantic-28gund",)
    assert (facts.first, facts.last) == ("2025-03-10T12:09:38Z", "2025-03-10T12:09:41Z")


def test_damage_costs_the_interaction_that_it_is_in() -> None:
    data = sample("chat.yaml")
    second = data.index(b"- request:", data.index(b"- request:") + 1)
    broken = data[:second].replace(b"    uri: https", b"   }uri: https") + data[second:]
    facts = check(broken).facts
    assert (facts.records, facts.bad_records) == (1, 1)
    assert facts.bad_offsets == (data.index(b"- request:"),)
    assert facts.problems == ("1 bad record: not YAML",)
    assert facts.models_returned == ("gpt-4o-mini-2024-07-18",)


def interaction(request: object, answer: object, uri: str = "https://h.example/v1") -> str:
    return json.dumps(
        {
            "request": {"uri": uri, "method": "POST", "body": request},
            "response": {
                "status": {"code": 200},
                "headers": {"Date": ["Mon, 10 Mar 2025 12:09:39 GMT"]},
                "body": answer,
            },
        }
    )


ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "?"}]})
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"message": {"role": "assistant", "content": "!"}}],
}
STREAM = "".join(
    f"data: {json.dumps(event)}\n\n"
    for event in (
        {"type": "message_start", "message": {"id": "m", "model": "claude-x", "role": "assistant"}},
        {"type": "message_stop"},
    )
)


@pytest.mark.parametrize(
    "body",
    [
        {"string": json.dumps(ANSWER)},
        json.dumps(ANSWER),
        ANSWER,
        {"string": base64.b64encode(gzip.compress(json.dumps(ANSWER).encode())).decode()},
    ],
)
def test_a_cassette_may_be_json_and_its_bodies_in_many_forms(body: object) -> None:
    text = f'{{"interactions": [{interaction(ASKED, body)}], "version": 1}}'
    facts = check(text.encode()).facts
    assert facts.parser == "vcr-cassette"
    assert facts.models_requested == ("gpt-4o",)
    assert facts.models_returned == ("gpt-4o-2024-08-06",)
    assert facts.platforms == ("h.example",)


def test_bodies_parsed_into_yaml_and_streams_are_read() -> None:
    text = (
        "version: 1\ninteractions:\n- request:\n    parsed_body:\n      model: gpt-4o\n"
        "      messages:\n      - role: user\n        content: '?'\n    uri: https://h/v1\n"
        "  response:\n    body:\n      string: |\n"
    )
    text += "".join(f"        {line}\n" if line else "\n" for line in STREAM.split("\n"))
    facts = check(text.encode()).facts
    assert facts.models_requested == ("gpt-4o",)
    assert facts.models_returned == ("claude-x",)


def test_other_traffic_is_counted_and_errors_are_told() -> None:
    error = {"string": json.dumps({"error": {"type": "overloaded_error"}})}
    text = ",".join(
        (
            interaction("", {"string": "<html>"}, "http://[bad"),
            interaction(None, None, "ftp://h.example/x"),
            interaction(ASKED, error),
            '{"request": 7}',
        )
    )
    reading = check(f'{{"interactions": [{text}]}}'.encode())
    assert (reading.facts.records, reading.facts.bad_records) == (3, 1)
    assert reading.facts.problems == (
        "1 bad record: no interaction",
        "the provider answered with an error: overloaded_error",
    )
    assert reading.summary == "3 interactions: 1 request; 2 with no model"


def test_a_cassette_without_models_is_one_all_the_same() -> None:
    reading = check(f'{{"interactions": [{interaction("x", "y")}]}}'.encode())
    assert reading.format_label == "VCR cassette"
    assert reading.kinds == ("other",)
    assert reading.facts.last == "2025-03-10T12:09:39Z"


@pytest.mark.parametrize(
    "hostile",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "&a [*a, *a]",
        "!!python/object/apply:os.system [true]",
        "? {a: b}\n: c",
        "\x1b[31m\x00",
        "x" * 100_000,
    ],
)
def test_hostile_yaml_is_read_or_refused(hostile: str) -> None:
    body = f"version: 1\ninteractions:\n- request:\n    uri: http://h/\n    body: {hostile}\n"
    facts = check((body + "- request:\n    uri: http://other/\n").encode()).facts
    assert facts.records + facts.bad_records == 2
    assert "other" in facts.platforms


def test_a_gzip_bomb_in_a_body_is_cut() -> None:
    bomb = base64.b64encode(gzip.compress(b" " * (64 << 20))).decode()
    reading = check(f'{{"interactions": [{interaction(ASKED, {"string": bomb})}]}}'.encode())
    assert reading.facts.records == 1


def test_an_interaction_beyond_the_limit_is_a_bad_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_cassettes, "RECORD_LIMIT", 5000)
    facts = check(sample("responses.yaml")).facts
    assert (facts.records, facts.bad_records) == (2, 0)
    monkeypatch.setattr(http_cassettes, "RECORD_LIMIT", 3170)
    facts = check(sample("responses.yaml")).facts
    assert (facts.records, facts.bad_records) == (1, 1)


def test_without_the_library_it_is_recognised_and_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_cassettes, "library", lambda name: None)
    reading = check(sample("chat.yaml"))
    assert (reading.facts.parser, reading.facts.version) == ("vcr-cassette", 0)
    assert reading.facts.problems == ("not read: needs evidence-vault[formats]",)


def test_only_a_cassette_is_taken_for_one() -> None:
    detect = CassetteParser().detect
    assert detect(sample("chat.yaml"), "x") is Confidence.CERTAIN
    assert detect(b"# mine\n---\n" + sample("responses.yaml"), "x") is Confidence.CERTAIN
    assert detect(b"interactions:\n- name: x\n", "x.yaml") is Confidence.NONE
    assert detect(b'{"interactions": [{"name": "x"}]}', "x") is Confidence.NONE
    assert detect(b"interactions: none", "x") is Confidence.NONE
