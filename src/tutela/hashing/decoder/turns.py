"""Places that are handed out in the order of asking: how many films are decoded at once."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future


class Turns:
    """So many places. Safe for threads and several event loops."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()
        self.places = places

    @property
    def taken(self) -> int:
        """Places in use."""
        return self.places - self._free

    def turn(self) -> Turn:
        """A turn that has no place yet."""
        return Turn(self)

    def _ask(self, wait: bool) -> Future[None] | bool:
        """True: a place is yours. False: none is free. Or the promise of one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if not wait:
                return False
            promise: Future[None] = Future()
            self._waiting.append(promise)
            return promise

    def _give_back(self) -> None:
        """Pass a place on to who waits longest, or keep it free."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                promise = self._waiting.popleft()
            if promise.set_running_or_notify_cancel():
                promise.set_result(None)
                return

    def _give_up(self, promise: Future[None]) -> None:
        if not promise.cancel():  # the place is being given: pass it on
            promise.add_done_callback(lambda _: self._give_back())


class Turn:
    """One job's place, or its want of one. Used by one task."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.held = False

    def begin(self) -> bool:
        """Take a place if one is free now; True where one is held."""
        if not self.held:
            self.held = self._turns._ask(wait=False) is True
        return self.held

    async def wait(self, seconds: float) -> bool:
        """Wait for a place for at most so many seconds; True where one is held."""
        if self.held:
            return True
        found = self._turns._ask(wait=True)
        if isinstance(found, bool):
            self.held = found
            return found
        inner = asyncio.wrap_future(found)
        try:
            await asyncio.wait([inner], timeout=seconds)
        except asyncio.CancelledError:
            self._turns._give_up(found)
            raise
        if inner.done():
            self.held = True
        else:
            self._turns._give_up(found)
        return self.held

    def end(self) -> None:
        """Give the place back, if one is held."""
        if self.held:
            self.held = False
            self._turns._give_back()
