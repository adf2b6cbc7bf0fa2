"""Faults of databases, object stores and disks, told in our own errors.

What a driver says may hold values or a password, so none of its text reaches a message; the
driver's exception stays the cause (``__cause__``) for a debugger.
"""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from tutela.errors import Conflict, InvalidInput, StorageFull, StoreUnavailable, TutelaError

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Out of space, over quota, over the largest file size allowed."""

_FULL_SQLSTATES = frozenset({"53100", "53200", "54000"})
"""PostgreSQL: disk_full, out_of_memory, program_limit_exceeded (Appendix A of its manual)."""

_FULL_WORDS = (
    "507",
    "insufficientstorage",
    "insufficient storage",
    "quotaexceeded",
    "no space left",
)

_NEXT_FULL = (
    "Make room or enlarge the storage; then send the same request again, with the same "
    "idempotency key."
)


def storage_full(what: str) -> StorageFull:
    """A ``StorageFull`` with the usual advice; retry after half a minute."""
    return StorageFull(what, next_step=_NEXT_FULL, retry_after=30)


def from_os(error: OSError, what: str) -> TutelaError:
    """Our error for a disk's. ``what`` begins the sentence, without a full stop."""
    if error.errno in FULL_ERRNOS:
        return storage_full(f"{what}: the disk is full.")
    word = errno.errorcode.get(error.errno or 0, "unknown error")
    return StoreUnavailable(f"{what} ({word}).")


def from_sqlalchemy(error: SQLAlchemyError) -> TutelaError:
    """Our error for a database's."""
    if isinstance(error, IntegrityError):
        return Conflict(
            "The database refused a change that contradicts what it holds.",
            next_step="Read the present state and try again.",
        )
    if isinstance(error, DataError) or type(error) is StatementError:
        return InvalidInput(
            "A value is not one that the database can hold.",
            next_step="Look for a NUL character, a time without a zone, or a number out of range.",
        )
    driver = error.orig if isinstance(error, DBAPIError) else None
    if _is_full(driver):
        return storage_full("The database has no room left.")
    if _is_no_database(driver):
        return StoreUnavailable(
            "The file of the database holds no database (or a damaged one).",
            kept="It was left as it is.",
            next_step="Restore it from a backup, or name another data folder.",
        )
    if _is_locked(driver):
        return StoreUnavailable("The database is locked by another process.", retry_after=2)
    return StoreUnavailable("The database does not answer.")


def from_objects(error: Exception, what: str) -> TutelaError:
    """Our error for an object store's."""
    text = str(error).lower()
    if any(word in text for word in _FULL_WORDS):
        return storage_full(f"{what}: the object store is full.")
    return StoreUnavailable(f"{what}: the object store does not answer or refuses us.")


def _is_full(driver: BaseException | None) -> bool:
    if isinstance(driver, sqlite3.Error):
        code = getattr(driver, "sqlite_errorcode", 0) or 0
        return code & 0xFF == sqlite3.SQLITE_FULL or code in {
            sqlite3.SQLITE_IOERR_WRITE,
            sqlite3.SQLITE_IOERR_TRUNCATE,
            sqlite3.SQLITE_IOERR_SHMSIZE,
        }
    return getattr(driver, "sqlstate", None) in _FULL_SQLSTATES


def _is_no_database(driver: BaseException | None) -> bool:
    """SQLITE_NOTADB or SQLITE_CORRUPT (https://www.sqlite.org/rescode.html)."""
    code = getattr(driver, "sqlite_errorcode", 0) or 0
    return isinstance(driver, sqlite3.Error) and code & 0xFF in {
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CORRUPT,
    }


def _is_locked(driver: BaseException | None) -> bool:
    if isinstance(driver, sqlite3.Error):
        code = getattr(driver, "sqlite_errorcode", 0) or 0
        return code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    return getattr(driver, "sqlstate", None) in {"55P03", "57014", "40P01", "40001"}
