"""A collector's own P-256 key: a PEM file that nobody else may read, and its public half beside."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ingest.durable import Files
from verify.collection import public_key_of
from verify.envelope import Envelope, ManifestKey, pae
from verify.errors import EvidenceError

_ECDSA = ec.ECDSA(hashes.SHA256())


class KeyUnusableError(EvidenceError):
    """A collector's key cannot be used as it lies there."""

    code = "key_unusable"


class CollectorKey:
    """The private half; it signs collections and nothing else."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = ManifestKey(
            private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def seal(self, payload: bytes) -> Envelope:
        """The payload in an envelope under this key."""
        return Envelope(payload, self.public.key_id, self._private.sign(pae(payload), _ECDSA))


def create_key(private: Path, public: Path, files: Files) -> CollectorKey:
    """Make a key; both files are whole or absent. Raises `OSError`."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    files.replace(private, pem)
    files.replace(
        public,
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )
    return CollectorKey(key)


def load_key(path: Path) -> CollectorKey:
    """Load the private half. Raises `KeyUnusableError`."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except OSError as error:
        raise KeyUnusableError(f"cannot read the key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise KeyUnusableError(
            f"{path} may be read by others (mode {mode:04o}); if nobody has read it, run: "
            f"chmod 600 {path}; else make a new spool and take this key back at the vault"
        )
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusableError(f"{path} is no private key; restore it from your backup") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise KeyUnusableError(f"{path} is no P-256 key; restore it from your backup")
    return CollectorKey(private)


def read_public_key(path: Path) -> ManifestKey:
    """The public half, as PEM or base64. Raises `MalformedError`, `OSError`."""
    return public_key_of(path.read_bytes(), where=str(path))
