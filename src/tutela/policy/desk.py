"""Policy as a running Tutela uses it: the rules in force, brakes and allow list over the database.

The one place where policy's parts are put together; the application root holds a ``PolicyDesk``
and calls ``refresh`` about once a second.
"""

from __future__ import annotations

from sqlalchemy import update

from tutela.core import utc_now
from tutela.settings import Settings
from tutela.store import Database, insert_new
from tutela.store.tables.policy import policy_versions

from .allow_store import AllowLists, Append
from .brake_store import DatabaseBrakes, Enqueue, Transact
from .policy import Policy

__all__ = ["PolicyDesk"]


class PolicyDesk:
    """The policy in force and what belongs to it.

    ``enqueue`` is ``Outbox.enqueue`` (alarms of brakes leave the house), ``log`` is
    ``Ledger.append`` (policy versions and changes of the allow list are logged), ``transact`` is
    ``Writer.submit_blocking`` (counts share a flush with other writes; decide in a thread then).
    Raises ``InvalidPolicy`` pointing at the line of the file.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        enqueue: Enqueue | None = None,
        log: Append | None = None,
        transact: Transact | None = None,
    ) -> None:
        self.database = database
        self._log = log
        self.brakes = DatabaseBrakes(database, enqueue=enqueue, transact=transact)
        self.allow_lists = AllowLists(database, log=log)
        self.policy = Policy.load(settings.policy.file, brakes=self.brakes)

    def open(self) -> Policy:
        """Takes up the allow list and records this version of the rules; the policy in force.

        Every text that was ever in force stays readable under its version, and its first use is
        an entry of the ledger. Raises ``StoreUnavailable``.
        """
        self.refresh()
        rules = self.policy.rules
        now = utc_now()
        with self.database.begin() as conn:
            first = {
                "version": rules.version,
                "source": rules.source,
                "first_used_at": now,
                "last_used_at": now,
            }
            if insert_new(conn, policy_versions, first):
                if self._log is not None:
                    record = {"version": rules.version, "source": rules.source}
                    self._log(conn, "policy", record, subject=rules.version)
            else:
                conn.execute(
                    update(policy_versions)
                    .where(policy_versions.c.version == rules.version)
                    .values(last_used_at=now)
                )
        return self.policy

    def refresh(self) -> None:
        """Takes up what was added to or taken from the allow list, in whichever process."""
        self.policy.allow_list = self.allow_lists.load()
