"""The page's server: its stream, its locks, and the page beside a launch."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from scalmarl.launch.cli import main
from scalmarl.launch.dash import command as dash_command
from scalmarl.launch.dash.command import Door
from scalmarl.launch.dash.data import kept_states
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import RunDirectory

from .page_references import References

pytest.importorskip("starlette", reason="the page needs starlette (the extra 'web')")
pytest.importorskip("uvicorn", reason="the page needs uvicorn (the extra 'web')")
WITHIN_S = 60.0


class Served:
    """A server in a thread of this process, and questions to it."""

    def __init__(self, run: RunDirectory, read_only: bool) -> None:
        from scalmarl.launch.dash import server as dash_server

        door = Door(read_only=read_only)
        self.port, self.token = door.port, door.token
        service = dash_server.Service(run, self.port, self.token)
        self.server = dash_server.server_of(service)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [door.socket]})
        self._thread.start()

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def end(self) -> None:
        self.server.should_exit = True
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def served(run: RunDirectory) -> Iterator[Served]:
    served = Served(run, read_only=False)
    yield served
    served.end()


def told(port: int, wanted: str) -> dict[str, Any]:
    """The first event of a kind that the stream tells."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
    connection.request("GET", "/api/stream")
    answer = connection.getresponse()
    try:
        while line := answer.readline():
            if line == f"event: {wanted}\n".encode():
                document: dict[str, Any] = json.loads(answer.readline().removeprefix(b"data: "))
                return document
        raise AssertionError(f"the stream ended without {wanted}")
    finally:
        answer.close()
        connection.close()


def test_the_stream_tells_the_run(served: Served, run: RunDirectory) -> None:
    assert told(served.port, "about")["may_write"] is True
    assert told(served.port, "news")["rounds"]["columns"]["round"] == [
        line["round"] for line in read_lines(run.metrics)
    ]
    assert told(served.port, "status")["state"] == "finished"


def test_page_and_log_are_served_and_may_load_nothing_from_elsewhere(served: Served) -> None:
    status, page, headers = served.ask("/")
    assert status == 200
    assert served.token.encode() not in page
    assert "default-src 'none'" in headers["content-security-policy"]
    for reference in References.of(page.decode()):
        assert reference.startswith(("page/", "data:", "#"))
        if reference.startswith("page/"):
            assert served.ask(f"/{reference}")[0] == 200
    status, log, _ = served.ask("/api/log?process=agent/1")
    assert (status, json.loads(log)["life"], "committed: round" in json.loads(log)["text"]) == (200, 0, True)
    assert served.ask("/api/log?process=agent/77")[0] == 404
    assert served.ask("/api/log?process=../../etc/passwd")[0] == 404
    assert served.ask("/page/../server.py")[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X_Scalmarl_Token": "wrong"}, 403),
        ({"X_Scalmarl_Token": "TOKEN", "Origin": "http://elsewhere.example"}, 403),
        ({"X_Scalmarl_Token": "TOKEN", "Origin": "null"}, 403),
        ({"X_Scalmarl_Token": "TOKEN", "Host": "elsewhere.example"}, 421),
        # The run is over: the launcher cannot be asked, but it was let through.
        ({"X_Scalmarl_Token": "TOKEN"}, 409),
    ],
)
def test_writing_needs_the_token_our_own_page_and_our_own_name(
    served: Served, headers: dict[str, str], status: int
) -> None:
    mine = {name: served.token if value == "TOKEN" else value for name, value in headers.items()}
    assert served.ask("/api/kill", "POST", b'{"process": "agent/1"}', **mine)[0] == status


def test_the_camera_answers_with_a_picture_or_with_why_not(served: Served, run: RunDirectory) -> None:
    for asked, shown in ((str(10**6), kept_states(run)[-1]), ("0", 0)):
        status, content, headers = served.ask(f"/api/camera?round={asked}")
        assert status == 200
        if headers["content-type"] == "image/jpeg":
            assert (int(headers["x-round"]), content[:3]) == (shown, b"\xff\xd8\xff")
        else:
            assert "no graphics library works here" in json.loads(content)["why_not"]
    assert served.ask("/api/camera?round=-1")[0] == 404


def test_a_rebound_name_may_not_even_read(served: Served) -> None:
    assert served.ask("/", Host=f"localhost:{served.port}")[0] == 200
    assert served.ask("/", Host=f"elsewhere.example:{served.port}")[0] == 421
    assert served.ask("/api/log?process=0", Origin="http://elsewhere.example")[0] == 403


def test_a_request_without_a_process_is_refused(served: Served) -> None:
    for body in (b"", b"[]", b"{}", b"\xff"):
        assert served.ask("/api/kill", "POST", body, X_Scalmarl_Token=served.token)[0] == 400


def test_read_only_has_no_way_to_write(run: RunDirectory) -> None:
    served = Served(run, read_only=True)
    try:
        assert told(served.port, "about")["may_write"] is False
        for token in ("", "none is right", "anything"):
            assert served.ask("/api/kill", "POST", b'{"process": "0"}', X_Scalmarl_Token=token)[0] >= 400
        assert served.ask("/api/kill")[0] == 404
    finally:
        served.end()


def test_a_taken_port_and_a_missing_extra_are_told_in_three_parts(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = CliRunner().invoke(main, ["dash", "--run", str(run.path), "--port", str(port)])
    assert said.exit_code == 2
    assert f"port {port} of 127.0.0.1 is taken" in said.output
    monkeypatch.setattr(dash_command.importlib.util, "find_spec", lambda name: None)
    said = CliRunner().invoke(main, ["dash", "--run", str(run.path)])
    assert said.exit_code == 4
    assert "pip install 'scalmarl[web]'" in said.output


def test_launch_shows_a_page_on_which_agents_are_killed_and_brought_back(start: Callable[..., Any]) -> None:
    size = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "4000")
    launch = start("web", *size, "--web")
    launch.wait_for_round(1)
    line = next(text for text in launch.said.read_text().splitlines() if text.startswith("page "))
    address, _, token = line.split()[1].partition("#token=")
    port = int(address.rstrip("/").rpartition(":")[2])

    def post(command: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
        headers = {"X-Scalmarl-Token": token, "Origin": f"http://127.0.0.1:{port}"}
        connection.request("POST", f"/api/{command}", b'{"process": "agent/1"}', headers)
        status = connection.getresponse().status
        connection.close()
        return status

    before = launch.pid_of("agent/1")
    assert post("kill") == 200
    launch.wait_until(lambda state: "agent/1" not in launch.running())
    assert [p["state"] for p in told(port, "status")["processes"] if p["name"] == "agent/1"] == ["down"]
    assert post("restart") == 200
    launch.wait_until(lambda state: launch.running().get("agent/1", before) != before)
    launch.process.terminate()
    assert launch.end() == 143
    deadline = time.monotonic() + WITHIN_S
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)):
                break
        assert time.monotonic() < deadline, "the page's server outlives its run"
        time.sleep(0.1)
    committed = launch.state()["round"]
    again = start("web", command=("resume", str(launch.path), "--web"))
    again.wait_for_round(committed + 1)
    line = next(text for text in again.said.read_text().splitlines() if text.startswith("page "))
    port = int(line.split()[1].partition("#")[0].rstrip("/").rpartition(":")[2])
    assert told(port, "status")["round"] > committed
    again.process.terminate()
    assert again.end() == 143
