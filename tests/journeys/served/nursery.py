"""Runs ``tutela`` commands, each in a process of its own, by forking one that imported everything.

A journey starts and kills dozens of servers; importing anew each time would take most of that.
What is forked runs ``tutela.cli.main`` exactly as ``python -m tutela`` does. Started by
``tests.journeys.served.houses.Nursery``; takes JSON lines, and answers each
with a pid (or an exit code).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from typing import Any

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Import, say so, then fork for each order until the other side closes."""
    import tutela.app
    import tutela.cases.check
    import tutela.transparency.verify
    import tutela.web.server  # noqa: F401
    from tutela.cli import main as command
    from tutela.hashing import pdq

    pdq.warm_up()
    print("ready", flush=True)
    for line in sys.stdin:
        _reap()
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(order, command)
        if order["wait"]:
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        else:
            print(pid, flush=True)


def _live(order: dict[str, Any], command: Any) -> None:
    """The child: nothing of the nursery's but its imports."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.environ.clear()
        os.environ.update(order["env"])
        for fd, path in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(opened, fd)
            os.close(opened)
        sys.argv = ["tutela", *order["arguments"]]
        if order["dies"]:
            from tests.journeys.served import deaths

            deaths.arm(order["dies"])
        command()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
