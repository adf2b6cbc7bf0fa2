"""`vault check`: whatever is wrong with evidence is found and named; the key stays elsewhere."""

from __future__ import annotations

import os
from datetime import timedelta

import pyrage
import pytest
from pyrage import x25519
from sqlalchemy import select, update

from tutela.cases import check as check_module
from tutela.cases import check_vault, custody
from tutela.errors import NotFound, StoreUnavailable
from tutela.store.tables.evidence import evidence

PICTURE = os.urandom(200_000)


def kinds(report):
    return sorted(trouble.kind.value for trouble in report.troubles)


def check(house, **options):
    return check_vault(house.database, house.objects, house.ledger, **options)


def test_a_whole_vault_is_whole(house, monkeypatch):
    monkeypatch.setattr(check_module, "PAGE", 3)
    for _ in range(7):
        house.block()
    heard = []
    report = check(house, progress=lambda done, total: heard.append((done, total)))
    assert report.ok
    assert report.troubles == []
    assert report.checked == 7
    assert report.opened == 0
    assert heard[-1] == (7, 7)


def test_an_empty_vault_is_whole(house):
    assert check(house, key=house.key).ok


def test_opening_compares_what_is_inside_and_writes_it_into_the_custody_log(house):
    names = house.block(PICTURE)
    report = check(house, key=house.key, who="operator:ann")
    assert report.ok
    assert report.opened == 1
    with house.database.read() as connection:
        chain = custody.records(connection, names["ev"])
    assert [(record["action"], record["who"]) for record in chain][1:] == [
        ("opened", "operator:ann")
    ]


def test_a_missing_object_is_told(house):
    names = house.block()
    house.block()
    house.objects.delete(names["object"])
    report = check(house, key=house.key)
    assert not report.ok
    assert kinds(report) == ["missing"]
    assert report.troubles[0].evidence_id == names["ev"]
    assert report.opened == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "empty"])
def test_rot_is_told(house, damage):
    names = house.block(PICTURE)
    data = bytearray(house.objects.get(names["object"]))
    if damage == "flip":
        data[len(data) // 2] ^= 1
    changed = {
        "flip": bytes(data), "cut": bytes(data[:-1]), "longer": bytes(data) + b"x", "empty": b""
    }[damage]  # fmt: skip
    house.objects.put(names["object"], changed)
    assert kinds(check(house)) == ["rotten"]


def test_a_record_changed_together_with_its_object_is_told(house):
    names = house.block(PICTURE)
    other = pyrage.encrypt(b"something else", [house.identity.to_public()])
    house.objects.put(names["object"], other)
    import hashlib

    with house.database.begin() as connection:
        connection.execute(
            update(evidence).values(
                sealed_sha256=hashlib.sha256(other).digest(), sealed_size=len(other)
            )
        )
    report = check(house, key=house.key)
    assert kinds(report) == ["altered", "other"]
    assert not report.ok


def test_evidence_sealed_to_another_key_does_not_open(house, tmp_path):
    house.block()
    other = tmp_path / "other.agekey"
    other.write_text(str(x25519.Identity.generate()))
    report = check(house, key=other)
    assert kinds(report) == ["closed"]
    assert check(house, key=house.key).ok


def test_objects_without_a_record_are_told_once_they_are_old(house, monkeypatch):
    house.block()
    house.objects.put("evidence/aa/orphan.age", b"x")
    assert check(house).troubles == []  # an upload may be under way
    monkeypatch.setattr(check_module, "IN_FLIGHT", timedelta(seconds=-60))
    report = check(house)
    assert kinds(report) == ["orphan"]
    assert report.ok  # nobody was answered on it


def test_an_object_that_should_be_gone_is_told(house):
    names = house.block()
    with house.database.begin() as connection:
        custody.mark(connection, names["ev"], "destroyed")
    report = check(house)
    assert kinds(report) == ["altered", "leftover"]
    assert not report.ok


def test_what_is_destroyed_while_it_is_checked_is_no_trouble(small_house, monkeypatch):
    names = small_house.block()
    real = small_house.objects.get_stream

    def destroyed_just_now(name):
        with small_house.database.begin() as connection:
            custody.mark(connection, names["ev"], "ending")
        small_house.objects.delete(name)
        return real(name)

    monkeypatch.setattr(small_house.objects, "get_stream", destroyed_just_now)
    assert check(small_house).troubles == []


def test_a_key_file_that_is_not_there_or_is_none_is_told(small_house, tmp_path):
    small_house.block()
    with pytest.raises(NotFound):
        check(small_house, key=tmp_path / "none")
    junk = tmp_path / "junk"
    junk.write_text("not a key")
    with pytest.raises(StoreUnavailable):
        check(small_house, key=junk)


def test_the_check_changes_no_evidence(house):
    names = house.block(PICTURE)
    before = house.objects.get(names["object"])
    with house.database.read() as connection:
        row = connection.execute(select(evidence)).mappings().one()
    check(house, key=house.key)
    with house.database.read() as connection:
        assert connection.execute(select(evidence)).mappings().one() == row
    assert house.objects.get(names["object"]) == before
