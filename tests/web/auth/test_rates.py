"""A key's rate is its own; the wait that is told is the wait that helps."""

from __future__ import annotations

import pytest

from tutela.errors import RateLimited
from tutela.web.auth.rates import RateLimits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_bounded_and_the_wait_told_is_enough() -> None:
    clock = Clock()
    limits = RateLimits(60, clock=clock)
    for _ in range(10):
        limits.spend("a")
    with pytest.raises(RateLimited) as caught:
        limits.spend("a")
    assert caught.value.retry_after is not None
    clock.now += caught.value.retry_after
    limits.spend("a")


def test_one_key_does_not_spend_anothers_rate() -> None:
    limits = RateLimits(6, clock=Clock())
    limits.spend("a")
    with pytest.raises(RateLimited):
        limits.spend("a")
    limits.spend("b")


def test_a_key_may_have_a_rate_of_its_own() -> None:
    limits = RateLimits(6, clock=Clock())
    for _ in range(100):
        limits.spend("big", 600)
    with pytest.raises(RateLimited):
        limits.spend("big", 600)


def test_a_cost_above_the_bucket_can_still_be_paid_from_a_full_one() -> None:
    clock = Clock()
    limits = RateLimits(60, clock=clock)
    limits.spend("a", cost=100)
    with pytest.raises(RateLimited):
        limits.spend("a")
    clock.now += 100
    limits.spend("a")


def test_over_a_long_time_the_rate_holds() -> None:
    clock = Clock()
    limits = RateLimits(120, clock=clock)
    passed = 0
    for _ in range(6000):
        clock.now += 0.01
        try:
            limits.spend("a")
        except RateLimited:
            continue
        passed += 1
    assert 120 <= passed <= 141
