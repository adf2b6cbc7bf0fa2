"""The store: database, migrations, objects, outbox, leases. It knows tables, not meanings."""

from tutela.store.engine import Database
from tutela.store.leases import Lease, Leases
from tutela.store.objects import ObjectInfo, Objects, Staged
from tutela.store.outbox import Event, Outbox
from tutela.store.statements import insert_new
from tutela.store.writer import Writer, write_stands

__all__ = [
    "Database",
    "Event",
    "Lease",
    "Leases",
    "ObjectInfo",
    "Objects",
    "Outbox",
    "Staged",
    "Writer",
    "insert_new",
    "write_stands",
]
