"""Fixtures for every test: databases and object stores, real ones, each test with its own.

``database`` and ``objects`` come in two kinds each, so a test that takes them runs on all of them;
``deployment`` gives the settings of the embedded default and of PostgreSQL with S3.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from tests.services.disks import SmallDisk  # noqa: E402  the root is on the path only now
from tests.services.postgres import Postgres  # noqa: E402
from tests.services.s3 import S3  # noqa: E402

from tutela.settings import Settings, load_settings  # noqa: E402
from tutela.store import Database, Objects  # noqa: E402

SettingsFor = Callable[..., Settings]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with the S3 server go to one worker of pytest-xdist: one server for all of them."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        params = set() if callspec is None else {str(value) for value in callspec.params.values()}
        fixtures = set(getattr(item, "fixturenames", ()))
        if params & {"s3", "services"} or fixtures & {"s3_server", "s3_objects"}:
            item.add_marker(pytest.mark.xdist_group("s3"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of this process."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """One S3 server for all tests of this process."""
    server = S3()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A test that sets up logging leaves none behind that writes to its closed output."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def settings_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsFor:
    """Settings with this test's own data folder: ``settings_for(store={...}, …)``.

    The environment's own settings are out of the way.
    """
    monkeypatch.setenv("TUTELA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("TUTELA_CONFIG", raising=False)

    def make(**overrides: Any) -> Settings:
        return load_settings(**{"data_dir": tmp_path / "data", **overrides})

    return make


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file migrated once, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    database = Database(Settings(data_dir=folder))
    database.migrate()
    database.close()
    return folder / "tutela.db"


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_server: Postgres) -> str:
    """A PostgreSQL database migrated once, to be copied; its name."""
    name = postgres_server.create()
    database = Database(Settings(store={"database_url": postgres_server.url(name)}))
    database.migrate()
    database.close()
    return name


@pytest.fixture
def sqlite_settings(settings_for: SettingsFor, _migrated_sqlite: Path) -> Settings:
    """Settings of the embedded default, its database migrated."""
    settings = settings_for()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy(_migrated_sqlite, settings.data_dir / "tutela.db")
    return settings


@pytest.fixture
def postgres_settings(
    settings_for: SettingsFor, postgres_server: Postgres, _migrated_postgres: str
) -> Iterator[Settings]:
    """Settings with a PostgreSQL database of this test's own, migrated."""
    name = postgres_server.create(_migrated_postgres)
    yield settings_for(store={"database_url": postgres_server.url(name)})
    postgres_server.drop(name)


@pytest.fixture
def sqlite_database(sqlite_settings: Settings) -> Iterator[Database]:
    """A migrated SQLite database."""
    database = Database(sqlite_settings)
    yield database
    database.close()


@pytest.fixture
def postgres_database(postgres_settings: Settings) -> Iterator[Database]:
    """A migrated PostgreSQL database."""
    database = Database(postgres_settings)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """A migrated database; a test that takes it runs on SQLite and on PostgreSQL."""
    made: Database = request.getfixturevalue(f"{request.param}_database")
    return made


@pytest.fixture
def folder_objects(settings_for: SettingsFor) -> Objects:
    """Objects in a local folder."""
    return Objects(settings_for())


@pytest.fixture
def s3_objects(settings_for: SettingsFor, s3_server: S3) -> Objects:
    """Objects in a bucket of the S3 server, under a prefix of this test's own."""
    store = {"objects_url": s3_server.url(), "objects_options": s3_server.options()}
    return Objects(settings_for(store=store))


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest) -> Objects:
    """An object store; a test that takes it runs on a folder and on S3."""
    made: Objects = request.getfixturevalue(f"{request.param}_objects")
    return made


@pytest.fixture(params=["embedded", "services"])
def deployment(request: pytest.FixtureRequest) -> Settings:
    """Settings of a whole deployment: SQLite with a folder, and PostgreSQL with S3."""
    if request.param == "embedded":
        embedded: Settings = request.getfixturevalue("sqlite_settings")
        return embedded
    settings: Settings = request.getfixturevalue("postgres_settings")
    server: S3 = request.getfixturevalue("s3_server")
    store = settings.store.model_copy(
        update={
            "objects_url": server.url(),
            "objects_options": type(settings.store)(
                objects_options=server.options()
            ).objects_options,
        }
    )
    return settings.model_copy(update={"store": store})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A folder whose disk can be filled up."""
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.close()
