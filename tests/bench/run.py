"""`make bench`: our work beside what a user would run instead, in one run, on this machine.

Figures are printed, never asserted. Sizes: EVAULT_BENCH_GIB (default 1), EVAULT_BENCH_LINKS
(default 100000), EVAULT_BENCH_ITEMS (default 10000), EVAULT_BENCH_ROUNDS (default 3),
EVAULT_BENCH_SECONDS (default 3). `make bench PART=record` measures one part.
Each line: the work, ours, theirs, ours/theirs, the goal, and our peak memory.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import checklist
import facts
import otlp
import record
import service
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from measuring import (
    GIB,
    ROOM,
    ROUNDS,
    SIZE,
    Timed,
    declare,
    evault,
    evault_output,
    line,
    make_file,
    run,
    timed,
)

from vault.adapters.pem import Ed25519Signer, P256Signer
from verify import note as notes
from verify.audit import audit
from verify.checkpoint import checkpoint_text
from verify.envelope import Envelope, ManifestKey, leaf_hash_of, pae
from verify.errors import MalformedError
from verify.incident import Exhibit
from verify.merkle import Frontier
from verify.report import Finding
from verify.statement import (
    SEEN_NOTHING,
    Actor,
    Link,
    Statement,
    Type,
    chain_subject,
)
from verify.trust import Trust, format_trust, parse_trust

LINKS = int(os.environ.get("EVAULT_BENCH_LINKS", "100000"))
PARTS = {
    "embedded": lambda: (ingest_large(), ingest_small(), verify_chain()),
    "record": record.measure,
    "facts": facts.measure,
    "checklist": checklist.measure,
    "service": service.measure,
    "otlp": otlp.measure,
}


def main() -> None:
    """Run all measurements."""
    shutil.rmtree(ROOM, ignore_errors=True)
    ROOM.mkdir(parents=True)
    openssl = run("openssl", "version")[0].strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, Python {platform.python_version()}, {openssl}")
    heads = f"{'ours':>9}{'theirs':>9}{'ratio':>8}{'goal':>8}{'memory':>10}"
    print(f"{'work':<56}{heads}")
    try:
        for part in sys.argv[1:] or PARTS:
            PARTS[part]()
    finally:
        shutil.rmtree(ROOM, ignore_errors=True)


def ingest_large() -> None:
    """A large file into the directory store, its bundle, and the bundle's verification."""
    source = ROOM / "large.bin"
    make_file(source, SIZE)
    ours, theirs = [], []
    for number in range(ROUNDS):
        home = new_home(number)
        subprocess.run(["sync"], check=True)
        ours.append(evault(home, "ingest", str(source)))
        copy = ROOM / "copy.bin"
        subprocess.run(["sync"], check=True)
        started = time.perf_counter()
        run("cp", source, copy)
        run("sync", copy)
        run("openssl", "dgst", "-sha256", copy)
        theirs.append(Timed(time.perf_counter() - started, 0))
        copy.unlink()
        if number < ROUNDS - 1:
            shutil.rmtree(home)
    line(f"ingest {SIZE / GIB:g} GiB, directory | cp+sync+openssl", ours, theirs, "1.0")
    source.unlink()
    bundle = ROOM / "case.zip"
    evault(home, "export", "-o", str(bundle), "--purpose", "bench")
    (ROOM / "trust.json").write_text(evault_output(home, "trust"))
    shutil.rmtree(home)
    verify_bundle(bundle, f"verify a bundle of {SIZE / GIB:g} GiB, 1 file", None)
    bundle.unlink()
    several_files()


def several_files() -> None:
    """A bundle of the same size in four files, which two threads can share."""
    folder = ROOM / "several"
    folder.mkdir()
    for number in range(4):
        make_file(folder / f"{number}.bin", SIZE // 4)
    home = new_home(9)
    evault(home, "ingest", str(folder))
    shutil.rmtree(folder)
    bundle = ROOM / "case.zip"
    evault(home, "export", "-o", str(bundle), "--purpose", "bench")
    (ROOM / "trust.json").write_text(evault_output(home, "trust"))
    shutil.rmtree(home)
    verify_bundle(bundle, f"verify a bundle of {SIZE / GIB:g} GiB, 4 files", "0.8")
    bundle.unlink()


def verify_bundle(bundle: Path, name: str, goal_on_two: str | None) -> None:
    """`python -m verify` on one core and on all, beside openssl over the unpacked files."""
    unpacked = ROOM / "unpacked"
    run("unzip", "-q", bundle, "-d", unpacked)
    files = [path for path in unpacked.rglob("*") if path.is_file()]
    words = [sys.executable, "-m", "verify", bundle, "--trust", ROOM / "trust.json"]
    theirs, one, two = [], [], []
    for _ in range(ROUNDS):
        theirs.append(timed("openssl", "dgst", "-sha256", *files))
        one.append(timed("taskset", "-c", "0", *words))
        two.append(timed(*words))
    line(f"{name}, one core | openssl", one, theirs, "1.3")
    line(f"{name}, all cores | openssl", two, theirs, goal_on_two or "-")
    coreutils = timed("sha256sum", *files)
    print(f"{'':<4}coreutils sha256sum of the same: {coreutils.seconds:.2f} s")
    shutil.rmtree(unpacked)


def ingest_small() -> None:
    """Ten thousand small files: what packs are for."""
    folder = ROOM / "small"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number:05}.txt").write_text(f"{number} {secrets.token_hex(5_000)}\n")
    subprocess.run(["sync"], check=True)
    home = new_home(10)
    ours = [evault(home, "ingest", str(folder))]
    copy = ROOM / "small-copy"
    started = time.perf_counter()
    run("cp", "-r", folder, copy)
    run("sync", "-f", copy)
    files = sorted(copy.iterdir())
    run("openssl", "dgst", "-sha256", *files)
    theirs = [Timed(time.perf_counter() - started, 0)]
    line("ingest 10,000 files of 10 KB | cp+sync+openssl", ours, theirs, "-")
    shutil.rmtree(folder)
    shutil.rmtree(copy)
    shutil.rmtree(home)


class ChainRecord:
    """A chain of many small statements in memory; satisfies `verify.audit.Record`."""

    depth = "structure"

    def __init__(self, count: int) -> None:
        self.signer = P256Signer(ec.generate_private_key(ec.SECP256R1()))
        log = Ed25519Signer(ed25519.Ed25519PrivateKey.generate())
        verifier = notes.VerifierKey("bench.invalid/log", log.public)
        self.key = ManifestKey(self.signer.public)
        self.trust: Trust = parse_trust(
            format_trust(log=verifier, manifest_keys=[self.key]), where="bench"
        )
        self.envelopes: list[bytes] = []
        frontier = Frontier()
        previous = None
        for sequence in range(count):
            envelope = self._sign(sequence, previous)
            leaf = leaf_hash_of(envelope, self.key.spki)
            frontier.append(leaf)
            previous = leaf.hex()
            self.envelopes.append(envelope.encode())
        text = checkpoint_text(verifier.name, frontier.head())
        self.note = str(notes.sign(text, verifier.name, log.public, log.sign)).encode()

    def links(self) -> Iterator[tuple[int, bytes]]:
        """Every link."""
        return enumerate(self.envelopes)

    def checkpoint(self) -> bytes:
        """The signed head."""
        return self.note

    def inclusion(self) -> tuple[int, list[int], list[str]]:
        """All leaves of the tree: nothing stands in for them."""
        return len(self.envelopes), list(range(len(self.envelopes))), []

    def content(self, exhibit: Exhibit) -> str:
        """There is none."""
        raise MalformedError(exhibit.item.exhibit)

    def description(self, exhibit: Exhibit) -> bytes:
        """There is none."""
        raise MalformedError(exhibit.item.exhibit)

    def attested(self, exhibits: Sequence[Exhibit]) -> Iterable[Finding]:
        """Nor a store."""
        del exhibits
        return ()

    def _sign(self, sequence: int, previous: str | None) -> Envelope:
        moment = datetime.now(UTC).replace(microsecond=0)
        body = {
            "at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "event": "assigned",
            "person": f"person {sequence}",
            "role": "forensics_lead",
        }
        if sequence == 0:
            body = {
                "declared_at": body["at"],
                "detected_at": body["at"],
                "event": "declared",
                "severity": "sev1",
                "systems": ["bench"],
                "tier": "unknown",
                "title": "bench",
                "trigger": "unknown",
            }
        payload = Statement(
            type=Type.INCIDENT,
            subject=(chain_subject("INC-2026-0001"),),
            log="bench.invalid/log",
            link=Link("INC-2026-0001", sequence, previous),
            deposit=f"bench-{sequence}",
            actor=Actor("bench@host", "person", "uid 1000, local", None),
            recorded_at=moment,
            salt=secrets.token_hex(32),
            seen=SEEN_NOTHING,
            body=body,
        ).encode()
        return Envelope(payload, self.key.key_id, self.signer.sign(pae(payload)))


def verify_chain() -> None:
    """A chain of many manifests, beside one P-256 verification each."""
    record = ChainRecord(LINKS)
    message = pae(b"x" * 900)
    signature = record.signer.sign(message)
    private = ec.generate_private_key(ec.SECP256R1())
    signature, public = private.sign(message, ec.ECDSA(hashes.SHA256())), private.public_key()
    algorithm = ec.ECDSA(hashes.SHA256())
    started = time.perf_counter()
    for _ in range(LINKS):
        public.verify(signature, message, algorithm)
    theirs = Timed(time.perf_counter() - started, 0)
    started = time.perf_counter()
    report = audit(record, record.trust, trusted=True)
    ours = Timed(time.perf_counter() - started, 0)
    if report.failures():
        raise SystemExit(f"the chain does not verify: {report.failures()[0]}")
    line(f"verify a chain of {LINKS:,} manifests | P-256", [ours], [theirs], "1.5")


def new_home(number: int) -> Path:
    """A vault with one open incident."""
    home = ROOM / f"home-{number}"
    evault(home, "init")
    declare(home)
    return home


if __name__ == "__main__":
    main()
