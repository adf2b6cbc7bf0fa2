"""The opener: the one process that reads the key, and keeps what it opens to itself."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519

from tutela.cases import opener
from tutela.cases.opening import Opened, Opener
from tutela.cases.recipients import opener_command, opener_environment
from tutela.errors import NotFound, StoreUnavailable

IDENTITY = x25519.Identity.generate()
PLAIN = b"PLAINTEXT-MARKER-9c1e" * 5000
SEALED = pyrage.encrypt(PLAIN, [IDENTITY.to_public()])


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "vault.agekey"
    path.write_text(f"# a comment\n\n{IDENTITY}\n")
    return path


def frame(data):
    return len(data).to_bytes(8, "big") + data


def verify(data):
    answers = io.BytesIO()
    opener.verify_all([IDENTITY], io.BytesIO(data), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_it_tells_what_is_inside_and_nothing_of_it(key):
    done = subprocess.run(
        opener_command(["verify", str(key)]),
        input=frame(SEALED) * 2,
        env=opener_environment(),
        capture_output=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    inside = {
        "size": len(PLAIN),
        "md5": hashlib.md5(PLAIN).hexdigest(),
        "sha256": hashlib.sha256(PLAIN).hexdigest(),
    }
    assert answers == [inside, inside]
    assert b"MARKER" not in done.stdout + done.stderr


def test_a_damaged_object_does_not_spoil_the_next():
    bad = bytearray(SEALED)
    bad[-1] ^= 1
    answers = verify(frame(bytes(bad)) + frame(b"") + frame(b"junk") + frame(SEALED))
    assert ["error" in answer for answer in answers] == [True, True, True, False]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=4), st.binary(max_size=9))
def test_whatever_comes_in_gets_one_answer_each(blobs, rest):
    data = b"".join(frame(blob) for blob in blobs) + frame(SEALED) + rest[:7]
    answers = verify(data)
    assert len(answers) == len(blobs) + 1
    assert "error" not in answers[-1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_changed_byte_opens_as_the_original(position, flip):
    changed = bytearray(SEALED)
    changed[position] ^= flip
    (answer,) = verify(frame(bytes(changed)))
    assert answer.get("sha256") != hashlib.sha256(PLAIN).hexdigest() or bytes(changed) == SEALED


def test_it_sees_none_of_our_settings_or_secrets(key, monkeypatch):
    monkeypatch.setenv("TUTELA_STORE__DATABASE_URL", "postgresql://u:hunter2@h/n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with Opener(key) as running:
        pid = running._process.pid
        assert running.verify(len(SEALED), [SEALED]).size == len(PLAIN)
        if os.geteuid() == 0:  # its memory and environment are closed to its own user
            with open(f"/proc/{pid}/environ", "rb") as file:
                assert b"hunter2" not in file.read()
        with open(f"/proc/{pid}/limits") as file:
            core = next(line for line in file if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
    assert "hunter2" not in json.dumps(opener_environment())


def test_it_loads_no_other_room():
    code = (
        "import sys, tutela.cases.opener\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('tutela.')}\n"
        "print(sorted(rooms), 'sqlalchemy' in sys.modules, 'obstore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['cases'] False False"


def test_parts_of_any_size_are_put_together(key):
    parts = [SEALED[i : i + 777] for i in range(0, len(SEALED), 777)]
    with Opener(key) as running:
        first = running.verify(len(SEALED), parts)
        second = running.verify(len(SEALED), [SEALED])
    assert (
        first
        == second
        == Opened(len(PLAIN), hashlib.md5(PLAIN).digest(), hashlib.sha256(PLAIN).digest())
    )


def test_an_object_cut_short_on_the_way_does_not_open(key):
    with Opener(key) as running:
        assert running.verify(len(SEALED), [SEALED[:-5]]).size is None
        assert running.verify(len(SEALED), [SEALED, b"more"]).size == len(PLAIN)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "AGE-SECRET-KEY-1JUNK\n", "\xff"])
def test_a_file_that_is_no_key_is_told_without_its_content(tmp_path, text):
    path = tmp_path / "key"
    path.write_bytes(text.encode("latin-1"))
    done = subprocess.run(
        opener_command(["verify", str(path)]), input=frame(SEALED), capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"JUNK" not in done.stdout + done.stderr
    with Opener(path) as running, pytest.raises(StoreUnavailable):
        running.verify(len(SEALED), [SEALED])


def test_a_missing_key_is_told(tmp_path):
    with pytest.raises(NotFound):
        Opener(tmp_path / "none")


def test_an_opener_that_is_not_running_says_so(key):
    running = Opener(key)
    with pytest.raises(StoreUnavailable):
        running.verify(1, [b"x"])


def test_it_has_two_commands_and_no_other():
    done = subprocess.run(opener_command(["decrypt", "x"]), capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"usage")


def test_making_a_key_twice_keeps_the_first(tmp_path):
    key, public = tmp_path / "k" / "vault.agekey", tmp_path / "k" / "vault.recipients"
    assert opener.main(["make-key", str(key), str(public)]) == 0
    first = key.read_bytes()
    public.unlink()
    assert opener.main(["make-key", str(key), str(public)]) == 0
    assert key.read_bytes() == first
    (identity,) = opener.read_identities(key)
    assert public.read_text() == f"{identity.to_public()}\n"
    assert sorted(path.name for path in key.parent.iterdir()) == [
        "vault.agekey",
        "vault.recipients",
    ]
