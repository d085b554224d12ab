"""The client's connection: what it refuses, asks again, and never says; and a server that lies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cli_support import run
from serving import People, listening
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cli.compose import open_vault
from cli.serving import service_of
from cli.settings import read_settings
from cli.vault import Vault, now
from vault.access import VaultRole
from vault.errors import RefusedError, UnauthenticatedError, UnavailableError
from vault.http.app import create_app
from vault.http.client.connection import Connection, check_server, error_of
from verify.errors import EvidenceError, MalformedError

SECRET = "secret-lea"
PUB = "collector.pub"


@dataclass
class Between:
    """Stands before a server and does to its answers what a test says; satisfies ASGI."""

    app: ASGIApp
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    answers: Callable[[str, int], tuple[int, dict[str, str], bytes] | None] = lambda *_: None
    change: Callable[[str, bytes], bytes] = lambda _, data: data

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        count = sum(each[1] == path for each in self.asked)
        self.asked.append((scope["method"], path, headers))
        own = self.answers(path, count)
        if own is not None:
            status, said, body = own
            await receive()
            pairs = [(name.encode(), value.encode()) for name, value in said.items()]
            await send({"type": "http.response.start", "status": status, "headers": pairs})
            await send({"type": "http.response.body", "body": body})
            return
        begun: list[Message] = []
        parts: list[bytes] = []

        async def altered(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = self.change(path, b"".join(parts))
            kept = [each for each in begun[0]["headers"] if each[0] != b"content-length"]
            await send({**begun[0], "headers": kept})
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, altered)


@dataclass
class Place:
    """A server behind a `Between`, and commands that ask it."""

    url: str
    between: Between
    home: Path

    def connection(self, **more: Any) -> Connection:
        return Connection(check_server(self.url, SECRET), user_agent="test", **more)


@pytest.fixture
def place(
    vault: Vault, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    people.add("lea", *VaultRole)
    service = replace(service_of(vault), authenticator=people, grants=lambda: tuple(people.grants))
    between = Between(create_app(service))
    with listening(between) as url:  # type: ignore[arg-type]
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        monkeypatch.setenv("EVAULT_URL", url)
        monkeypatch.setenv("EVAULT_TOKEN", SECRET)
        monkeypatch.chdir(tmp_path)
        yield Place(url, between, tmp_path / "data" / "evault" / "servers")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://vault.example.org", "unencrypted"),
        ("http://10.0.0.1:8470", "unencrypted"),
        ("http://localhost.example.org", "unencrypted"),
        ("ftp://vault.example.org", "no URL like"),
        ("vault.example.org", "no URL like"),
        ("https://me:pw@vault.example.org", "nothing else"),
        ("https://vault.example.org/?a=b", "nothing else"),
    ],
)
def test_a_token_goes_nowhere_unencrypted(url: str, told: str) -> None:
    with pytest.raises(MalformedError, match=told):
        check_server(url, SECRET)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8470", "http://[::1]:8470", "http://localhost"])
def test_within_a_host_no_encryption_is_needed(url: str) -> None:
    assert check_server(url, SECRET).url == url
    assert check_server("http://10.0.0.1", SECRET, insecure=True).url == "http://10.0.0.1"


@pytest.mark.parametrize("token", ["", "with space", "line\nbreak", "ümlaut"])
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(EvidenceError) as raised:
        check_server("https://vault.example.org", token)
    assert not token or token not in str(raised.value)
    assert isinstance(raised.value, MalformedError if token else UnauthenticatedError)


def test_the_token_stands_in_no_error_and_no_representation(place: Place) -> None:
    server = check_server(place.url, SECRET)
    assert SECRET not in repr(server)
    for said in (
        run("incident", "show", "INC-2026-0404"),
        run("--home", "nowhere", "incident", "list"),
    ):
        assert SECRET not in said.err
    place.between.answers = lambda path, _: (500, {"Content-Type": "text/html"}, b"<h1>no</h1>")
    said = run("incident", "list")
    assert (said.code, SECRET in said.err) == (2, False)
    assert "not as a vault does" in said.err


@pytest.mark.slow
def test_out_of_reach_is_said_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAULT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("EVAULT_TOKEN", SECRET)
    said = run("incident", "list", "--json")
    problem = json.loads(said.err)
    assert (said.code, problem["code"]) == (2, "unavailable")
    assert "http://127.0.0.1:9" in problem["detail"]


def test_reading_is_asked_again_as_the_server_says_and_no_longer(place: Place) -> None:
    waits: list[float] = []
    busy = (503, {"Retry-After": "7", "Content-Type": "application/problem+json"}, json.dumps({
        "type": "urn:evidence-vault:problem:unavailable", "title": "", "status": 503,
        "detail": "the store is away", "instance": "/",
    }).encode())  # fmt: skip
    place.between.answers = lambda path, count: busy if path == "/v1/whoami" and count < 2 else None
    connection = place.connection(sleep=waits.append)
    assert connection.get_json("/v1/whoami")["id"] == "lea"
    assert waits == [7.0, 7.0]
    place.between.answers = lambda path, count: busy
    with pytest.raises(UnavailableError, match="the store is away"):
        connection.get("/v1/whoami")
    assert len(waits) == 5
    late = (503, {**busy[1], "Retry-After": "3600"}, busy[2])
    place.between.answers = lambda path, count: late
    with pytest.raises(UnavailableError, match="the store is away"):
        connection.get("/v1/whoami")
    assert len(waits) == 5, "nobody waits for an hour"


def test_what_changes_something_is_asked_once_unless_nothing_was_done(place: Place) -> None:
    waits: list[float] = []
    connection = place.connection(sleep=waits.append)
    place.between.answers = lambda path, count: (503, {}, b"")
    with pytest.raises(UnavailableError):
        connection.post("/v1/incidents", {})
    assert waits == []
    place.between.answers = lambda path, count: (429, {"Retry-After": "1"}, b"") if not count else (
        409, {"Content-Type": "application/problem+json"},
        b'{"type":"urn:evidence-vault:problem:refused","title":"","status":409,"detail":"no",'
        b'"instance":"/"}')  # fmt: skip
    with pytest.raises(RefusedError, match="no"):
        connection.post("/v1/chains", {})
    assert waits == [1.0]


def test_a_redirect_is_not_followed_with_the_token(place: Place) -> None:
    place.between.answers = lambda path, count: (
        (307, {"Location": f"{place.url}/v1/elsewhere"}, b"") if "elsewhere" not in path else None
    )
    with pytest.raises(UnavailableError, match="answered 307"):
        place.connection().get("/v1/whoami")
    assert [path for _, path, _ in place.between.asked] == ["/v1/whoami"]


def test_errors_come_back_as_they_were_with_the_same_words() -> None:
    for name in ("vault.errors", "verify.errors"):
        module = __import__(name, fromlist=["_"])
        for each in vars(module).values():
            if not isinstance(each, type) or not issubclass(each, EvidenceError):
                continue
            found = error_of(each.code, "these words")
            assert str(found) == "these words"
            assert isinstance(found, each.__mro__[1] if "__init__" in vars(each) else each), each


def test_the_trust_file_is_pinned_once_and_said(place: Place, vault: Vault) -> None:
    first = run("incident", "list")
    assert first.code == 0
    (pinned,) = place.home.rglob("trust.json")
    assert str(pinned) in first.err
    at_home = run("--home", vault.home, "trust")
    assert at_home.code == 0
    log, key = at_home.err.splitlines()
    assert (log, key) == (f"log  {vault.trust.log}", f"key  {vault.trust.keys[0].key_id}")
    assert first.err.splitlines()[1:] == [f"  {log}", f"  {key}"], "the same words at both ends"
    assert vault.trust.sha256 not in first.err, "it changes with each collector"
    assert pinned.read_bytes() == vault.trust.data
    assert run("incident", "list").err == ""


def test_what_is_to_be_compared_stays_as_collectors_are_let_in(
    vault: Vault, tmp_path: Path
) -> None:
    before = run("--home", vault.home, "trust", "--json").json
    assert run("spool", "init", tmp_path / "spool").code == 0
    said = run("--home", vault.home, "collector", "add", "e", "--key", tmp_path / "spool" / PUB)
    assert said.code == 0, said.err
    after = run("--home", vault.home, "trust", "--json").json
    assert before["sha256"] != after["sha256"]
    assert before["lasting"] == after["lasting"]


def test_why_a_server_cannot_be_reached_is_told_as_it_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAULT_URL", place.url.replace("http://", "https://"))
    said = run("incident", "list")
    assert (said.code, "does not speak TLS there; is it http://" in said.err) == (2, True)
    assert "certificate" not in said.err
    monkeypatch.setenv("EVAULT_URL", "https://vault.invalid")  # RFC 6761: there never is one
    said = run("incident", "list")
    assert (said.code, "its host name cannot be found" in said.err) == (2, True)
    assert "does not answer" not in said.err


def test_another_trust_file_later_is_an_error_that_names_the_file(
    place: Place, made: Path, tmp_path: Path
) -> None:
    assert run("incident", "list").code == 0
    (pinned,) = place.home.rglob("trust.json")
    assert run("--home", tmp_path / "other", "init").code == 0
    other = (tmp_path / "other" / "trust.json").read_bytes()
    place.between.change = lambda path, data: other if path == "/v1/trust" else data
    said = run("incident", "list")
    assert (said.code, said.raw) == (2, b"")
    assert str(pinned) in said.err
    assert pinned.read_bytes() != other


@pytest.mark.parametrize("named", [False, True], ids=["pinned", "EVAULT_TRUST"])
def test_another_vault_at_the_address_never_sees_the_token(
    place: Place, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    if named:
        monkeypatch.setenv("EVAULT_TRUST", str(made / "trust.json"))
    assert run("incident", "list").code == 0
    other = tmp_path / "other"
    words = ["--title", "Another", "--severity", "sev1", "--tier", "unknown"]
    words += ["--detected-at", "2026-03-01T09:00Z", "--system", "mail-agent"]
    assert run("--home", other, "init").code == 0
    assert run("--home", other, "incident", "declare", *words).code == 0
    own = place.between.app
    second = open_vault(read_settings({}, other))
    try:
        people = People(now())
        people.add("lea", *VaultRole)
        place.between.app = create_app(replace(service_of(second), authenticator=people))
        place.between.asked.clear()
        said = run("incident", "list", "--json")
        assert (said.code, said.raw) == (2, b"")
        assert "not shown the token" in json.loads(said.err)["detail"]
        assert SECRET not in said.err
        assert [path for _, path, _ in place.between.asked] == ["/v1/log/checkpoint"]
        assert "authorization" not in place.between.asked[0][2]
    finally:
        second.close()
    place.between.app = own
    assert run("incident", "list").code == 0, "the vault itself is believed as before"
    assert "authorization" in place.between.asked[-1][2]


def test_a_page_that_is_no_vault_never_sees_the_token(place: Place) -> None:
    assert run("incident", "list").code == 0
    for status in (200, 404):
        place.between.answers = lambda path, _, status=status: (status, {}, b"<h1>no</h1>")
        place.between.asked.clear()
        assert run("incident", "list").code == 2
        assert all("authorization" not in headers for _, _, headers in place.between.asked)


def test_the_first_contact_looks_before_it_shows_the_token(place: Place) -> None:
    """What pins the trust file was not read with a secret that the wrong server could keep."""
    assert run("incident", "list").code == 0
    shown = ["authorization" in headers for _, _, headers in place.between.asked]
    paths = [path for _, path, _ in place.between.asked]
    assert paths[:2] == ["/v1/trust", "/v1/log/checkpoint"]
    assert shown == [False, False] + [True] * (len(shown) - 2)


@pytest.mark.parametrize("what", ["a page", "another log", "no trust file"])
def test_a_first_contact_that_is_no_vault_never_sees_the_token(
    place: Place, case: str, tmp_path: Path, what: str
) -> None:
    for pinned in place.home.rglob("trust.json"):
        pinned.unlink()  # the log has an entry, and this user knows nothing of it
    place.between.asked.clear()
    assert run("--home", tmp_path / "other", "init").code == 0
    other = (tmp_path / "other" / "trust.json").read_bytes()
    if what == "a page":
        place.between.answers = lambda _path, _: (200, {}, b"<h1>no</h1>")
    elif what == "no trust file":
        place.between.answers = lambda _path, _: (404, {}, b"")
    else:
        place.between.change = lambda path, data: other if path == "/v1/trust" else data
    said = run("incident", "list")
    assert (said.code, said.raw) == (2, b"")
    assert place.between.asked
    assert all("authorization" not in headers for _, _, headers in place.between.asked)
    assert not list(place.home.rglob("trust.json")), "what was not believed is not pinned"


def test_another_trust_file_later_never_sees_the_token(place: Place, tmp_path: Path) -> None:
    assert run("incident", "list").code == 0
    assert run("--home", tmp_path / "other", "init").code == 0
    other = (tmp_path / "other" / "trust.json").read_bytes()
    place.between.change = lambda path, data: other if path == "/v1/trust" else data
    place.between.asked.clear()
    assert run("incident", "list").code == 2
    assert all("authorization" not in headers for _, _, headers in place.between.asked)


def test_a_collector_more_is_taken_over_and_a_manifest_key_more_is_not(
    place: Place, vault: Vault, tmp_path: Path
) -> None:
    assert run("incident", "list").code == 0
    (pinned,) = place.home.rglob("trust.json")
    assert run("--home", tmp_path / "other", "init").code == 0
    foreign = json.loads((tmp_path / "other" / "trust.json").read_bytes())
    key = foreign["manifest_keys"][0]["spki"]

    def shown(**changes: Any) -> Callable[[str, bytes], bytes]:
        value = {**json.loads(vault.trust.data), **changes}
        return lambda path, data: json.dumps(value).encode() if path == "/v1/trust" else data

    place.between.change = shown(collector_keys=[key])
    assert "1 more collector" in run("incident", "list").err
    assert json.loads(pinned.read_bytes())["collector_keys"] == [key]
    both = [*json.loads(vault.trust.data)["manifest_keys"], foreign["manifest_keys"][0]]
    place.between.change = shown(manifest_keys=both)
    assert run("incident", "list").code == 2
    place.between.change = shown(collector_keys=[])
    assert run("incident", "list").code == 2, "a collector less is no addition"


def test_trust_that_was_given_is_believed_and_nothing_is_pinned(
    place: Place, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given.json"
    shutil.copy(made / "trust.json", given)
    monkeypatch.setenv("EVAULT_TRUST", str(given))
    assert run("incident", "list").code == 0
    assert not list(place.home.rglob("trust.json")) if place.home.exists() else True
    assert run("--home", tmp_path / "other", "init").code == 0
    monkeypatch.setenv("EVAULT_TRUST", str(tmp_path / "other" / "trust.json"))
    assert run("incident", "list").code == 2, "another vault's trust is not for this server"


@pytest.fixture
def case(place: Place) -> str:
    words = ["--title", "Mail went out", "--severity", "sev1", "--tier", "unknown"]
    words += ["--detected-at", "2026-03-01T09:00Z", "--system", "mail-agent"]
    said = run("incident", "declare", *words)
    assert said.code == 0, said.err
    Path("a.log").write_text("the agent said so\n")
    assert run("ingest", "a.log").code == 0
    return said.out.split()[0]


def edited(part: str, change: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
    def edit(path: str, data: bytes) -> bytes:
        if part not in path or not data.startswith(b"{"):
            return data
        value = json.loads(data)
        change(value)
        return json.dumps(value).encode()

    return edit


def severity(value: Any) -> None:
    import base64

    envelope = json.loads(value["items"][0]["envelope"])
    payload = base64.b64decode(envelope["payload"]).replace(b'"sev1"', b'"sev4"')
    envelope["payload"] = base64.b64encode(payload).decode()
    value["items"][0]["envelope"] = json.dumps(envelope)


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("/manifests", severity, ("incident", "show")),
        ("/manifests", lambda value: value["items"].pop(0), ("incident", "show")),
        ("/manifests", lambda value: value["items"].reverse(), ("incident", "show")),
        ("/manifests", lambda value: value["items"].append(value["items"][-1]), ("custody",)),
        (
            "/descriptions",
            lambda value: value["items"][0].update(
                description=value["items"][0]["description"].replace("a.log", "b.log")
            ),
            ("evidence", "list"),
        ),
        ("/descriptions", lambda value: value["items"].clear(), ("evidence", "list")),
    ],
)
def test_what_a_server_altered_is_not_believed(
    place: Place, case: str, part: str, change: Callable[[Any], None], words: tuple[str, ...]
) -> None:
    assert run(*words).code == 0
    place.between.change = edited(part, change)
    said = run(*words)
    assert said.code in (1, 2)
    assert said.raw == b""
    assert "defect" not in said.err


def test_a_receipt_for_something_else_is_not_believed(place: Place, case: str) -> None:
    def other(value: Any) -> None:
        value["receipt"]["leaf_hash"] = "0" * 64

    place.between.change = edited("/phases", other)
    said = run("incident", "phase", "triaged")
    assert (said.code, said.raw) == (2, b"")


def test_receipts_for_other_evidence_than_was_sent_are_not_believed(
    place: Place, case: str, vault: Vault
) -> None:
    """A server that seals nothing, and gives the receipt of an earlier capture, is found out."""
    earlier = vault.door.receipts(case, [1])[0].to_json() | {"repeated": False}
    answer = json.dumps({"incident": case, "items": 1, "receipts": [earlier]}).encode()
    place.between.change = lambda path, data: answer if path.endswith("/captures") else data
    Path("b.log").write_text("what was not kept\n")
    said = run("ingest", "b.log")
    assert (said.code, said.raw) == (2, b"")
    assert "not for what was sent" in said.err


def test_content_that_was_altered_on_its_way_is_not_written(place: Place, case: str) -> None:
    place.between.change = lambda path, data: (
        data.replace(b"the agent", b"nobody at") if path.endswith("/content") else data
    )
    said = run("evidence", "get", "EV-0001", "--purpose", "look", "-o", "out")
    assert said.code == 1
    assert not Path("out").exists()
    assert not list(Path().glob(".evault-*"))


def test_what_is_done_at_home_is_refused_in_one_line(place: Place) -> None:
    for words in (("init",), ("log", "rebuild"), ("log", "audit"), ("store", "check"),
                  ("serve", "--port", "0")):  # fmt: skip
        said = run(*words)
        assert (said.code, said.raw) == (2, b""), words
        assert said.err.count("\n") == 1, said.err
        assert "where the vault's home is" in said.err, words


def test_home_wins_over_a_server(place: Place, tmp_path: Path) -> None:
    said = run("--home", tmp_path / "home", "log", "audit")
    assert "where the vault's home is" not in said.err


def test_a_collectors_token_is_enough_to_deliver_and_shows_nothing(
    place: Place, case: str, vault: Vault, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("spool", "init", "spool").code == 0
    assert run("collector", "add", "edge-1", "--key", "spool/collector.pub").code == 0
    people.collector("edge-1", case)
    monkeypatch.setenv("EVAULT_TOKEN", "secret-edge-1")
    Path("b.log").write_text("another line\n")
    said = run("ingest", case, "b.log", "--spool", "spool")
    assert said.code == 0, said.err
    assert "1 file, 13 B, sealed through the spool" in said.out
    assert run("evidence", "list", case).code == 2
    assert run("spool", "deliver", "spool").out.startswith("Nothing waits")
    (delivery,) = vault.incidents.read(case).state.deliveries
    assert [each.size for each in delivery.items] == [13]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/vault"])
def test_an_address_that_is_not_the_servers_root_is_told_in_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("EVAULT_URL", place.url + path)
    for words in (("status",), ("incident", "show", "INC-2026-0001"), ("request", "list")):
        said = run(*words)
        assert (said.code, said.raw, said.err.count("\n")) == (2, b"", 1), said.err
        assert (
            f"EVAULT_URL {place.url}/{path.strip('/')} is not where the server's root" in said.err
        )


@pytest.mark.parametrize(
    "words",
    [
        ("evidence", "list", "{case}"),
        ("evidence", "show", "{case}", "EV-0001"),
        ("evidence", "get", "{case}", "EV-0001", "--purpose", "look"),
        ("evidence", "withdraw", "{case}", "EV-0001", "--reason", "r"),
    ],
)
def test_a_collector_is_told_that_it_reads_nothing_and_nothing_is_sealed_of_it(
    place: Place,
    case: str,
    vault: Vault,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    people.collector("collector:edge-1", case)
    monkeypatch.setenv("EVAULT_TOKEN", "secret-collector:edge-1")
    Path("b.log").write_text("another line\n")
    before = vault.index.head(case)
    place.between.asked.clear()
    said = run(*(word.format(case=case) for word in words))
    assert (said.code, said.raw) == (2, b"")
    message = said.err.splitlines()[-1]
    assert "a collector's token appends only" in message
    assert "a person's token" in message
    assert "grant" not in said.err
    assert vault.index.head(case) == before
    paths = [path for _, path, _ in place.between.asked]
    assert not [path for path in paths if case in path or "stream" in path]


def test_a_large_file_streams_through_without_being_held(
    place: Place, case: str, vault: Vault
) -> None:
    size = 40 << 20
    with Path("large.bin").open("wb") as file:
        for number in range(size >> 20):
            file.write(bytes([number]) * (1 << 20))
    assert run("ingest", "large.bin").code == 0
    got = run("evidence", "get", "EV-0002", "--purpose", "look", "-o", "back.bin")
    assert got.code == 0, got.err
    assert Path("back.bin").read_bytes() == Path("large.bin").read_bytes()
    assert vault.incidents.read(case).state.exhibits["EV-0002"].item.size == size
