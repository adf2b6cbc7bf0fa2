"""The store: database, migrations, objects, outbox, leases. It knows tables, not meanings."""

from tutela.store.engine import Database
from tutela.store.objects import ObjectInfo, Objects, Staged
from tutela.store.statements import insert_new
from tutela.store.writer import Writer

__all__ = ["Database", "ObjectInfo", "Objects", "Staged", "Writer", "insert_new"]
