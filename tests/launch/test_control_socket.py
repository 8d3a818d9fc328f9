"""A request that makes no sense is answered, and costs the launcher nothing."""

from __future__ import annotations

import json
import selectors
from functools import partial
from pathlib import Path

import pytest

from scalmarl.launch.control_socket import ControlServer
from scalmarl.launch.requests import answer
from scalmarl.launch.watched import Watched


class Launcher:
    def __init__(self) -> None:
        self.watched = {0: Watched(0), 1: Watched(1)}


@pytest.mark.parametrize(
    "request_",
    [b"[]", b"3", b"{}", b"not json", b'{"command": "kill"}', b'{"command": "kill", "process": 3}',
     b'{"command": "restart", "process": null}', b'{"command": ["kill"]}', b"[" * 5000],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused(request_: bytes, tmp_path: Path) -> None:
    with selectors.DefaultSelector() as selector:
        server = ControlServer(tmp_path / "control", selector, partial(answer, Launcher()))  # type: ignore[arg-type]
        said = server._respond(request_)
        server.close()
    assert set(said) == {"error", "hint"}
    json.dumps(said)
