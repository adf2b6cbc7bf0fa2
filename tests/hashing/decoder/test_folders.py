"""A decoder reads the code it runs and nothing else, wherever it was started from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tutela
from tutela.errors import InvalidSetting
from tutela.hashing.decoder import DecoderPool, folders, sandbox

HERE = str(Path(__file__).parent)
SOURCES = str(Path(tutela.__file__).parents[1])
DRIVER = """
import sys
sys.path.append({here!r})
from tutela.hashing.decoder import DecoderPool
from tutela.hashing.source import Source
with DecoderPool(workers=1, job="hostile:hash_media") as pool:
    for name in {names!r}:
        with Source.from_bytes(("open:" + name).encode()) as source:
            print(pool.hash_blocking(source).faults[0].detail)
"""


@pytest.mark.skipif(sandbox.landlock_version() < 1, reason="the kernel has no Landlock")
def test_a_decoder_started_beside_the_data_folder_reads_no_key_and_no_database(
    tmp_path: Path,
) -> None:
    secrets = [tmp_path / "tutela-data" / name for name in ("keys/vault.key", "tutela.db")]
    for secret in secrets:
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text("secret")
    names = [str(secret) for secret in secrets]
    (tmp_path / "driver.py").write_text(DRIVER.format(here=HERE, names=names))
    done = subprocess.run(
        [sys.executable, "-m", "driver"],  # puts the working directory on the path
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["PermissionError"] * 2


@pytest.mark.parametrize("below", [True, False], ids=["data-in-code", "code-in-data"])
def test_a_start_where_decoders_could_read_the_data_folder_is_refused(below: bool) -> None:
    package = Path(tutela.__file__).parent
    private = package / "tutela-data" if below else package.parents[1]
    pool = DecoderPool(workers=1, private=[private], job="tutela.hashing.options:HashOptions")
    with pytest.raises(InvalidSetting, match="data folder") as refused:
        pool.start_blocking()
    assert "data_dir" in refused.value.next_step


def test_the_working_directory_is_searched_only_where_the_package_lies_in_it() -> None:
    path = ["", "/srv/app", "/usr/lib/python3", "/srv/app/src"]
    rest = ["/usr/lib/python3", "/srv/app/src"]
    assert folders.search_path(path, "/srv/app", "/srv/app/src/tutela") == rest
    assert folders.search_path(path, "/srv/app", "/srv/app/tutela") == path[1:]


def test_of_a_searched_folder_only_what_was_loaded_is_opened(tmp_path: Path) -> None:
    package, plain = ModuleType("package"), ModuleType("plain")
    for module, file in ((package, "package/__init__.py"), (plain, "plain.py")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
        module.__file__ = str(tmp_path / file)
    package.__path__ = [str(tmp_path / "package")]
    opened = folders.code_folders([package, plain, ModuleType("built_in")])
    assert {str(tmp_path / "package"), str(tmp_path / "plain.py")} <= set(opened)
    assert not folders.lies_below(str(tmp_path / "tutela-data"), str(tmp_path / "package"))
    assert folders.overlap([str(tmp_path)], opened) == str(tmp_path / "package")


def test_no_opened_folder_holds_another_nor_the_sources_around_the_package() -> None:
    opened = folders.code_folders()
    assert not [a for a in opened for b in opened if a != b and folders.lies_below(a, b)]
    assert str(Path(tutela.__file__).parent) in opened or any(
        folders.lies_below(tutela.__file__, root) for root in opened
    )
    assert os.path.realpath(os.getcwd()) not in opened
