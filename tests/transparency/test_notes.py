"""Notes and keys in the one spelling of C2SP, and no other."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutela.errors import InvalidSetting, LedgerDamaged
from tutela.transparency.notes import (
    Checkpoint,
    SignerKey,
    VerifierKey,
    check_name,
    open_checkpoint,
)

PETER = SignerKey(
    "PeterNeumann",
    base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:],
)
"""The key pair in the documentation of Go's ``sumdb/note`` (``example_test.go``)."""


def test_keys_and_signatures_are_those_of_the_reference_implementation() -> None:
    assert PETER.secret_text() == (
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
    )
    assert str(PETER.verifier) == (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    assert PETER.sign(text) == (
        text + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZ"
        "SNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )


def test_keys_read_back_and_only_in_one_spelling() -> None:
    key = SignerKey.generate("example.org/ledger")
    assert SignerKey.parse(key.secret_text() + "\n") == key
    assert VerifierKey.parse(str(key.verifier)) == key.verifier
    assert "PRIVATE" not in repr(key)
    text = str(key.verifier)
    for wrong in (text.upper(), text + "\n", text[1:], text.replace("+", "-"), "", "a+b+c"):
        with pytest.raises(LedgerDamaged):
            VerifierKey.parse(wrong)
    for wrong in (key.secret_text()[:-4], "", key.secret_text().replace("ledger", "other")):
        with pytest.raises(InvalidSetting) as told:
            SignerKey.parse(wrong)
        assert wrong == "" or wrong not in told.value.spoken()


@pytest.mark.parametrize("name", ["", "a b", "a+b", "ü", "a\n", "x" * 201])
def test_a_log_cannot_be_named_so(name: str) -> None:
    with pytest.raises(InvalidSetting):
        check_name(name)


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_checkpoints_read_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("PeterNeumann", size, root)
    assert open_checkpoint(PETER.sign(checkpoint.text()).encode(), PETER.verifier) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "PeterNeumann\n07\nAAAA\n",
        "PeterNeumann\n7\nAAAA\n",
        "other\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "PeterNeumann\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\n",
        "PeterNeumann\n7\n",
    ],
)
def test_what_is_signed_but_no_checkpoint_of_this_log_is_refused(text: str) -> None:
    with pytest.raises(LedgerDamaged):
        open_checkpoint(PETER.sign(text).encode(), PETER.verifier)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(LedgerDamaged):
        open_checkpoint(data, PETER.verifier)


def test_a_second_signature_line_is_refused() -> None:
    note = PETER.sign(Checkpoint("PeterNeumann", 0, bytes(32)).text())
    with pytest.raises(LedgerDamaged, match="exactly one"):
        open_checkpoint((note + note.splitlines(keepends=True)[-1]).encode(), PETER.verifier)


def test_no_letter_of_a_signature_has_a_second_spelling() -> None:
    """The last letter of base64 carries bits that mean nothing; they must be as written."""
    note = PETER.sign(Checkpoint("PeterNeumann", 0, bytes(32)).text())
    letters = string.ascii_letters + string.digits + "+/="
    for place in range(note.rindex(" ") + 1, len(note) - 1):
        for letter in letters:
            changed = note[:place] + letter + note[place + 1 :]
            if changed != note:
                with pytest.raises(LedgerDamaged):
                    open_checkpoint(changed.encode(), PETER.verifier)
