"""Giving a list out, no more of it than its source lets one pass on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from tutela.core import Purpose, Signal, utc_now
from tutela.errors import NotPermitted
from tutela.store.tables.lists import signals

from . import queries
from .editing import Editor
from .formats import Format, format_named
from .records import Edit, ListInfo


@dataclass(slots=True)
class Export:
    """An export under way: iterate for its bytes, then ask what was written and withheld.

    ``withheld`` counts signals that the source does not let be passed on.
    """

    info: ListInfo
    format: Format
    editor: Editor
    written: int = 0
    withheld: int = 0
    done: bool = field(default=False)

    def __iter__(self) -> Generator[bytes, None, None]:
        """The file, part by part, from one moment of the database."""
        yield from self.format.write(self.info, self._signals())
        self.done = True

    def _signals(self) -> Iterator[Signal]:
        with self.editor.database.read() as connection:
            of_list = signals.c.list_row == self.info.row
            with closing(queries.stored(connection, {self.info.row: self.info}, of_list)) as found:
                for stored in found:
                    if self.info.own or stored.signal.redistribute:
                        self.written += 1
                        yield stored.signal
                    else:
                        self.withheld += 1


def open_export(editor: Editor, name: str, format: str, *, actor: str, reason: str) -> Export:
    """Begin an export, and note it in the list's history before its first byte.

    Raises ``NotFound``, ``InvalidInput`` for a format that cannot hold this list, ``NotPermitted``
    where the source lets nothing of it be passed on.
    """
    made = format_named(format)
    with editor.database.read() as connection:
        info = editor.find(connection, name)
        made.check(info)
        if not info.own and info.purpose is not Purpose.SELFTEST:
            allowed = queries.stored(
                connection,
                {info.row: info},
                (signals.c.list_row == info.row) & signals.c.redistribute,
                limit=1,
            )
            if not list(allowed):
                raise NotPermitted(
                    f"The source of list '{info.name}' lets nothing of it be passed on.",
                    kept="Nothing was written.",
                    next_step="Ask the source, and import with the redistribution flag it grants.",
                )
    editor.approved(Edit(list_name=info.name, kind="export", actor=actor, reason=reason))
    with editor.database.begin() as connection:
        facts: dict[str, object] = {"format": made.name, "version": info.version}
        editor.note(connection, info, "export", actor, reason, utc_now(), facts=facts)
    return Export(info=info, format=made, editor=editor)
