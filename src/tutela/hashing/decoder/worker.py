"""One worker: takes a descriptor, hashes what is behind it, answers, and waits for the next."""

from __future__ import annotations

import importlib
import math
import os
import resource
import socket
import time
from collections.abc import Callable
from typing import Protocol, cast

from tutela.core import Digests, Fault, FaultKind, Media, MediaKind
from tutela.hashing.digests import digest_stream
from tutela.hashing.options import HashOptions
from tutela.hashing.source import Source

from . import sandbox, seccomp, wire

TALK = 3
"""The descriptor of the worker's socket, the only one it has besides the three to nowhere."""
CPU_GRACE = 1.0
"""Seconds after the soft limit, which ends the work in good order, before the kernel kills."""


_TOO_MUCH = Fault(kind=FaultKind.OVER_LIMIT, detail="It holds more pictures than can be compared.")


class Job(Protocol):
    """What a worker does with a file: ``tutela.hashing.media.hash_media``."""

    def __call__(
        self,
        source: object,
        options: HashOptions,
        *,
        digests: Digests | None,
        on_video: Callable[[], None],
    ) -> Media: ...


def load_job(name: str) -> Job:
    """The function behind ``module:function``."""
    module, _, function = name.partition(":")
    return cast(Job, getattr(importlib.import_module(module), function))


def become(talk: socket.socket, job: Job, memory_bytes: int, file_bytes: int, parent: int) -> None:
    """Turn a freshly forked process into a worker. Never returns."""
    status = 1
    try:
        os.dup2(talk.fileno(), TALK, inheritable=False)
        os.closerange(TALK + 1, 65536)
        sandbox.die_with(parent)
        sandbox.no_core_dumps()
        sandbox.limit(memory_bytes, file_bytes)
        seccomp.apply()
        serve(socket.socket(fileno=TALK), job, memory_bytes)
        status = 0
    finally:
        os._exit(status)


def serve(talk: socket.socket, job: Job, memory_bytes: int) -> None:
    """Answer requests until the other side closes."""
    while (received := wire.receive_request(talk)) is not None:
        request, fd = received
        with Source(fd, request.size, key=request.key, nonce=request.nonce) as source:
            media = _hash(talk, job, request, source)
            body = wire.encode_media(media)
            if len(body) > wire.MAX_REPLY:
                media = unreadable(source, media.digests, _TOO_MUCH)
                body = wire.encode_media(media)
        word = wire.Word.SPENT if _spent(media, memory_bytes) else wire.Word.DONE
        wire.send_word(talk, word, body)
        del media, request, body


def _hash(talk: socket.socket, job: Job, request: wire.Request, source: Source) -> Media:
    options = request.options
    allow_cpu(options.cpu_seconds)

    def on_video() -> None:
        allow_cpu(options.video_cpu_seconds)
        wire.send_word(talk, wire.Word.VIDEO)

    try:
        with source.open() as reader:
            return job(reader, options, digests=request.digests, on_video=on_video)
    except MemoryError:
        fault = Fault(kind=FaultKind.OVER_LIMIT, detail="It needs more memory than a file may use.")
    except Exception as error:
        fault = Fault(
            kind=FaultKind.CRASHED, detail=f"The decoder failed with {type(error).__name__}."
        )
    return unreadable(source, request.digests, fault)


def unreadable(source: Source, digests: Digests | None, fault: Fault) -> Media:
    """What is left to say of a file that could not be examined: its digests and why."""
    if digests is None:
        with source.open() as reader:
            digests = digest_stream(reader)
    return Media(
        kind=MediaKind.UNREADABLE,
        format="unknown",
        size=source.size,
        digests=digests,
        faults=(fault,),
    )


def allow_cpu(seconds: float) -> None:
    """Let the kernel kill this process when it used ``seconds`` more of CPU time."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time() + seconds + CPU_GRACE)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _spent(media: Media, memory_bytes: int) -> bool:
    """Whether this worker should be replaced: it met a limit, failed, or holds much memory."""
    if any(f.kind in {FaultKind.OVER_LIMIT, FaultKind.CRASHED} for f in media.all_faults()):
        return True
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > memory_bytes // 2
