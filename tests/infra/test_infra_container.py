"""Container and compose file, as far as they can be judged without an engine that runs them."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
EXTRAS = ("server", "postgresql", "s3", "formats")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return found


# What is installed


def test_the_image_installs_what_evault_depends_on_and_nothing_else() -> None:
    """The closure over what is installed here, from pyproject.toml on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(each) for each in project["dependencies"]]
    for extra in EXTRAS:
        waiting += [Requirement(each) for each in project["optional-dependencies"][extra]]
    found = set[tuple[str, str]]()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            name = normal(requirement.name)
            if (name, extra) in found:
                continue
            found.add((name, extra))
            for text in importlib.metadata.requires(name) or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    assert listed("packages.txt") == sorted({name for name, _ in found})


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(name: str) -> list[str]:
    lines = (INFRA / name).read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("name", ["packages.txt", "build-packages.txt"])
def test_every_package_is_pinned_with_its_hashes_as_in_constraints(name: str) -> None:
    done = pins(ROOT / "constraints.txt", INFRA / name)
    assert done.returncode == 0, done.stderr
    blocks = re.split(r"\n(?=\S)", done.stdout.strip())
    constraints = (ROOT / "constraints.txt").read_text()
    assert [block.partition("==")[0] for block in blocks] == listed(name)
    for block in blocks:
        assert "--hash=sha256:" in block
        assert f"\n{block}\n" in f"\n{constraints}", "not as it stands in constraints.txt"


def test_a_package_without_a_pin_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "wanted").write_text("alembic\nunheard-of\n")
    done = pins(ROOT / "constraints.txt", tmp_path / "wanted")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no pin of unheard-of" in done.stderr


def pins(*arguments: Path) -> subprocess.CompletedProcess[str]:
    # As in the container: nothing but Python.
    return subprocess.run(
        [sys.executable, "-I", "-S", INFRA / "pins.py", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def instructions(stage: int) -> list[str]:
    """The instructions of a stage of the container file, counted from the end."""
    lines = (INFRA / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    begins = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    ends = [*begins[1:], len(lines)]
    return lines[begins[stage] : ends[stage]]


def test_the_image_runs_as_nobody_in_particular_and_has_no_tools() -> None:
    final = instructions(-1)
    [user] = [line for line in final if line.startswith("USER ")]
    assert re.fullmatch(r"USER [1-9][0-9]{3,}:[1-9][0-9]{3,}", user)
    assert [line for line in final if line.startswith("COPY ")] == [
        "COPY --from=build /opt/evault /opt/evault"
    ]
    assert any("pip uninstall" in line and " pip" in line.split("&&")[0] for line in final)
    assert not any(re.search(r"\b(apt-get|apk|pip install|gcc|git)\b", line) for line in final)
    assert any(line.startswith("HEALTHCHECK") and "/healthz" in line for line in final)


def test_what_is_installed_over_the_network_has_hashes() -> None:
    installs = re.findall(r"\bpip (?:--python \S+ )?install [^&]*", " ".join(instructions(0)))
    assert len(installs) == 3
    for each in installs:
        assert "--require-hashes" in each or "--no-index" in each, each


def test_the_build_is_given_what_it_copies_and_no_more() -> None:
    """`.dockerignore` lets through by name: no key, home, test or history can slip in."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in rules if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line[1:] for line in rules if line.startswith("!")}
    copied = {
        source
        for line in instructions(0)
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    }
    assert let_in == copied
    assert all((ROOT / each).exists() for each in let_in)


# A root that is read-only


@pytest.mark.slow
def test_a_server_writes_into_its_home_and_tmp_alone(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here: apt-get install strace")
    home, trace = tmp_path / "home", tmp_path / "trace"
    evault = Path(sys.executable).with_name("evault")
    given = {**os.environ, "EVAULT_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([evault, "init"], env=given, check=True, capture_output=True)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = str(place.getsockname()[1])
    server = subprocess.Popen(
        [strace, "-f", "-qq", "-y", "-o", trace, "-e", "trace=%file",
         evault, "serve", "--port", port],
        env=given, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert server.stderr is not None
    try:
        said = [next(line for line in server.stderr if "running on" in line)]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20) as answer:
            assert answer.status == 200
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.stderr.close()
        server.wait()
    assert said
    changing = re.compile(
        r"\b(?:open\w*\(.*O_(?:WRONLY|RDWR|CREAT)|(?:creat|mkdir|mknod|rename|rmdir|unlink|link"
        r"|symlink|truncate|chmod|chown|utime)\w*\()"
    )
    # Of calls that failed none changed anything; devices are none of the root's files.
    changed = {
        path
        for line in trace.read_text().splitlines()
        if changing.search(line) and not re.search(r"= -1 E", line)
        for path in re.findall(r'"([^"]+)"', line)
        if not path.startswith(("/dev/", "/proc/"))
    }
    assert changed, "the trace shows no writes at all"
    assert {each for each in changed if not each.startswith((f"{home}/", "/tmp/"))} == set()


# The compose file


def test_every_service_is_hardened(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert any(each.startswith("/tmp:") for each in service["tmpfs"]), name
        assert "healthcheck" in service, name
        assert re.search(r":(?!latest)[^:/]+$", service["image"]), name


def test_only_the_proxy_can_be_reached_and_only_vaults_reach_the_record(
    compose: dict[str, Any],
) -> None:
    services, networks = compose["services"], compose["networks"]
    assert [name for name, each in services.items() if "ports" in each] == ["proxy"]
    assert all(each.startswith("127.0.0.1:") for each in services["proxy"]["ports"])
    on = {
        network: {name for name, each in services.items() if network in each["networks"]}
        for network in networks
    }
    assert on == {
        "edge": {"proxy"},
        "front": {"proxy", "vault-1", "vault-2"},
        "index": {"postgres", "vault-1", "vault-2", "init"},
        "objects": {"s3", "vault-1", "vault-2", "init"},
    }
    [front] = networks["front"]["ipam"]["config"]
    command = services["vault-1"]["command"]
    assert command[command.index("--proxy") + 1] == front["subnet"]
    inner = {name for name, each in networks.items() if each.get("internal")}
    assert inner == {"front", "index", "objects"}


def test_the_two_vaults_are_the_same(compose: dict[str, Any]) -> None:
    assert compose["services"]["vault-1"] == compose["services"]["vault-2"]


def test_of_the_s3_server_only_s3_leaves_its_container(compose: dict[str, Any]) -> None:
    """The filer goes past Object Lock."""
    command = compose["services"]["s3"]["command"]
    assert {each for each in command if ".bind=" in each} == {
        "-ip.bind=127.0.0.1",
        "-s3.ip.bind=0.0.0.0",
    }


def test_secrets_are_files_that_the_script_makes(compose: dict[str, Any], secrets: Path) -> None:
    made = {each.name for each in secrets.iterdir()}
    for name, secret in compose["secrets"].items():
        assert Path(secret["file"]).name in made, name
    used = {name for each in compose["services"].values() for name in each["secrets"]}
    assert used == compose["secrets"].keys()
    words = [path.read_text().split()[-1] for path in secrets.glob("postgres-*")]
    text = (INFRA / "compose.yaml").read_text()
    assert len(set(words)) == 3
    assert not any(word in text for word in words)


def test_no_container_has_secrets_of_others(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("vault-1", "vault-2"):
        assert services[name]["secrets"] == ["aws-vault", "pg-service-service"]
    assert "owner" not in "".join(services["proxy"]["secrets"] + services["s3"]["secrets"])


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("infra") / "secrets"
    done = make_secrets(folder)
    assert done.returncode == 0, done.stderr
    return folder


def make_secrets(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INFRA / "make-secrets.sh", folder], capture_output=True, text=True, check=False
    )


def test_secrets_are_for_their_owner_alone_and_made_once(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    before = {each.name: each.read_bytes() for each in secrets.iterdir()}
    done = make_secrets(secrets)
    assert done.returncode == 2
    assert "nothing was changed" in done.stderr
    assert {each.name: each.read_bytes() for each in secrets.iterdir()} == before


def test_the_vaults_s3_key_is_no_owners(secrets: Path) -> None:
    vault = (secrets / "aws-vault").read_text()
    assert "[owner]" not in vault
    assert vault in (secrets / "aws-init").read_text()
    config = yaml.safe_load((secrets / "s3.json").read_text())
    [actions] = [each["actions"] for each in config["identities"] if each["name"] == "vault"]
    assert all(each.endswith(":evidence") for each in actions)
    assert not any(each.startswith(("Admin", "Bypass")) for each in actions)


def test_made_secrets_are_not_committed() -> None:
    done = subprocess.run(
        ["git", "check-ignore", "-q", "infra/secrets/tls.pem"], cwd=ROOT, check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    )  # fmt: skip
    assert done.returncode == 0
