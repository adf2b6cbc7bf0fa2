"""The JSON of the API as models: FastAPI checks and documents by them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tutela.core import ListMode, Purpose

Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"\S")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f]+$")]


class Model(BaseModel):
    """Base: unknown members are refused, so that a typing error is noticed."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """RFC 9457 problem details: what happened, what was kept, what to do next."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="urn:tutela:problem:CODE; CODE is stable.")
    title: str = Field(description="The same for every problem of this status.")
    status: int
    detail: str = Field(description="What happened. Never repeats content, lists or secrets.")
    kept: str | None = Field(None, description="What was kept of the request.")
    next_step: str | None = Field(None, description="What to do.")
    retry_after: int | None = Field(None, description="Seconds after which to ask again.")


class DecisionAnswer(BaseModel):
    """The answer about one item."""

    decision_id: str
    outcome: Literal["allow", "hold", "block"]
    case_id: str | None = Field(description="The case that was opened, if any.")
    reason: str | None = Field(description="The one word that may be shown to the uploader.")
    deferred: bool = Field(description="A hold that rests on a fault and settles by itself.")
    protecting: bool = Field(description="False while no active list could have blocked.")
    repeated: bool = Field(description="True for the answer to a repeated idempotency key.")
    milliseconds: dict[str, float] = Field(description="Timings; finer ones with detail.")
    findings: list[dict[str, Any]] | None = Field(
        None, description="What was seen; for keys with decisions:detail."
    )
    detail: dict[str, Any] | None = Field(
        None, description="Rule, version, reasons; for keys with decisions:detail."
    )


class HashAnswers(BaseModel):
    """The answers to a batch, in its order."""

    items: list[DecisionAnswer]


class DecisionShown(DecisionAnswer):
    """A decision read back."""

    at: datetime
    supersedes: str | None = Field(description="The earlier decision that this one settles.")
    superseded_by: str | None = Field(description="The later decision that settled this one.")
    item: dict[str, Any] | None = Field(None, description="For keys with decisions:detail.")
    ledger_entry: str | None = Field(None, description="For keys with decisions:detail.")


class ListShown(BaseModel):
    """A list as it stands."""

    id: str
    name: str
    purpose: Purpose
    mode: ListMode
    state: str = Field(description="blocking, holding, informing, off, empty or stale.")
    since: datetime | None = Field(description="Since when it is in that state.")
    source: str
    synced: bool
    entries: int = Field(description="Signals that match.")
    version: int
    root: str = Field(description="Merkle root of the version, hexadecimal.")
    refreshed_at: datetime | None


class ListsShown(BaseModel):
    """Every list, and whether any protects."""

    protecting: bool
    why: str
    lists: list[ListShown]


class VersionShown(BaseModel):
    """One version of a list."""

    number: int
    at: datetime
    kind: str
    actor: str
    reason: str
    added: int
    changed: int
    removed: int
    entries: int
    root: str


class VersionsShown(BaseModel):
    """A list's newest versions, newest first."""

    versions: list[VersionShown]


class EditDone(BaseModel):
    """What an edit made. ``version`` is null where nothing changed."""

    version: VersionShown | None


class NewList(Model):
    """A list to be made."""

    name: Name = Field(examples=["hotline"])
    purpose: Purpose = Field(examples=["csam"])
    mode: ListMode = Field(ListMode.HOLD, description="What the operator lets it do.")
    source: Annotated[str, StringConstraints(min_length=1, max_length=128)] = "own"
    synced: bool = Field(False, description="True where something keeps it fresh.")
    reason: Reason = Field(examples=["Agreed with the hotline on 3 May."])


class NewMode(Model):
    """The operator's choice of what a list may do."""

    mode: ListMode
    reason: Reason


class NewSignal(Model):
    """A signal by its hashes. Give at least one."""

    upstream_id: Text | None = None
    md5: str | None = Field(None, pattern="^[0-9a-fA-F]{32}$")
    sha1: str | None = Field(None, pattern="^[0-9a-fA-F]{40}$")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$")
    pdq: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$")
    quality: int | None = Field(None, ge=0, le=100)
    classification: Text | None = None
    note: Text | None = None


class NewSignals(Model):
    """Signals to add."""

    signals: list[NewSignal] = Field(min_length=1, max_length=1000)
    reason: Reason


class SignalChoice(Model):
    """Signals by Tutela's ids or the source's."""

    signals: list[Text] = Field(min_length=1, max_length=1000)
    reason: Reason


class RefusalShown(BaseModel):
    """One entry that was not taken."""

    number: int
    reason: str


class ImportShown(BaseModel):
    """What an import did, or would do."""

    list_name: str
    format: str
    dry_run: bool
    read: int
    added: int
    changed: int
    unchanged: int
    duplicates: int
    withdrawn: int
    refused: int
    refusals: list[RefusalShown]
    ignored_hashes: int
    complete: bool
    version: int | None
    refreshed: bool = Field(
        description="The list counts as fresh from now on: a line was taken or confirmed."
    )
    seconds: float


class StepShown(BaseModel):
    """One item of the self-test."""

    name: str
    ok: bool
    problem: str
    decision_id: str | None
    milliseconds: float


class SelftestShown(BaseModel):
    """One run of the self-test."""

    at: datetime
    ok: bool
    steps: list[StepShown]


class Ready(BaseModel):
    """Whether decisions can be had, and whether any list protects."""

    ready: bool
    protecting: bool
    headline: Literal["PROTECTING", "NOT PROTECTING"]
    why: str = Field("", description="Why not, where that is no list's name: the self-test failed.")
    checks: dict[str, Literal["ok", "busy", "failing"]]
    selftest: dict[str, Any] = Field(description="When it last ran, and how that went.")
    version: str
