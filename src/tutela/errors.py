"""The one error tree. Every error says what happened, what was kept and what to do next.

::

    TutelaError
    ├── InvalidInput               400  what was sent does not make sense
    │   ├── InvalidHash            400
    │   ├── InvalidSetting         —    raised at start
    │   ├── InvalidPolicy          —    points at a line of the policy file
    │   ├── InvalidImport          400  a list file as a whole cannot be read
    │   ├── TooLarge               413
    │   ├── RequestTimeout         408  the body came too slowly
    │   ├── UnsupportedMedia       415  a body of another media type than accepted
    │   └── IdempotencyConflict    409  same key, other content
    ├── NotAuthenticated           401
    ├── NotPermitted               403
    ├── RateLimited                429
    ├── NotFound                   404
    ├── Conflict                   409  the thing changed, or already exists
    ├── Unavailable                503  nothing was decided; ask again after ``retry_after``
    │   ├── StoreUnavailable       503
    │   ├── StorageFull            507
    │   ├── IndexUnavailable       503
    │   └── DecoderUnavailable     503
    ├── Damaged                    500  a seal or checksum does not hold
    │   ├── SnapshotDamaged        500
    │   ├── LedgerDamaged          500
    │   └── EvidenceDamaged        500
    └── MissingExtra               501  an optional part is not installed
"""

from __future__ import annotations


class TutelaError(Exception):
    """Base of all errors. ``str(error)`` is what happened, in a sentence that is safe to show.

    ``kept`` says what was kept (nothing, the spooled bytes, the earlier state…), ``next_step``
    what to do; ``retry_after`` is seconds. None of them may hold content, list entries or secrets.
    """

    status = 500
    """The HTTP status an entrance answers with."""
    code = "error"
    """A stable word for programs (the last part of the problem's type URI)."""

    def __init__(
        self,
        what: str,
        *,
        kept: str = "Nothing was kept.",
        next_step: str = "",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.kept = kept
        self.next_step = next_step
        self.retry_after = retry_after

    def spoken(self) -> str:
        """The whole message for a person: what happened, what was kept, what to do."""
        return " ".join(part for part in (self.what, self.kept, self.next_step) if part)


class InvalidInput(TutelaError):
    """What was sent does not make sense."""

    status = 400
    code = "invalid-input"


class InvalidHash(InvalidInput):
    """A hash has the wrong length or characters."""

    code = "invalid-hash"


class InvalidSetting(InvalidInput):
    """A setting cannot be used; raised at start."""

    code = "invalid-setting"


class InvalidPolicy(InvalidInput):
    """The policy file cannot be used. ``line`` and ``column`` count from 1 (0: unknown)."""

    code = "invalid-policy"

    def __init__(self, what: str, *, line: int = 0, column: int = 0, next_step: str = "") -> None:
        super().__init__(what, kept="The policy in force stays in force.", next_step=next_step)
        self.line = line
        self.column = column


class InvalidImport(InvalidInput):
    """A list file cannot be read as a whole (single bad lines are reported, not raised)."""

    code = "invalid-import"


class TooLarge(InvalidInput):
    """A body, file or batch is over the configured limit."""

    status = 413
    code = "too-large"


class RequestTimeout(InvalidInput):
    """A body came too slowly."""

    status = 408
    code = "request-timeout"


class UnsupportedMedia(InvalidInput):
    """A body is of another media type than the ones accepted."""

    status = 415
    code = "unsupported-media-type"


class IdempotencyConflict(InvalidInput):
    """An idempotency key came again with other content."""

    status = 409
    code = "idempotency-conflict"


class NotAuthenticated(TutelaError):
    """No key, or one that is unknown, expired or revoked."""

    status = 401
    code = "not-authenticated"


class NotPermitted(TutelaError):
    """The key is good but lacks the scope."""

    status = 403
    code = "not-permitted"


class RateLimited(TutelaError):
    """Too many requests by this key."""

    status = 429
    code = "rate-limited"


class NotFound(TutelaError):
    """There is no such thing, or not for this key."""

    status = 404
    code = "not-found"


class Conflict(TutelaError):
    """The thing changed meanwhile, or exists already."""

    status = 409
    code = "conflict"


class Unavailable(TutelaError):
    """A part we need is away. Nothing was decided; the caller asks again after ``retry_after``."""

    status = 503
    code = "unavailable"

    def __init__(
        self,
        what: str,
        *,
        kept: str = "Nothing was kept and nothing was decided.",
        next_step: str = "Send the same request again later, with the same idempotency key.",
        retry_after: int | None = 5,
    ) -> None:
        super().__init__(what, kept=kept, next_step=next_step, retry_after=retry_after)


class StoreUnavailable(Unavailable):
    """The database or object store does not answer."""

    code = "store-unavailable"


class StorageFull(Unavailable):
    """There is no room to seal evidence or record the decision."""

    status = 507
    code = "storage-full"


class IndexUnavailable(Unavailable):
    """The index of signals is missing or being rebuilt."""

    code = "index-unavailable"


class DecoderUnavailable(Unavailable):
    """No decoder process could take the file."""

    code = "decoder-unavailable"


class Damaged(TutelaError):
    """A seal or checksum does not hold. ``where`` names the file, entry or object."""

    code = "damaged"

    def __init__(self, what: str, *, where: str = "", kept: str = "", next_step: str = "") -> None:
        super().__init__(
            what, kept=kept or "The damaged data was left as it is.", next_step=next_step
        )
        self.where = where


class SnapshotDamaged(Damaged):
    """An index snapshot fails its checksum."""

    code = "snapshot-damaged"


class LedgerDamaged(Damaged):
    """The ledger does not verify."""

    code = "ledger-damaged"


class EvidenceDamaged(Damaged):
    """A sealed object does not match its record."""

    code = "evidence-damaged"


class MissingExtra(TutelaError):
    """An optional part is not installed; the message names the extra."""

    status = 501
    code = "missing-extra"

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the extra '{extra}', which is not installed.",
            next_step=f"Install it: pip install 'tutela[{extra}]'",
        )
        self.extra = extra
