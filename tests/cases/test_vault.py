"""The vault: sealed before the answer, to public keys only, never in the clear on a disk."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519
from sqlalchemy import select

from tutela.cases import Vault
from tutela.cases.sealing import Counted, encrypt
from tutela.errors import EvidenceDamaged, InvalidSetting, StorageFull, StoreUnavailable
from tutela.store import Database, Objects
from tutela.store.tables.evidence import evidence

MARKER = b"PLAINTEXT-MARKER-7f3a"
PICTURE = (MARKER + os.urandom(1000)) * 300


class Bytes:
    def __init__(self, data):
        self.data = data

    def open(self):
        return io.BytesIO(self.data)


class Broken(io.BytesIO):
    def read(self, size=-1):
        if self.tell() > 0:
            raise OSError(5, "broken")
        return super().read(100_000)


def files_under(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def opened(house, name):
    return pyrage.decrypt(house.objects.get(name), [house.identity])


def test_what_was_sealed_opens_with_the_key_and_is_the_original(house):
    sealed = house.vault.seal_blocking(Bytes(PICTURE), sha256=hashlib.sha256(PICTURE).digest())
    assert opened(house, sealed.object_name) == PICTURE
    assert sealed.size == len(PICTURE)
    assert sealed.md5 == hashlib.md5(PICTURE).digest()
    assert sealed.sha1 == hashlib.sha1(PICTURE).digest()
    assert sealed.sha256 == hashlib.sha256(PICTURE).digest()
    stored = house.objects.get(sealed.object_name)
    assert sealed.sealed_size == len(stored)
    assert sealed.sealed_sha256 == hashlib.sha256(stored).digest()
    assert sealed.sealed_sha256.hex() in sealed.object_name
    assert MARKER not in stored


def test_sealing_runs_beside_an_event_loop(house):
    async def story():
        return await asyncio.gather(*[house.vault.seal(Bytes(PICTURE)) for _ in range(4)])

    names = {sealed.object_name for sealed in asyncio.run(story())}
    assert len(names) == 4  # each upload is evidence of its own
    assert all(opened(house, name) == PICTURE for name in names)


def test_no_byte_of_the_original_and_no_hash_of_it_is_on_the_disk(small_house):
    sealed = small_house.vault.seal_blocking(Bytes(PICTURE))
    paths = files_under(small_house.settings.data_dir)
    assert paths
    for path in paths:
        assert MARKER not in path.read_bytes()
        assert sealed.sha256.hex() not in str(path)
        assert sealed.md5.hex() not in str(path)


def test_bytes_other_than_those_examined_are_not_sealed(house):
    with pytest.raises(EvidenceDamaged):
        house.vault.seal_blocking(Bytes(PICTURE), sha256=hashlib.sha256(b"other").digest())
    assert list(house.objects.list()) == []


def test_a_source_that_breaks_leaves_no_object(house):
    class Source:
        def open(self):
            return Broken(PICTURE)

    with pytest.raises(StoreUnavailable):
        house.vault.seal_blocking(Source())
    assert list(house.objects.list()) == []


def test_a_full_disk_is_an_error_with_a_retry_time_and_leaves_nothing(small_disk, settings_for):
    identity = x25519.Identity.generate()
    made = settings_for(
        data_dir=small_disk.path / "data", vault={"recipients": [str(identity.to_public())]}
    )
    objects = Objects(made)
    vault = Vault(made, objects)
    small_disk.fill()
    with pytest.raises(StorageFull) as caught:
        vault.seal_blocking(Bytes(PICTURE))
    assert caught.value.retry_after
    small_disk.free()
    assert list(objects.list()) == []
    assert [path for path in files_under(made.data_dir) if path.stat().st_size] == []
    vault.seal_blocking(Bytes(PICTURE))


def test_an_object_store_that_is_away_is_an_error_with_a_retry_time(settings_for, monkeypatch):
    monkeypatch.setattr("tutela.store.objects.RETRIES", 0)
    options = {"endpoint": "http://127.0.0.1:1", "access_key_id": "k", "secret_access_key": "s",
               "region": "us-east-1", "allow_http": "true"}  # fmt: skip
    store = {"objects_url": "s3://b/p", "objects_options": options}
    public = str(x25519.Identity.generate().to_public())
    made = settings_for(store=store, vault={"recipients": [public]})
    with pytest.raises(StoreUnavailable) as caught:
        Vault(made, Objects(made)).seal_blocking(Bytes(PICTURE))
    assert caught.value.retry_after
    assert all(MARKER not in path.read_bytes() for path in files_under(made.data_dir))


def test_every_recipient_opens_it_alone(sqlite_settings):
    identities = [x25519.Identity.generate() for _ in range(3)]
    public = [str(identity.to_public()) for identity in identities]
    made = sqlite_settings.model_copy(
        update={"vault": sqlite_settings.vault.model_copy(update={"recipients": public})}
    )
    objects = Objects(made)
    sealed = Vault(made, objects).seal_blocking(Bytes(PICTURE))
    assert sealed.recipients == tuple(public)
    for identity in identities:
        assert pyrage.decrypt(objects.get(sealed.object_name), [identity]) == PICTURE


def test_a_record_that_fails_leaves_no_row(house):
    sealed = house.vault.seal_blocking(Bytes(PICTURE))

    def fail():
        with house.database.begin() as connection:
            house.vault.record(connection, sealed, None, ledger=house.ledger)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with house.database.read() as connection:
        assert connection.execute(select(evidence)).all() == []


def test_discarding_removes_what_was_never_recorded(house):
    sealed = house.vault.seal_blocking(Bytes(PICTURE))
    assert house.vault.discard(sealed, house.database)
    assert list(house.objects.list()) == []
    with house.database.read() as connection:
        assert connection.execute(select(evidence)).all() == []


def test_discarding_keeps_evidence_whose_record_stands(house):
    """As when the answer to a commit was lost, or the client left in that moment."""
    names = house.block(PICTURE)
    with house.database.read() as connection:
        row = connection.execute(select(evidence)).mappings().one()
    sealed = house.vault.seal_blocking(Bytes(b"x"))
    from dataclasses import replace

    same = replace(sealed, object_name=row["object_name"])
    assert not house.vault.discard(same, house.database)
    assert opened(house, names["object"]) == PICTURE


def test_discarding_waits_for_a_transaction_that_is_recording_just_now(house):
    sealed = house.vault.seal_blocking(Bytes(PICTURE))
    began, answers = threading.Event(), []

    def discard():
        began.wait(10)
        answers.append(house.vault.discard(sealed, house.database))

    thread = threading.Thread(target=discard)
    thread.start()
    with house.database.begin() as connection:
        house.vault.record(connection, sealed, None, ledger=house.ledger)
        began.set()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(10)
    assert answers == [False]
    assert opened(house, sealed.object_name) == PICTURE


def test_discarding_without_an_answer_of_the_database_keeps_the_object(small_house, settings_for):
    sealed = small_house.vault.seal_blocking(Bytes(PICTURE))
    away = Database(settings_for(store={"database_url": "postgresql+psycopg://n@127.0.0.1:1/none"}))
    assert not small_house.vault.discard(sealed, away)
    assert small_house.objects.exists(sealed.object_name)


def test_at_the_first_start_a_key_is_made_that_this_process_never_reads(
    sqlite_settings, monkeypatch
):
    read = []
    real = Path.read_text

    def watch(path, *arguments, **options):
        read.append(path.name)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", watch)
    vault = Vault(sqlite_settings, Objects(sqlite_settings))
    assert read == ["vault.recipients"]
    assert vault.key_path.stat().st_mode & 0o777 == 0o600
    assert vault.key_path.parent.stat().st_mode & 0o777 == 0o700
    (identity,) = [
        x25519.Identity.from_str(line)
        for line in real(vault.key_path).splitlines()
        if line.startswith("AGE-SECRET-KEY-")
    ]
    assert vault.recipients == (str(identity.to_public()),)
    sealed = vault.seal_blocking(Bytes(PICTURE))
    assert pyrage.decrypt(vault.objects.get(sealed.object_name), [identity]) == PICTURE


def test_the_gate_s_memory_holds_no_private_key(sqlite_settings):
    code = (
        "import gc,io,sys;from pathlib import Path;from tutela.settings import Settings\n"
        "from tutela.store import Objects;from tutela.cases import Vault\n"
        "s=Settings(data_dir=Path(sys.argv[1]));v=Vault(s,Objects(s))\n"
        "class B:\n"
        "  def open(self): return io.BytesIO(b'x')\n"
        "v.seal_blocking(B())\n"
        "secret=b'AGE-SECRET-'+b'KEY-1';found=0\n"
        "for line in open('/proc/self/maps'):\n"
        "  span,mode=line.split()[:2]\n"
        "  if 'rw' not in mode or '[v' in line: continue\n"
        "  a,b=(int(x,16) for x in span.split('-'))\n"
        "  with open('/proc/self/mem','rb') as m:\n"
        "    m.seek(a)\n"
        "    try: data=m.read(b-a)\n"
        "    except OSError: continue\n"
        "  i=data.find(secret)\n"
        "  while i>=0:\n"
        "    tail=data[i+len(secret):i+len(secret)+58]\n"
        "    found+=len(tail)==58 and tail.isalnum() and tail.isupper()\n"
        "    i=data.find(secret,i+1)\n"
        "print(found,len(v.recipients))\n"
    )
    folder = str(sqlite_settings.data_dir)
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "1"]


def test_processes_that_start_at_once_agree_on_one_key(sqlite_settings):
    found = []
    start = threading.Barrier(3)

    def begin():
        start.wait()
        found.append(Vault(sqlite_settings, Objects(sqlite_settings)).recipients)

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    leftovers = [p.name for p in (sqlite_settings.data_dir / "keys").iterdir()]
    assert sorted(leftovers) == ["vault.agekey", "vault.recipients"]


def test_once_the_key_is_moved_away_sealing_goes_on_to_the_same_recipient(sqlite_settings):
    first = Vault(sqlite_settings, Objects(sqlite_settings))
    first.key_path.unlink()
    again = Vault(sqlite_settings, Objects(sqlite_settings))
    assert again.recipients == first.recipients
    assert not again.key_path.exists()
    again.seal_blocking(Bytes(PICTURE))


def test_a_lost_recipients_file_is_made_again_from_the_key(sqlite_settings):
    first = Vault(sqlite_settings, Objects(sqlite_settings))
    (sqlite_settings.data_dir / "keys" / "vault.recipients").unlink()
    assert Vault(sqlite_settings, Objects(sqlite_settings)).recipients == first.recipients


def test_an_empty_recipients_file_stops_the_start(sqlite_settings):
    folder = sqlite_settings.data_dir / "keys"
    folder.mkdir()
    (folder / "vault.recipients").write_text("# nothing\n")
    with pytest.raises(InvalidSetting):
        Vault(sqlite_settings, Objects(sqlite_settings))


def test_a_keys_folder_that_cannot_be_written_is_told(sqlite_settings):
    (sqlite_settings.data_dir / "keys").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        Vault(sqlite_settings, Objects(sqlite_settings))


UNUSABLE = ["", "age1junk", "AGE-SECRET-KEY-1QQQQ", "ssh-ed25519 junk", "age1tag1qqqq",
            "age1tagpq1qqqq", "hello", "age1yubikey1q"]  # fmt: skip


@pytest.mark.parametrize("recipient", UNUSABLE)
def test_unusable_recipients_stop_the_start_and_are_not_shown(sqlite_settings, recipient):
    made = sqlite_settings.model_copy(
        update={"vault": sqlite_settings.vault.model_copy(update={"recipients": [recipient]})}
    )
    with pytest.raises(InvalidSetting) as caught:
        Vault(made, Objects(made))
    assert not recipient or recipient not in caught.value.spoken()


def test_recipients_that_cannot_be_sealed_to_together_stop_the_start(sqlite_settings, monkeypatch):
    def refuse(reader, writer, keys):
        raise pyrage.EncryptError("incompatible")

    monkeypatch.setattr(pyrage, "encrypt_io", refuse)
    with pytest.raises(InvalidSetting):
        Vault(sqlite_settings, Objects(sqlite_settings))


def test_an_ssh_key_can_hold_the_vault(sqlite_settings, tmp_path):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    made = sqlite_settings.model_copy(
        update={"vault": sqlite_settings.vault.model_copy(update={"recipients": [public]})}
    )
    objects = Objects(made)
    sealed = Vault(made, objects).seal_blocking(Bytes(PICTURE))
    identity = pyrage.ssh.Identity.from_buffer(private)
    assert pyrage.decrypt(objects.get(sealed.object_name), [identity]) == PICTURE


def hardware_recipient():
    """An ``age1tag1…`` recipient, as a device that holds a P-256 key gives it (bech32, BIP 173)."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    bits = "".join(f"{byte:08b}" for byte in point)
    bits += "0" * (-len(bits) % 5)
    data = [int(bits[i : i + 5], 2) for i in range(0, len(bits), 5)]
    prefix = "age1tag"
    check = 1
    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    for value in [*spread, *data, 0, 0, 0, 0, 0, 0]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> i & 1 else 0
    check ^= 1
    data += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[value] for value in data)


def test_sealing_to_a_key_held_by_hardware_needs_no_device(sqlite_settings):
    public = [hardware_recipient(), str(x25519.Identity.generate().to_public())]
    made = sqlite_settings.model_copy(
        update={"vault": sqlite_settings.vault.model_copy(update={"recipients": public})}
    )
    objects = Objects(made)
    sealed = Vault(made, objects).seal_blocking(Bytes(PICTURE))
    header = objects.get(sealed.object_name)[:400]
    assert b"-> p256tag " in header
    assert b"-> X25519 " in header


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200_000), st.lists(st.integers(1, 70_000), max_size=6))
def test_any_bytes_in_any_portions_seal_and_open_unchanged(data, portions):
    class Portions(io.BytesIO):
        def read(self, size=-1):
            step = portions[self.tell() % len(portions)] if portions else size
            return super().read(step)

    identity = x25519.Identity.generate()
    sink = io.BytesIO()
    plain, sealed = encrypt(Portions(data), sink, [identity.to_public()])
    assert pyrage.decrypt(sink.getvalue(), [identity]) == data
    assert (plain.size, sealed.size) == (len(data), len(sink.getvalue()))
    assert plain.sha256.digest() == hashlib.sha256(data).digest()


def test_a_large_upload_streams_through_little_memory(small_house):
    class Zeroes(io.RawIOBase):
        left = 200 * 1024 * 1024

        def readable(self):
            return True

        def readinto(self, buffer):
            size = min(len(buffer), self.left)
            buffer[:size] = bytes(size)
            self.left -= size
            return size

    class Source:
        def open(self):
            return io.BufferedReader(Zeroes())

    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sealed = small_house.vault.seal_blocking(Source())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sealed.size == 200 * 1024 * 1024
    assert grown < 64 * 1024, f"{grown} KiB"


def test_reading_all_at_once_is_counted_as_well():
    counted = Counted(io.BytesIO(b"abc"))
    assert counted.read() == b"abc"
    assert counted.size == 3
