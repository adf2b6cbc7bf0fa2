"""Objects: whole or not at all, durable, private, and the same over a folder and S3."""

from __future__ import annotations

import io
import os
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutela.core import utc_now
from tutela.errors import InvalidInput, InvalidSetting, NotFound, StorageFull, StoreUnavailable
from tutela.store import Objects
from tutela.store import objects as objects_module
from tutela.store.objects import checked

LARGE = os.urandom(6 * 1024 * 1024 + 12345)


class Broken(io.BytesIO):
    """A stream that fails half-way."""

    def read(self, size=-1):
        if self.tell() > 400_000:
            raise OSError(5, "broken")
        return super().read(size)


def test_what_is_put_comes_back(objects, tmp_path):
    (tmp_path / "file").write_bytes(LARGE)
    assert objects.put("a/small.bin", b"hello") == 5
    assert objects.put("a/empty", b"") == 0
    assert objects.put("a/stream.bin", io.BytesIO(LARGE)) == len(LARGE)
    assert objects.put("a/path.bin", tmp_path / "file") == len(LARGE)
    assert objects.get("a/small.bin") == b"hello"
    assert objects.get("a/empty") == b""
    assert objects.get("a/stream.bin") == LARGE
    assert b"".join(objects.get_stream("a/path.bin")) == LARGE
    info = objects.head("a/stream.bin")
    assert info.size == len(LARGE)
    assert abs(info.modified - utc_now()) < timedelta(minutes=5)


def test_a_put_replaces(objects):
    objects.put("a/x", b"one")
    objects.put("a/x", b"three")
    assert objects.get("a/x") == b"three"


def test_list_tells_every_object_under_a_folder(objects):
    for name in ("a/1", "a/b/2", "c/3"):
        objects.put(name, name.encode())
    assert sorted(info.name for info in objects.list()) == ["a/1", "a/b/2", "c/3"]
    assert sorted((info.name, info.size) for info in objects.list("a")) == [
        ("a/1", 3),
        ("a/b/2", 5),
    ]
    assert list(objects.list("nothing")) == []


def test_deleting_is_final_and_harmless_when_repeated(objects):
    objects.put("a/x", b"one")
    objects.delete("a/x")
    objects.delete("a/x")
    objects.delete("never/was")
    assert not objects.exists("a/x")
    for ask in (objects.get, objects.head):
        with pytest.raises(NotFound):
            ask("a/x")


def test_a_broken_stream_leaves_no_object(objects):
    with pytest.raises(StoreUnavailable):
        objects.put("a/broken", Broken(LARGE))
    assert not objects.exists("a/broken")
    assert list(objects.list()) == []


def test_a_stage_that_is_left_leaves_nothing(objects):
    with objects.stage() as staged:
        staged.write(b"half")

    def fail():
        with objects.stage() as staged:
            staged.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(objects.list()) == []
    assert objects.sweep(timedelta(0)) == 0


def test_it_says_that_it_is_alive_and_leaves_no_trace(objects):
    objects.check()
    assert list(objects.list()) == []


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "A", "a\x00b", "a b", ".staging/x", "a/.b",
     "a\n", "ü", "a" * 200, "/".join("abcdefghij"), "a..b", "%2e%2e/x", "a\\b", "C:/x"],
)  # fmt: skip
def test_names_that_could_lead_astray_are_refused(folder_objects, name):
    for use in (
        lambda: folder_objects.put(name, b"x"),
        lambda: folder_objects.get(name),
        lambda: folder_objects.delete(name),
        lambda: folder_objects.head(name),
    ):
        with pytest.raises(InvalidInput):
            use()


@given(st.text(alphabet="ab./\\-_%~A\x00", max_size=20))
def test_no_accepted_name_leaves_its_folder(name):
    root = Path("/objects")
    try:
        inside = root / checked(name)
    except InvalidInput:
        return
    assert root in Path(os.path.normpath(inside)).parents
    assert os.path.normpath(inside) == str(inside)


def test_files_are_private_and_staging_is_empty(folder_objects):
    folder_objects.put("a/b/c", b"x")
    root = folder_objects.settings.data_dir / "objects"
    for path in [root, *root.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert list((root / ".staging").iterdir()) == []


def test_bytes_and_their_folders_are_flushed_before_a_put_returns(folder_objects, monkeypatch):
    events = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(handle):
        events.append(("fsync", os.readlink(f"/proc/self/fd/{handle}")))
        real_fsync(handle)

    def rename(source, target):
        events.append(("rename", str(target)))
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    folder_objects.put("a/b/c", b"x")
    root = str(folder_objects.settings.data_dir.resolve() / "objects")
    assert events[0][0] == "fsync"
    assert ".staging" in events[0][1]
    assert events[1][0] == "rename"
    assert {path for kind, path in events[2:] if kind == "fsync"} == {
        root,
        f"{root}/a",
        f"{root}/a/b",
    }


def test_a_crash_before_the_rename_leaves_only_what_the_sweep_removes(folder_objects, monkeypatch):
    def crash(source, target):
        raise KeyboardInterrupt

    staged = folder_objects.stage()
    staged.write(b"half")  # and the process is killed: no __exit__
    staged._file.close()
    assert list(folder_objects.list()) == []
    assert folder_objects.sweep() == 0  # it may be another process's, at work
    assert folder_objects.sweep(timedelta(seconds=-1)) == 1
    monkeypatch.setattr(os, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        folder_objects.put("a/x", b"x")
    assert not folder_objects.exists("a/x")


def test_a_full_disk_is_told_and_leaves_nothing(small_disk, settings_for):
    objects = Objects(settings_for(data_dir=small_disk.path / "data"))
    objects.put("a/before", b"x" * 1000)
    small_disk.fill()
    with pytest.raises(StorageFull) as caught:
        objects.put("a/large", io.BytesIO(LARGE))
    assert caught.value.retry_after
    assert not objects.exists("a/large")
    small_disk.free()
    assert objects.sweep(timedelta(seconds=-1)) == 0
    assert objects.get("a/before") == b"x" * 1000
    objects.put("a/large", io.BytesIO(LARGE))


def test_a_staging_folder_in_the_way_is_told(settings_for):
    settings = settings_for()
    (settings.data_dir / "objects").mkdir(parents=True)
    (settings.data_dir / "objects" / ".staging").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        Objects(settings).put("a/x", b"x")


def test_a_store_that_is_away_is_told_soon(settings_for, monkeypatch):
    monkeypatch.setattr(objects_module, "RETRIES", 0)
    options = {"endpoint": "http://127.0.0.1:1", "access_key_id": "k", "region": "us-east-1",
               "secret_access_key": "hunter2", "allow_http": "true"}  # fmt: skip
    objects = Objects(settings_for(store={"objects_url": "s3://b/p", "objects_options": options}))
    for use in (
        lambda: objects.put("a/x", b"x"),
        lambda: objects.get("a/x"),
        lambda: objects.head("a/x"),
        lambda: objects.delete("a/x"),
        lambda: list(objects.list()),
        objects.check,
    ):
        with pytest.raises(StoreUnavailable) as caught:
            use()
        assert "hunter2" not in caught.value.spoken()


def test_a_wrong_secret_is_told_without_showing_it(s3_objects, settings_for):
    store = s3_objects.settings.store
    options = {key: value.get_secret_value() for key, value in store.objects_options.items()}
    options["secret_access_key"] = "hunter2"
    objects = Objects(
        settings_for(store={"objects_url": store.objects_url, "objects_options": options})
    )
    with pytest.raises(StoreUnavailable) as caught:
        objects.put("a/x", b"x")
    assert "hunter2" not in caught.value.spoken()


UNKNOWN = ["ftp://x/y", "http://x/y", "file:///tmp/x", "memory:///", "nothing"]


@pytest.mark.parametrize("url", UNKNOWN)
def test_stores_we_do_not_know_are_refused_at_start(settings_for, url):
    with pytest.raises(InvalidSetting):
        Objects(settings_for(store={"objects_url": url}))


def test_an_unknown_option_is_refused_at_start_without_showing_its_value(settings_for):
    store = {"objects_url": "s3://b/p", "objects_options": {"sekret_key": "hunter2"}}
    with pytest.raises(InvalidSetting) as caught:
        Objects(settings_for(store=store))
    assert "hunter2" not in caught.value.spoken()
