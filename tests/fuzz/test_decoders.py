"""Damaged files of every kind: always an answer, no error of ours, and the service goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tutela.core import FaultKind, Media, MediaKind
from tutela.hashing.decoder import DecoderPool
from tutela.hashing.source import Source

Damage = Callable[[bytes, int], bytes]
A_SAMPLE = 12
SOAK_A_SAMPLE = int(os.environ.get("FUZZ", "400"))


def asked(pool: DecoderPool, data: bytes) -> Media:
    with Source.from_bytes(data) as source:
        return pool.hash_blocking(source)


def examined(pool: DecoderPool, name: str, seed: int, data: bytes) -> str:
    """What came of it, having checked that it is an answer to this file."""
    media = asked(pool, data)
    assert media.size == len(data)
    assert media.digests.sha256 == hashlib.sha256(data).digest()
    assert media.kind is not MediaKind.UNREADABLE or media.faults, f"{name} {seed}"
    for fault in media.all_faults():
        assert "failed with" not in fault.detail, f"{name} {seed}: {fault.detail}"
        # a worker needs no files: a kernel that is compiled or imported late would show here
        assert "PermissionError" not in fault.detail, f"{name} {seed}: {fault.detail}"
        if fault.kind is FaultKind.CRASHED:
            return f"{name} {seed}"
    return ""


def run(pool: DecoderPool, samples: dict[str, bytes], damage: Damage, count: int) -> list[str]:
    """Damage every sample so many times. Returns those that crashed a worker."""
    work = [
        (name, seed, damage(data, seed)) for name, data in samples.items() for seed in range(count)
    ]
    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(lambda job: examined(pool, *job), work))
    return [end for end in ends if end]


def test_whole_samples_are_read(pool: DecoderPool, samples: dict[str, bytes]) -> None:
    for name, data in samples.items():
        media = asked(pool, data)
        assert media.kind is not MediaKind.UNREADABLE, name
        assert media.all_faults() == (), name
        assert any(part.pictures or part.frames for part in media.walk()), name


def test_damaged_samples_give_answers(
    pool: DecoderPool, samples: dict[str, bytes], damage: Damage
) -> None:
    crashed = run(pool, samples, damage, A_SAMPLE)
    assert not crashed
    assert asked(pool, samples["jpeg"]).pictures


def test_every_beginning_of_a_sample_gives_an_answer(
    pool: DecoderPool, samples: dict[str, bytes]
) -> None:
    for name, data in samples.items():
        if name.startswith("sample_"):
            continue
        for at in range(0, len(data), max(1, len(data) // 12)):
            assert not examined(pool, name, at, data[:at])


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_damaged_samples_give_answers(
    pool: DecoderPool, samples: dict[str, bytes], damage: Damage, tmp_path: Path
) -> None:
    """The long run. A crash of a codec is contained, and its file is kept to be reported."""
    before = len(os.listdir("/proc/self/fd"))
    crashed = run(pool, samples, damage, SOAK_A_SAMPLE)
    for end in crashed:
        name, _, seed = end.partition(" ")
        (tmp_path / f"{name}-{seed}").write_bytes(damage(samples[name], int(seed)))
    assert len(crashed) <= len(samples) * SOAK_A_SAMPLE // 1000
    assert asked(pool, samples["jpeg"]).pictures
    assert len(os.listdir("/proc/self/fd")) <= before + 2
