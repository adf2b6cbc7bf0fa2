"""One typed settings tree: defaults, then a TOML file, then the environment.

The file is ``tutela.toml`` in the data folder, or the one that ``TUTELA_CONFIG`` names. An
environment variable overrides one value: ``TUTELA_SERVER__PORT=9000`` sets ``server.port``.
Every setting has a default under which Tutela runs, on loopback, with nothing configured.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from tutela.errors import InvalidSetting
from tutela.wording import unknown_variables, wrong_setting

MIB = 1024 * 1024


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """The HTTP server."""

    host: str = Field("127.0.0.1", description="Address to listen on. Loopback unless you say so.")
    port: int = Field(8780, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_upload_bytes: int = Field(
        512 * MIB, gt=0, description="Largest upload accepted, in bytes; over it the answer is 413."
    )
    max_json_bytes: int = Field(4 * MIB, gt=0, description="Largest JSON body accepted, in bytes.")
    body_timeout_seconds: float = Field(
        60.0, gt=0, description="Longest wait for the next part of a body before 408."
    )
    header_timeout_seconds: float = Field(
        10.0, gt=0, description="Longest time for a request's headers before the line is cut."
    )
    min_body_bytes_per_second: int = Field(
        1024,
        ge=0,
        description="Least average rate of a body once body_timeout_seconds have passed; under it "
        "the answer is 408. 0 switches it off.",
    )
    max_batch: int = Field(
        1000, gt=0, description="Largest number of items in one POST /v1/hashes."
    )
    max_concurrent_uploads: int = Field(
        256, gt=0, description="Uploads held at once; more wait in the listen queue or get 503."
    )
    rate_per_minute: int = Field(
        60_000, gt=0, description="Requests a minute for a key that has no limit of its own."
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="Proxies whose X-Forwarded-For is believed (uvicorn's option)."
    )


class StoreSettings(_Section):
    """Where records and sealed objects are kept."""

    database_url: SecretStr = Field(
        SecretStr(""),
        description="SQLAlchemy URL; empty is SQLite in the data folder. "
        "PostgreSQL: postgresql+psycopg://user:password@host/name",
    )
    objects_url: str = Field(
        "", description="Empty is a folder in the data folder; or s3://bucket/prefix, gs://, az://."
    )
    objects_options: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Options of the object store (endpoint, access_key_id, secret_access_key, "
        "region, allow_http, virtual_hosted_style_request).",
    )
    pool_size: int = Field(8, gt=0, description="Database connections kept open.")
    busy_timeout_seconds: float = Field(
        5.0, gt=0, description="How long to wait for a locked database before giving up."
    )


class HashingSettings(_Section):
    """How files are decoded and hashed."""

    mode: Literal["luma", "identical"] = Field(
        "luma",
        description="luma decodes JPEG to its Y plane (fast); identical gives the reference's bits",
    )
    views: bool = Field(True, description="Hash the views that undo common evasions.")
    video: Literal["every", "second", "keyframes", "off"] = Field(
        "every",
        description="Which frames of a video are hashed. `every` is the only one that misses none; "
        "decoding costs most, so that the others save little but for `keyframes`.",
    )
    workers: int = Field(
        0,
        ge=0,
        description="Decoder processes; 0 is one per core. Of one or two, films start one more.",
    )
    worker_memory_bytes: int = Field(
        1536 * MIB, ge=512 * MIB, description="Address space of one decoder process."
    )
    cpu_seconds: float = Field(20.0, gt=0, description="CPU time for one picture or container.")
    video_cpu_seconds: float = Field(600.0, gt=0, description="CPU time for one video.")
    max_pixels: int = Field(
        200_000_000, gt=0, description="Pixels of one picture; over it the file is unreadable."
    )
    max_frames: int = Field(64, gt=0, description="Frames sampled from one animation.")
    max_video_frames: int = Field(100_000, gt=0, description="Frames hashed from one video.")
    max_depth: int = Field(3, ge=0, description="Containers opened inside containers.")
    max_members: int = Field(2_000, gt=0, description="Files taken out of one upload's containers.")
    max_unpacked_bytes: int = Field(
        2048 * MIB, gt=0, description="Bytes unpacked from one upload's containers."
    )


class ListSettings(_Section):
    """Lists and the index."""

    refresh_seconds: float = Field(
        1.0, gt=0, le=2.0, description="How often a process looks for changes other ones made."
    )
    rebuild_after_changes: int = Field(
        20_000, gt=0, description="Changes in the side list after which the snapshot is rebuilt."
    )
    radius: int = Field(31, ge=0, le=31, description="Greatest PDQ distance that is a match, bits.")
    min_quality: int = Field(
        50, ge=0, le=100, description="Pictures under this PDQ quality match by digest only."
    )
    exact_again_from: int = Field(
        21, ge=0, le=32, description="From this distance a luma match is hashed again identically."
    )
    stale_after_hours: float = Field(
        72.0, gt=0, description="A synced list not refreshed for so long is stale: NOT PROTECTING."
    )
    video_query_share: float = Field(
        0.0, ge=0, le=1, description="Share of the upload's frames that must match a listed video."
    )
    video_listed_share: float = Field(
        0.5, ge=0, le=1, description="Share of the listed video's frames that must be matched."
    )


class UploadSettings(_Section):
    """The upload gate."""

    on_fault: Literal["hold", "error"] = Field(
        "hold",
        description="A fault of ours answers with a deferred hold, or with an error to retry.",
    )
    spool_memory_bytes: int = Field(
        32 * MIB,
        ge=0,
        description="Uploads up to this stay in memory; larger go to disk encrypted.",
    )
    deferred_hours: float = Field(
        24.0, gt=0, description="How long the bytes of a deferred hold wait, encrypted."
    )
    deferred_retry_seconds: float = Field(
        30.0, gt=0, description="How often deferred holds are examined again."
    )
    deferred_tries: int = Field(
        5,
        gt=0,
        description="Times a deferred hold is examined again before a file that always ends the "
        "decoder counts as unreadable.",
    )
    keep_days: float = Field(
        30.0, ge=0, description="How long hashes and facts of allowed uploads are kept."
    )
    keep_decided_days: float = Field(
        365.0, ge=1, description="How long records of held and blocked uploads are kept."
    )


class PolicySettings(_Section):
    """The rules."""

    file: str = Field("", description="Policy TOML file; empty is the default policy shipped.")


class VaultSettings(_Section):
    """Sealed evidence."""

    recipients: list[str] = Field(
        default_factory=list,
        description="age recipients (public keys). Empty: a key is made at first start, kept in "
        "keys/vault.agekey until you move it away.",
    )


class LedgerSettings(_Section):
    """The append-only log."""

    origin: str = Field(
        "tutela.invalid/ledger", description="Name of this log in its checkpoints (C2SP)."
    )
    publish_seconds: float = Field(
        1.0, gt=0, description="How often new entries are put under a signed checkpoint."
    )


class SelftestSettings(_Section):
    """The harmless trigger that proves the whole road."""

    every_minutes: float = Field(
        60.0, ge=0, description="How often the self-test runs by itself; 0 switches it off."
    )


class LogSettings(_Section):
    """Logs."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto is console on a terminal and JSON elsewhere."
    )


class _TomlSource(InitSettingsSource):
    """The TOML file, ranking under the environment."""


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="TUTELA_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Field(
        Path("tutela-data"),
        description="Folder of the database, objects, keys, snapshots and ledger.",
    )
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    hashing: HashingSettings = HashingSettings()
    lists: ListSettings = ListSettings()
    uploads: UploadSettings = UploadSettings()
    policy: PolicySettings = PolicySettings()
    vault: VaultSettings = VaultSettings()
    ledger: LedgerSettings = LedgerSettings()
    selftest: SelftestSettings = SelftestSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments outrank the environment, which outranks the file."""
        return init_settings, env_settings, _TomlSource(settings_cls, _read_toml())


def _config_path() -> Path:
    named = os.environ.get("TUTELA_CONFIG")
    if named:
        return Path(named)
    return Path(os.environ.get("TUTELA_DATA_DIR", "tutela-data")) / "tutela.toml"


def _read_toml() -> dict[str, Any]:
    path = _config_path()
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if os.environ.get("TUTELA_CONFIG"):
            raise InvalidSetting(
                f"The settings file {path} does not exist.", next_step="Correct TUTELA_CONFIG."
            ) from None
        return {}
    except NotADirectoryError:
        return {}  # the data folder is a file: whoever makes it says so
    except OSError as error:
        raise InvalidSetting(
            f"The settings file {path} cannot be read: {error.strerror}.",
            kept="Nothing was started.",
            next_step="Correct its rights, or name another with TUTELA_CONFIG.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(
            f"The settings file {path} is not valid TOML: {error}.",
            next_step="Correct the line and start again.",
        ) from error


def load_settings(**overrides: Any) -> Settings:
    """The settings in force. Raises ``InvalidSetting`` naming each wrong value's path, never its
    content (it may be a secret)."""
    unknown = unknown_variables(os.environ, *_variables())
    if unknown:
        raise _unusable(unknown)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise _unusable(
            [wrong_setting(problem, _beside(problem["loc"])) for problem in problems]
        ) from None
    except SettingsError:
        raise _unusable(
            ["a list, a table or a whole section in the environment must be JSON"]
        ) from None


def _unusable(wrong: Sequence[str]) -> InvalidSetting:
    return InvalidSetting(
        f"The settings cannot be used: {'; '.join(wrong)}.",
        kept="Nothing was started.",
        next_step="Correct them in tutela.toml or the environment and start again.",
    )


def _sections() -> dict[str, type[BaseModel]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def _variables() -> tuple[set[str], tuple[str, ...]]:
    """The environment variables that set something, and the beginnings of those in tables."""
    known = {f"TUTELA_{name.upper()}" for name in Settings.model_fields}
    tables = []
    for section, model in _sections().items():
        for name, field in model.model_fields.items():
            variable = f"TUTELA_{section.upper()}__{name.upper()}"
            known.add(variable)
            if get_origin(field.annotation) is dict:
                tables.append(f"{variable}__")
    return known, tuple(tables)


def _beside(place: tuple[int | str, ...]) -> list[str]:
    """The names of settings that may stand where this one does."""
    model = _sections().get(str(place[0])) if len(place) > 1 else Settings
    return list(model.model_fields) if model is not None else []
