"""What the compose file puts together, run without containers: its own commands on free ports.

Two vaults, PostgreSQL with passwords, SeaweedFS with the vault's own key, the proxy. Names of
services become addresses of this machine, and `/run/secrets` a folder; the rest is taken as it is.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
import urllib3
import yaml
from servers import postgres, s3

from vault.adapters.s3_check import SCRATCH
from verify.checkpoint import open_checkpoint, parse_tlog_proof
from verify.trust import Trust, parse_trust

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
STORE_ADDRESS = "127.0.0.2"  # where the S3 server's network would be; its own inside is 127.0.0.1
START = 60.0
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


@dataclass(frozen=True)
class Topology:
    """The running services, and how the compose file's words are read here."""

    folder: Path
    compose: dict[str, Any]
    database: postgres.PostgresServer
    ports: dict[str, int]
    made: set[str] = field(default_factory=set)
    """The keys that the bucket had after `init`."""

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def objects(self) -> str:
        return f"http://{STORE_ADDRESS}:{self.ports['s3']}"

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def native(self, text: str) -> str:
        """A word of the compose file, with names of that world as they are in this one."""
        for name, secret in self.compose["secrets"].items():
            made = self.secrets / Path(secret["file"]).name
            text = re.sub(rf"/run/secrets/{name}\b(?!-)", str(made), text)
        text = text.replace("http://s3:8333", self.objects)
        text = text.replace("@postgres/evault", f"@/evault?host={self.database.folder}")
        return text.replace("/infra/", f"{INFRA}/").replace("$$", "$")

    def environment(self, service: str) -> dict[str, str]:
        """What a service is given, and of ours what programs cannot do without."""
        given = self.compose["services"][service]["environment"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        words = {name: self.native(value) for name, value in given.items()}
        kept = {"PATH": path, "HOME": str(self.folder), "EVAULT_HOME": str(self.home)}
        return {**kept, **words, "AWS_CONFIG_FILE": os.devnull, "LC_ALL": "C.UTF-8"}

    def init(self) -> subprocess.CompletedProcess[str]:
        """The compose file's one-shot service, as it is written there."""
        service = self.compose["services"]["init"]
        environment = self.environment("init")
        environment["EVAULT_ORIGIN"] = "vault.example.org/log"
        return subprocess.run(
            [*service["entrypoint"], *map(self.native, service["command"])],
            env=environment, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip

    def evault(self, *words: str) -> Any:
        """A command beside the servers, as another process of a vault: its JSON answer."""
        done = subprocess.run(
            ["evault", *words, "--json"],
            env=self.environment("vault-1"), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """All but vaults and proxy, and a vault's home in which nothing happened yet."""
    if postgres.find_programs() is None or shutil.which("psql") is None:
        pytest.skip(postgres.HOW)
    if s3.find_weed() is None:
        pytest.skip(s3.HOW)
    folder = tmp_path_factory.mktemp("topology")
    compose = yaml.safe_load((INFRA / "compose.yaml").read_text())
    subprocess.run([INFRA / "make-secrets.sh", folder / "secrets"], check=True, capture_output=True)
    with ExitStack() as stack:
        database = stack.enter_context(postgres.running())
        names = ("s3", "vault-1", "vault-2", "proxy", "master", "volume", "filer")
        free = iter(s3._free_ports(2 * len(names)))
        ports = {name: next(free) for name in (*names, *(f"{name}.grpc" for name in names))}
        made = Topology(folder, compose, database, ports)
        make_roles(made)
        stack.enter_context(running_s3(made))
        done = made.init()
        assert done.returncode == 0, done.stdout + done.stderr
        made.made.update(keys_of(made))
        yield made


def keys_of(topology: Topology) -> Iterator[str]:
    """All keys of all versions in the bucket, as its owner sees them."""
    profiles = configparser.ConfigParser()
    profiles.read(topology.secrets / "aws-init")
    client = boto3.session.Session(**profiles["owner"], region_name="us-east-1").client(
        "s3", endpoint_url=topology.objects
    )
    for page in client.get_paginator("list_object_versions").paginate(Bucket="evidence"):
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield each["Key"]


def make_roles(topology: Topology) -> None:
    """The image's start: roles.sh by the superuser; then only who has a password gets in."""
    database = topology.database
    database.execute(
        "postgres", *(f"DROP ROLE {name}" for name in (postgres.OWNER, postgres.SERVICE))
    )
    access = "local all postgres trust\nlocal all all scram-sha-256\n"
    (database.folder / "data" / "pg_hba.conf").write_text(access)
    database.execute("postgres", "SELECT pg_reload_conf()")
    subprocess.run(
        [INFRA / "postgres" / "roles.sh"],
        env={
            "EVAULT_SECRETS": str(topology.secrets), "PATH": os.environ["PATH"],
            "PGHOST": str(database.folder), "POSTGRES_USER": "postgres",
        },
        check=True, capture_output=True,
    )  # fmt: skip


@contextmanager
def running_s3(topology: Topology) -> Iterator[None]:
    """The compose file's S3 server: its arguments, but for folder, ports and outer address."""
    data = topology.folder / "objects"
    data.mkdir()
    words = []
    for word in map(topology.native, topology.compose["services"]["s3"]["command"]):
        name = word.partition("=")[0]
        replaced = {"-dir": data, "-s3.ip.bind": STORE_ADDRESS, "-s3.port": topology.ports["s3"]}
        words.append(f"{name}={replaced[name]}" if name in replaced else word)
    for name in ("master", "volume", "filer", "s3"):
        words.append(f"-{name}.port.grpc={topology.ports[f'{name}.grpc']}")
        if name != "s3":
            words.append(f"-{name}.port={topology.ports[name]}")
    program = s3.find_weed()
    assert program
    given = topology.compose["services"]["s3"]["environment"]
    # Small volumes: a test's disk is no server's.
    with running(
        [program, *words, "-master.volumeSizeLimitMB=256"], {**os.environ, **given}, data / "log"
    ) as process:
        wait_for(f"{topology.objects}/healthz", process, data / "log")
        yield
    shutil.rmtree(data, ignore_errors=True)


@contextmanager
def running(
    words: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, killed by its own id at the end if it still runs."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            words, env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=log.parent
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, **more: Any) -> None:
    pool = urllib3.PoolManager(retries=False, **more)
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        try:
            if pool.request("GET", url, timeout=5).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not come: {log.read_text()[-2000:]}")


@contextmanager
def serving(topology: Topology, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """One vault of the compose file, by its command."""
    command = list(topology.compose["services"][name]["command"])
    command[command.index("--host") + 1] = "127.0.0.1"
    command[command.index("--port") + 1] = str(topology.ports[name])
    command[command.index("--proxy") + 1] = "127.0.0.1"
    log = topology.folder / f"{name}.log"
    with running(["evault", *command], topology.environment(name), log) as process:
        wait_for(f"{topology.url(name)}/readyz", process, log)
        yield process


@pytest.fixture(scope="module")
def vaults(topology: Topology) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Both vaults, ready."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(topology, name)) for name in ("vault-1", "vault-2")
        }


@pytest.fixture
def proxy(
    topology: Topology, vaults: dict[str, subprocess.Popen[bytes]]
) -> Iterator[tuple[str, urllib3.PoolManager]]:
    """The one address, and a client that believes its certificate alone."""
    if HAPROXY is None:
        pytest.skip("no HAProxy here: apt-get install haproxy")
    assert vaults
    given = topology.environment("proxy") | {
        "EVAULT_LISTEN": f"127.0.0.1:{topology.ports['proxy']}",
        "EVAULT_VAULT_1": f"127.0.0.1:{topology.ports['vault-1']}",
        "EVAULT_VAULT_2": f"127.0.0.1:{topology.ports['vault-2']}",
    }
    log = topology.folder / "proxy.log"
    authority = {"ca_certs": str(topology.secrets / "tls.crt")}
    url = f"https://127.0.0.1:{topology.ports['proxy']}"
    with running([HAPROXY, "-db", "-f", str(INFRA / "haproxy.cfg")], given, log) as process:
        wait_for(f"{url}/readyz", process, log, **authority)
        yield url, urllib3.PoolManager(retries=False, **authority)


def get(url: str, pool: urllib3.PoolManager | None = None) -> bytes:
    answer = (pool or urllib3.PoolManager(retries=False)).request("GET", url, timeout=20)
    assert answer.status == 200, answer.data
    return answer.data


def trust_of(topology: Topology) -> Trust:
    return parse_trust((topology.home / "trust.json").read_bytes(), where="trust.json")


def test_init_made_one_vault_and_makes_no_second(topology: Topology) -> None:
    assert trust_of(topology).origin == "vault.example.org/log"
    config = json.loads((topology.home / "evault.json").read_bytes())
    # All that init tried of the bucket worked with the vault's own key, which is no owner's.
    assert (config["store"]["lacks"], config["store"]["locks"]) == ([], True)
    before = {each.name: each.read_bytes() for each in topology.home.iterdir() if each.is_file()}
    done = topology.init()
    assert done.returncode == 0, done.stderr
    assert "nothing was changed" in done.stdout
    after = {each.name: each.read_bytes() for each in topology.home.iterdir() if each.is_file()}
    assert after == before


def test_init_writes_scratch_keys_alone(topology: Topology) -> None:
    """So the cloud template's installer needs no right to anything else."""
    assert topology.made
    assert {key for key in topology.made if not key.startswith(f"vault/{SCRATCH}")} == set()


def test_no_secret_is_in_what_init_kept(topology: Topology) -> None:
    words = [each.read_text().strip() for each in topology.secrets.glob("postgres-*")]
    words += re.findall(r"secret_access_key = (\S+)", (topology.secrets / "aws-init").read_text())
    assert len(words) == 5
    config = (topology.home / "evault.json").read_text()
    assert not any(word in config for word in words)


def test_without_its_password_the_service_gets_no_connection(topology: Topology) -> None:
    where = f"postgresql://{postgres.SERVICE}@/evault?host={topology.database.folder}"
    with pytest.raises(psycopg.OperationalError, match="no password"):
        psycopg.connect(where)
    password = (topology.secrets / "postgres-service").read_text().strip()
    # With it the service is let in, and owns nothing: not even a schema of its own may it make.
    with (
        psycopg.connect(where, password=password) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE SCHEMA mine")


def test_the_services_role_issues_tokens_in_tables_that_init_made(topology: Topology) -> None:
    made = topology.evault("token", "add", "ada@example.org")
    listed = topology.evault("token", "list", "ada@example.org")
    assert made["token"]["id"] in {each["id"] for each in listed["items"]}
    where = f"postgresql://postgres@/evault?host={topology.database.folder}"
    with psycopg.connect(where) as connection:
        found = connection.execute(
            "SELECT tableowner FROM pg_tables WHERE schemaname = 'evault_access'"
        ).fetchall()
    assert {owner for (owner,) in found} == {postgres.OWNER}


def test_the_filer_that_goes_past_object_lock_is_not_on_the_vaults_network(
    topology: Topology,
) -> None:
    pool = urllib3.PoolManager(retries=False)
    assert pool.request("GET", f"http://127.0.0.1:{topology.ports['filer']}/").status < 500
    for name in ("filer", "master", "volume", "filer.grpc", "master.grpc", "volume.grpc"):
        with pytest.raises(urllib3.exceptions.HTTPError):
            pool.request("GET", f"http://{STORE_ADDRESS}:{topology.ports[name]}/", timeout=5)


def test_both_vaults_show_what_a_third_process_sealed(
    topology: Topology, vaults: dict[str, subprocess.Popen[bytes]]
) -> None:
    sealed = topology.evault(
        "incident", "declare", "--title", "Mail went out", "--severity", "sev2",
        "--tier", "unknown", "--system", "mail-agent", "--detected-at", "-12m",
    )["receipt"]  # fmt: skip
    log = trust_of(topology).log
    notes, proofs = set(), set()
    for name in vaults:
        notes.add(get(f"{topology.url(name)}/v1/log/checkpoint"))
        proofs.add(get(f"{topology.url(name)}/v1/log/proof?index={sealed['index']}"))
    [note], [proof] = notes, proofs  # the same of both
    proven = parse_tlog_proof(proof)
    assert proven.index == sealed["index"]
    proven.check(bytes.fromhex(sealed["leaf_hash"]))
    assert open_checkpoint(note, log).head == proven.checkpoint.head


def test_who_is_refused_again_and_again_waits(proxy: tuple[str, urllib3.PoolManager]) -> None:
    url, pool = proxy
    guess = {"Authorization": "Bearer a-guess"}
    told = [pool.request("GET", f"{url}/v1/incidents", headers=guess) for _ in range(130)]
    statuses = [each.status for each in told]
    assert set(statuses[:100]) == {401}
    assert statuses[-1] == 429
    assert told[-1].headers["Retry-After"] == "60"


# Last in this file: one of the vaults does not come back.


def test_the_proxy_goes_on_when_a_vault_is_killed(
    topology: Topology,
    vaults: dict[str, subprocess.Popen[bytes]],
    proxy: tuple[str, urllib3.PoolManager],
) -> None:
    url, pool = proxy
    assert json.loads(get(f"{url}/readyz", pool))["status"] == "ready"
    vaults["vault-1"].send_signal(signal.SIGKILL)
    vaults["vault-1"].wait()
    for _ in range(10):  # by turns, whichever would be next
        assert json.loads(get(f"{url}/readyz", pool))["status"] == "ready"
