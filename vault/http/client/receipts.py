"""Receipts as a server gives them: believed only under the log's key."""

from __future__ import annotations

from vault.deposit import Receipt
from verify.checkpoint import open_checkpoint, parse_tlog_proof
from verify.digest import check_hex
from verify.errors import ProofError
from verify.strictjson import Fields, Object
from verify.trust import Trust


def read_receipt(value: object, trust: Trust, *, chain: str) -> Receipt:
    """A receipt for a link of a chain, its proof checked.

    Raises `MalformedError`, `SignatureError`, `ProofError`.
    """
    where = "the server's receipt"
    reader = Fields(value, where)
    receipt = Receipt(
        chain=reader.text("chain"),
        sequence=reader.count("sequence"),
        deposit=reader.text("deposit"),
        leaf_hash=check_hex(reader.raw("leaf_hash"), where=where),
        index=reader.count("index"),
        proof=reader.text("proof"),
        checkpoint_number=reader.count("checkpoint_number"),
        repeated=reader.raw("repeated") is True,
    )
    kept = reader.text("state") == "kept"
    reader.done()
    proof = parse_tlog_proof(receipt.proof.encode())
    open_checkpoint(str(proof.checkpoint).encode(), trust.log)
    proof.check(bytes.fromhex(receipt.leaf_hash))
    if not kept or receipt.chain != chain or proof.index != receipt.index:
        raise ProofError(f"{where} is not for what was asked on {chain}; it proves nothing")
    return receipt


def receipt_of(answer: Object, trust: Trust, *, chain: str) -> Receipt:
    """The receipt in an answer."""
    return read_receipt(answer.get("receipt"), trust, chain=chain)
