"""The vault: original bytes, sealed to public keys before the answer leaves.

The gate's processes hold public keys only. An object is named by the SHA-256 of its sealed bytes:
its name proves it whole without any key, and tells nobody who lists the folder or bucket what was
uploaded, which the original's hash would. Each upload is sealed on its own, also when its bytes
were seen before: it is evidence of *this* upload.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tutela.cases import custody, recipients
from tutela.cases.sealing import Sealable, Sealed, encrypt
from tutela.core import new_id, utc_now
from tutela.core.custody import seal_facts
from tutela.errors import EvidenceDamaged, Unavailable
from tutela.settings import Settings
from tutela.store import Database, Objects, insert_new
from tutela.store.faults import from_os
from tutela.store.tables.evidence import evidence

PREFIX = "evidence"
"""The folder of sealed evidence within the object store."""


class Vault:
    """Seals, and records what was sealed. Thread-safe.

    Making one makes the key at the first start of all (by another process). Raises
    ``InvalidSetting`` for unusable recipients.
    """

    def __init__(self, settings: Settings, objects: Objects) -> None:
        self.settings = settings
        self.objects = objects
        self.recipients = recipients.load(settings)
        """The public keys that evidence is sealed to."""
        self._keys = [recipients.parse(text) for text in self.recipients]
        encrypt(io.BytesIO(), io.BytesIO(), self._keys)  # now, not at the first upload to seal

    @property
    def key_path(self) -> Path:
        """Where the private key made at first start is, unless it was moved away (do)."""
        return recipients.key_path(self.settings)

    async def seal(
        self,
        source: Sealable,
        *,
        facts: Mapping[str, Any] | None = None,
        sha256: bytes | None = None,
    ) -> Sealed:
        """As ``seal_blocking``, in a thread."""
        return await asyncio.to_thread(self.seal_blocking, source, facts=facts, sha256=sha256)

    def seal_blocking(
        self,
        source: Sealable,
        *,
        facts: Mapping[str, Any] | None = None,
        sha256: bytes | None = None,
    ) -> Sealed:
        """Encrypt all of ``source`` into the object store; durable when it returns.

        ``sha256`` is what the examined bytes hashed to, where known: sealing other bytes than
        were examined raises ``EvidenceDamaged``. Raises ``StorageFull`` or ``StoreUnavailable``
        where it cannot be stored; then nothing was kept, and the answer must be an error.
        """
        with self.objects.stage() as staged:
            try:
                with source.open() as reader:
                    plain, sealed = encrypt(reader, staged, self._keys)
            except OSError as error:
                raise from_os(error, "Evidence cannot be sealed") from error
            if sha256 is not None and plain.sha256.digest() != sha256:
                raise EvidenceDamaged(
                    "The bytes to seal are not the bytes that were examined.",
                    kept="Nothing was kept.",
                )
            name = object_name(sealed.sha256.digest())
            staged.commit(name)
        return Sealed(
            evidence_id=new_id("ev"),
            object_name=name,
            sealed_at=utc_now(),
            size=plain.size,
            md5=plain.md5.digest(),
            sha1=plain.sha1.digest(),
            sha256=plain.sha256.digest(),
            sealed_size=sealed.size,
            sealed_sha256=sealed.sha256.digest(),
            recipients=self.recipients,
            facts=dict(facts or {}),
        )

    def record(
        self,
        connection: Connection,
        sealed: Sealed,
        case_id: str | None,
        *,
        ledger: custody.Witness,
        item_id: str | None = None,
        expires_at: datetime | None = None,
        who: str = "tutela",
        why: str = "The upload was held or blocked for a match.",
        origin: str = "api",
    ) -> bytes:
        """Write the evidence, its first custody record and that record's entry in the ledger, in
        the caller's transaction; the record's hash. The case must be there already.
        """
        row = {
            "id": sealed.evidence_id,
            "case_id": case_id,
            "item_id": item_id,
            "object_name": sealed.object_name,
            "state": "kept",
            "sealed_at": sealed.sealed_at,
            "size": sealed.size,
            "md5": sealed.md5,
            "sha256": sealed.sha256,
            "sealed_size": sealed.sealed_size,
            "sealed_sha256": sealed.sealed_sha256,
            "recipients": list(sealed.recipients),
            "facts": {**sealed.facts, "sha1": sealed.sha1.hex()},
            "expires_at": expires_at,
        }
        connection.execute(evidence.insert(), row)
        return custody.append(
            connection,
            sealed.evidence_id,
            custody.Action.SEALED,
            ledger=ledger,
            who=who,
            why=why,
            origin=origin,
            facts=seal_facts(row),
            at=sealed.sealed_at,
        )

    def discard(self, sealed: Sealed, database: Database) -> bool:
        """Delete what was sealed for a decision that then was not recorded; whether it was.

        It asks the database first, and waits for a transaction that may be recording it just now:
        where a commit's answer was lost, the record may stand, and then the evidence must. Where
        the database cannot be asked the object stays, without a record, until the sweep ends it.
        """
        try:
            with database.begin() as connection:
                placeholder = {
                    **dict.fromkeys(("md5", "sha256", "sealed_sha256"), b""),
                    "id": new_id("ev"),
                    "object_name": sealed.object_name,
                    "state": "kept",
                    "sealed_at": sealed.sealed_at,
                    "size": 0,
                    "sealed_size": 0,
                    "recipients": [],
                }
                recorded = not insert_new(connection, evidence, placeholder)
                connection.rollback()
        except Unavailable:
            return False
        if not recorded:
            self.objects.delete(sealed.object_name)
        return not recorded


def object_name(sealed_sha256: bytes) -> str:
    """The name of a sealed object: ``evidence/ab/abcdef….age``."""
    digest = sealed_sha256.hex()
    return f"{PREFIX}/{digest[:2]}/{digest}.age"
