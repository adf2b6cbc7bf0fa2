"""Objects: sealed bytes by name, in a local folder or in S3, GCS or Azure.

A put is whole or not at all, and durable when it returns: in a folder the bytes go to a staging
file which is flushed, renamed into place and its folder flushed; in a bucket the service's own
atomic put does it. Nothing but sealed bytes is ever handed to this room.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from obstore import exceptions as remote_errors

from tutela.core import new_id
from tutela.errors import InvalidInput, InvalidSetting, NotFound
from tutela.settings import Settings
from tutela.store.faults import from_objects, from_os

FOLDER = "objects"
"""Name of the local folder in the data folder."""
STAGING = ".staging"
"""Where unfinished puts lie in the local folder; swept when older than a day."""
CHUNK = 256 * 1024
"""Bytes read at a time."""
RETRIES = 3
"""Times that a request to a bucket is repeated, within 15 seconds."""
REMOTE_MEMORY = 16 * 1024 * 1024
"""Bytes on their way to a bucket that stay in memory; more go through an unlinked file."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}(/[a-z0-9][a-z0-9._-]{0,127}){0,7}")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object without reading it. ``size`` is bytes; ``modified`` is UTC."""

    name: str
    size: int
    modified: datetime


class Staged(Protocol):
    """Bytes being written that have no name yet. Leave the ``with`` uncommitted to drop them."""

    def write(self, data: bytes, /) -> int:
        """Append. Raises ``OSError`` as a file does."""
        ...

    def commit(self, name: str) -> None:
        """Give the bytes their name, durably. Raises ``StorageFull`` or ``StoreUnavailable``."""
        ...

    def __enter__(self) -> Staged: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Objects:
    """The objects of one deployment. Thread-safe.

    Every method raises ``StoreUnavailable`` where the store is away, ``StorageFull`` where it has
    no room, ``NotFound`` for a name that is not there, ``InvalidInput`` for a name that is none:
    lower-case letters, digits, ``.``, ``_``, ``-`` and at most 7 slashes.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        url = settings.store.objects_url
        self.is_local = not url
        self._store: _Folder | _Bucket
        if self.is_local:
            self._store = _Folder(settings.data_dir / FOLDER)
        else:
            options = {
                key: value.get_secret_value()
                for key, value in settings.store.objects_options.items()
            }
            self._store = _Bucket(url, options, settings.data_dir)

    def stage(self) -> Staged:
        """Begin an object whose name is not known yet."""
        return self._store.stage()

    def put(self, name: str, data: bytes | Path | IO[bytes]) -> int:
        """Store ``data`` under ``name``, replacing what was there; bytes stored."""
        checked(name)
        if isinstance(data, Path):
            with data.open("rb") as file:
                return self.put(name, file)
        size = 0
        with self.stage() as staged:
            try:
                for chunk in _chunks(data):
                    size += staged.write(chunk)
            except OSError as error:
                raise from_os(error, "An object cannot be written") from error
            staged.commit(name)
        return size

    def get_stream(self, name: str) -> Iterator[bytes]:
        """The bytes of an object, part by part, without holding it in memory."""
        return self._store.get_stream(checked(name))

    def get(self, name: str) -> bytes:
        """The bytes of a small object."""
        return b"".join(self.get_stream(name))

    def head(self, name: str) -> ObjectInfo:
        """Size and time of an object."""
        return self._store.head(checked(name))

    def exists(self, name: str) -> bool:
        """Whether there is an object of this name."""
        try:
            self.head(name)
        except NotFound:
            return False
        return True

    def delete(self, name: str) -> None:
        """Remove an object; no error where it is gone already."""
        self._store.delete(checked(name))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose name lies under the folder ``prefix`` (all where empty)."""
        return self._store.list(prefix)

    def sweep(self, older_than: timedelta = timedelta(days=1)) -> int:
        """Remove what crashed puts left behind; how many."""
        return self._store.sweep(older_than)

    def check(self) -> None:
        """Ask the store for a sign of life: write, read and delete a marker."""
        name = f"health/{new_id('probe')}"
        self.put(name, b"ok")
        self.get(name)
        self.delete(name)


def checked(name: str) -> str:
    """``name`` if it is one that an object may have. Raises ``InvalidInput``."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidInput("That is not a name an object may have.")
    return name


def _chunks(data: bytes | IO[bytes]) -> Iterator[bytes]:
    if isinstance(data, (bytes, bytearray, memoryview)):
        yield bytes(data)
        return
    while chunk := data.read(CHUNK):
        yield chunk


def _missing(error: Exception) -> NotFound:
    gone = NotFound("There is no object of that name.", kept="")
    gone.__cause__ = error
    return gone


class _StagedFile:
    """A staging file beside its destination."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / STAGING / new_id("put")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise from_os(error, "The object folder cannot be written") from error
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._named = False

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += self._file.write(view[done:]) or 0
        return done

    def commit(self, name: str) -> None:
        target = self._folder / checked(name)
        try:
            os.fsync(self._file.fileno())
            new_folders = _make_folders(target.parent, self._folder)
            os.rename(self._path, target)
            self._named = True
            for folder in [target.parent, *new_folders]:
                _flush_folder(folder)
        except OSError as error:
            raise from_os(error, "An object cannot be written") from error

    def __enter__(self) -> _StagedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._named:
            self._path.unlink(missing_ok=True)


def _make_folders(folder: Path, root: Path) -> list[Path]:
    """Make what is missing; the folders that got a new entry by it (to be flushed)."""
    missing: list[Path] = []
    while folder != root and not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return [path.parent for path in missing]


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Folder:
    """A local folder."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise from_os(error, "The object folder cannot be made") from error

    def stage(self) -> _StagedFile:
        return _StagedFile(self._root)

    def get_stream(self, name: str) -> Iterator[bytes]:
        try:
            file = (self._root / name).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise _missing(error) from error
        except OSError as error:
            raise from_os(error, "An object cannot be read") from error
        return _read_all(file)

    def head(self, name: str) -> ObjectInfo:
        try:
            if not (self._root / name).is_file():
                raise FileNotFoundError
            stat = (self._root / name).stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _missing(error) from error
        except OSError as error:
            raise from_os(error, "An object cannot be read") from error
        return ObjectInfo(name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))

    def delete(self, name: str) -> None:
        try:
            (self._root / name).unlink(missing_ok=True)
            if (self._root / name).parent.is_dir():
                _flush_folder((self._root / name).parent)
        except NotADirectoryError:
            return
        except OSError as error:
            raise from_os(error, "An object cannot be deleted") from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        start = self._root / checked(prefix) if prefix else self._root
        for folder, folders, files in os.walk(start):
            folders[:] = sorted(name for name in folders if name != STAGING)
            for file in sorted(files):
                path = Path(folder) / file
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                name = path.relative_to(self._root).as_posix()
                modified = datetime.fromtimestamp(stat.st_mtime, UTC)
                yield ObjectInfo(name, stat.st_size, modified)

    def sweep(self, older_than: timedelta) -> int:
        limit = datetime.now(UTC) - older_than
        swept = 0
        for path in (self._root / STAGING).glob("*"):
            try:
                if datetime.fromtimestamp(path.stat().st_mtime, UTC) < limit:
                    path.unlink()
                    swept += 1
            except FileNotFoundError:
                continue
        return swept


def _read_all(file: BinaryIO) -> Iterator[bytes]:
    with file:
        try:
            while chunk := file.read(CHUNK):
                yield chunk
        except OSError as error:
            raise from_os(error, "An object cannot be read") from error


class _StagedUpload:
    """Bytes on their way to a bucket: in memory while few, else in an unlinked file.

    They are sealed already when they arrive here, so a file of them gives nothing away.
    """

    def __init__(self, bucket: _Bucket) -> None:
        self._bucket = bucket
        scratch = str(bucket.scratch())
        self._buffer = tempfile.SpooledTemporaryFile(  # noqa: SIM115  closed by __exit__
            REMOTE_MEMORY, mode="w+b", dir=scratch
        )

    def write(self, data: bytes, /) -> int:
        return int(self._buffer.write(data))

    def commit(self, name: str) -> None:
        self._buffer.seek(0)
        self._bucket.upload(checked(name), self._buffer)

    def __enter__(self) -> _StagedUpload:
        return self

    def __exit__(self, *_: object) -> None:
        self._buffer.close()


class _Bucket:
    """S3, GCS or Azure, by obstore."""

    def __init__(self, url: str, options: dict[str, str], data_dir: Path) -> None:
        from obstore.store import from_url

        if urlsplit(url).scheme not in {"s3", "s3a", "gs", "az", "azure", "abfs", "abfss"}:
            raise InvalidSetting(
                "store.objects_url names no object store that Tutela can use.",
                next_step="Leave it empty for a local folder, or give s3://bucket/prefix, gs:// or az://.",
            )
        self._data_dir = data_dir
        client: dict[str, Any] = {
            "timeout": timedelta(seconds=60),
            "connect_timeout": timedelta(seconds=5),
            "allow_http": options.pop("allow_http", "false").lower() in {"1", "true", "yes"},
        }
        retry: dict[str, Any] = {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=15),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        }
        try:
            self._store: Any = from_url(
                url,
                config=options,
                client_options=client,
                retry_config=retry,  # type: ignore[call-overload]  # options are the operator's
            )
        except (remote_errors.BaseError, ValueError) as error:
            raise InvalidSetting(
                "The object store cannot be set up from store.objects_url and objects_options.",
                next_step="Check the names of the options: endpoint, access_key_id, region…",
            ) from error

    def scratch(self) -> Path:
        folder = self._data_dir / "tmp"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise from_os(error, "The data folder cannot be written") from error
        return folder

    def stage(self) -> _StagedUpload:
        return _StagedUpload(self)

    def upload(self, name: str, file: IO[bytes]) -> None:
        import obstore

        try:
            obstore.put(self._store, name, file)
        except OSError as error:
            raise from_os(error, "An object cannot be sent") from error
        except remote_errors.BaseError as error:
            raise from_objects(error, "An object was not stored") from error

    def get_stream(self, name: str) -> Iterator[bytes]:
        import obstore

        try:
            result = obstore.get(self._store, name)
        except (remote_errors.NotFoundError, FileNotFoundError) as error:
            raise _missing(error) from error
        except remote_errors.BaseError as error:
            raise from_objects(error, "An object cannot be read") from error
        return _remote_chunks(result)

    def head(self, name: str) -> ObjectInfo:
        import obstore

        try:
            meta = obstore.head(self._store, name)
        except (remote_errors.NotFoundError, FileNotFoundError) as error:
            raise _missing(error) from error
        except remote_errors.BaseError as error:
            raise from_objects(error, "An object cannot be read") from error
        return ObjectInfo(name, meta["size"], meta["last_modified"].astimezone(UTC))

    def delete(self, name: str) -> None:
        import obstore

        try:
            obstore.delete(self._store, name)
        except (remote_errors.NotFoundError, FileNotFoundError):
            return
        except remote_errors.BaseError as error:
            raise from_objects(error, "An object cannot be deleted") from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        import obstore

        try:
            for page in obstore.list(self._store, prefix=checked(prefix) if prefix else None):
                for meta in page:
                    modified = meta["last_modified"].astimezone(UTC)
                    yield ObjectInfo(meta["path"], meta["size"], modified)
        except remote_errors.BaseError as error:
            raise from_objects(error, "The objects cannot be listed") from error

    def sweep(self, older_than: timedelta) -> int:
        return 0  # an unlinked file ends with its process


def _remote_chunks(result: Any) -> Iterator[bytes]:
    try:
        for chunk in result.stream(min_chunk_size=CHUNK):
            yield bytes(chunk)
    except remote_errors.BaseError as error:
        raise from_objects(error, "An object cannot be read") from error
