"""The page's data against the run's own files, its server's locks, and the page as one file."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scalmarl.launch.cli import main
from scalmarl.launch.dash import command as dash_command
from scalmarl.launch.dash import export as dash_export
from scalmarl.launch.dash.camera import Camera
from scalmarl.launch.dash.command import Door
from scalmarl.launch.dash.data import PageData, kept_states
from scalmarl.launch.dash.marks import places, spells
from scalmarl.launch.errors import MachineNotFit, NoSuchRun, TrainingFailed
from scalmarl.launch.records import GrowingLines, read_lines
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.launch.traffic import all_to_all_bytes, report

pytest.importorskip("starlette", reason="the page needs starlette (the extra 'web')")
pytest.importorskip("uvicorn", reason="the page needs uvicorn (the extra 'web')")
WITHIN_S = 60.0


# ---- marks: where events belong ----

WALL_S = {0: 2.0, 1: 2.0, 2: 4.0}
LAUNCH = {"event": "launch", "time": 100.0, "process": None, "committed": 0}


def test_an_event_lies_where_its_time_falls_in_its_round() -> None:
    events = [LAUNCH, *({"event": "start", "time": 100.0 + t, "process": "sim"} for t in (1.0, 2.0, 5.0, 8.0, 9.0))]
    assert places(events, WALL_S) == [0.0, 0.5, 1.0, 2.25, 3.0, 3.0]


def test_a_death_names_its_round_itself() -> None:
    events = [LAUNCH, {"event": "death", "time": 109.0, "process": "agent/1", "round": 2}]
    assert places(events, WALL_S) == [0.0, 2.999]


def test_what_was_given_up_by_going_back_has_no_place() -> None:
    events = [
        LAUNCH,
        {"event": "start", "time": 105.0, "process": "sim"},
        {"event": "back to round", "time": 200.0, "process": None, "rounds": 1},
        {"event": "launch", "time": 300.0, "process": None, "committed": 1},
        {"event": "start", "time": 301.0, "process": "sim"},
    ]
    assert places(events, WALL_S) == [0.0, None, 1.0, 1.0, 1.5]


def test_events_of_a_run_that_never_said_when_it_began_have_no_place() -> None:
    assert places([{"event": "start", "time": 1.0, "process": "sim"}], WALL_S) == [None]


def test_who_was_away_for_how_long() -> None:
    story: list[tuple[dict[str, Any], float]] = [
        ({"event": "silent", "process": "agent/0"}, 1.5),
        ({"event": "death", "process": "agent/1"}, 2.0),
        ({"event": "beats again", "process": "agent/0"}, 2.25),
        ({"event": "back", "process": "agent/1"}, 2.5),
        ({"event": "death", "process": "agent/2"}, 3.0),
        ({"event": "regroup", "process": None, "absent": [2]}, 4.0),
        ({"event": "regroup", "process": None, "absent": []}, 6.0),
        ({"event": "death", "process": "sim"}, 6.5),
    ]
    found = spells([event for event, _ in story], [place for _, place in story])
    assert [(s["process"], s["what"], s["since"], s["until"]) for s in found] == [
        ("agent/0", "late", 1.5, 2.25), ("agent/1", "dead", 2.0, 2.5), ("agent/2", "dead", 3.0, 4.0),
        ("agent/2", "absent", 4.0, 6.0), ("sim", "dead", 6.5, None),
    ]  # fmt: skip


# ---- a file as it grows ----


def test_lines_come_once_and_a_torn_one_waits(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = GrowingLines(path)
    assert lines.new() == []
    path.write_text('{"round": 0}\n{"rou')
    assert (lines.new(), lines.is_anew) == ([{"round": 0}], True)
    with path.open("a") as file:
        file.write('nd": 1}\n')
    assert (lines.new(), lines.is_anew, lines.new()) == ([{"round": 1}], False, [])
    beside = tmp_path / "beside"
    beside.write_text('{"round": 0}\n')
    beside.replace(path)
    assert (lines.new(), lines.is_anew) == ([{"round": 0}], True)
    with path.open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(TrainingFailed, match="line 2 is damaged"):
        lines.new()


# ---- data ----


@pytest.fixture(scope="module")
def run(calm: Any) -> RunDirectory:
    return RunDirectory(calm.path)


def test_what_the_page_is_told_is_what_the_files_say(run: RunDirectory) -> None:
    data, plan, lines = PageData(run), read_plan(run), read_lines(run.metrics)
    about, news = data.about(), data.news()
    assert about["edges"] == [[0, 1], [1, 2]]
    assert about["all_to_all_bytes"] == [all_to_all_bytes(plan, agent) for agent in range(3)]
    columns = news["rounds"]["columns"]
    assert columns["round"] == [line["round"] for line in lines]
    assert columns["bytes_agent"] == [line["bytes_agent"] for line in lines]
    assert columns["kl_agent"] == [[pytest.approx(kl, rel=1e-5) for kl in line["kl_agent"]] for line in lines]
    for waves in columns["waves"]:
        assert sorted(agent for wave in waves for agent in wave) == [0, 1, 2]
        assert all(abs(a - b) > 1 for wave in waves for a in wave for b in wave if a != b)
    json.dumps(news, allow_nan=False)
    assert data.news() == {}


def test_the_bytes_of_the_edges_are_those_of_traffic(run: RunDirectory) -> None:
    news, whole = PageData(run).news(), report(run, read_plan(run))
    patterns, rounds = news["traffic"]["patterns"], news["traffic"]["of_round"]
    assert len(patterns) == 1
    told = {(source, to, kind): len(rounds) * bytes for source, to, kind, _, bytes in patterns[0]}
    names = {f"agent/{agent}": agent for agent in range(3)} | {"sim": 0xFFFE, "coordinator": 0xFFFF}
    kinds = {name: kind for kind, name in PageData(run).about()["kinds"].items()}
    assert told == {
        (names[pair["src"]], names[pair["dst"]], kinds[pair["kind"]]): pair["wire_bytes"] for pair in whole["pairs"]
    }


def test_an_older_run_and_one_with_several_costs(run: RunDirectory, tmp_path: Path) -> None:
    old = RunDirectory(tmp_path / "old")
    shutil.copytree(run.path, old.path)
    plan = json.loads(old.plan.read_text())
    del plan["absent"], plan["on_loss"]
    plan["task"]["cost_limits"] = [[5.0, 7.0]] * 3
    plan["task"]["cost_names"] = [["wall", "fall"]] * 3
    plan["task"]["standing_still_return"] = None
    old.plan.write_text(json.dumps(plan))
    for path, gone in ((old.metrics, ("absent", "bound_agent", "distance_rate", "wall_s")), (old.traffic, ("absent",))):
        lines = [{name: value for name, value in line.items() if name not in gone} for line in read_lines(path)]
        for line in lines:
            if "lambda_agent" in line:
                line["lambda_agent"] = [[0.5, float("nan")]] * 3
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = PageData(old)
    columns = data.news()["rounds"]["columns"]
    assert columns["bound_agent"][0] is None
    assert columns["lambda_agent"][0][1] == [0.5, None]
    assert data.about()["limits"] == ((5.0, 7.0),) * 3
    assert report(old, read_plan(old))["rounds"] == len(columns["round"])
    assert data.status()["state"] == "finished"


def test_no_run_is_told_in_three_parts(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["dash", "--run", str(tmp_path)])
    assert (said.exit_code, "is no run directory" in said.output, "hint:" in said.output) == (3, True, True)


def test_the_camera_draws_a_kept_state_or_says_why_not(run: RunDirectory) -> None:
    data = PageData(run)
    camera = Camera(run, data.plan)
    try:
        assert camera.picture(kept_states(run)[-1])[:3] == b"\xff\xd8\xff"
        with pytest.raises(MachineNotFit, match="no picture of round 7777"):
            camera.picture(7777)
    except MachineNotFit as problem:
        pytest.skip(f"{problem.what}; {problem.hint}")
    finally:
        camera.close()


def test_without_a_graphics_library_the_camera_says_so(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    camera = Camera(run, read_plan(run))
    for _ in range(2):
        with pytest.raises(MachineNotFit, match="no graphics library works here"):
            camera.picture(0)


# ---- the server ----


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


# ---- the page beside a launch ----


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


# ---- one file ----


class References(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    @classmethod
    def of(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.found


def test_the_exported_page_holds_everything_and_loads_nothing(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = "data:image/jpeg;base64,"
    monkeypatch.setattr(dash_export, "_picture", lambda run, data: {"round": 1, "url": picture})
    path = tmp_path / "page.html"
    said = CliRunner().invoke(main, ["dash", "--run", str(run.path), "--export", str(path)])
    assert said.exit_code == 0, said.output
    page = path.read_text()
    assert all(reference.startswith(("#", "data:")) for reference in References.of(page))
    assert "default-src 'none'" in page
    assert "connect-src" not in page
    stored = page.partition('id="stored">')[2].partition("</script>")[0]
    document = json.loads(stored)
    assert document["news"] == json.loads(json.dumps(PageData(run).news()))
    assert document["status"]["state"] == "finished"
    assert "committed: round" in document["logs"]["agent/2"]["text"]
    for name in ("uPlot", "cytoscape"):
        assert f"{name}=" in page or f"{name} =" in page or f".{name}" in page


def test_nothing_that_a_run_says_ends_the_element_that_it_stands_in() -> None:
    evil = {"x": "</script><script>alert(1)</script><!--"}
    page = dash_export.page_with(evil)
    assert "alert(1)</script>" not in page
    assert json.loads(page.partition('id="stored">')[2].partition("</script>")[0]) == evil


@pytest.mark.parametrize("name", ["missing/page.html", "."])
def test_a_place_that_cannot_be_written_is_told(run: RunDirectory, tmp_path: Path, name: str) -> None:
    said = CliRunner().invoke(main, ["dash", "--run", str(run.path), "--export", str(tmp_path / name)])
    assert said.exit_code == 2
    assert "--export" in said.output


def test_a_damaged_configuration_is_told(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory(tmp_path / "other")
    shutil.copytree(run.path, other.path)
    other.config.write_text("[run\n")
    with pytest.raises(NoSuchRun, match=r"config\.toml cannot be read"):
        PageData(other).about()


def test_the_stored_libraries_are_those_of_the_manifest() -> None:
    import hashlib

    vendor = dash_export.PAGE / "vendor"
    packages = json.loads((vendor / "manifest.json").read_text())
    files = {name: entry["sha256"] for package in packages for name, entry in package["files"].items()}
    assert {path.name for path in vendor.iterdir()} == {*files, "manifest.json"}
    assert {name: hashlib.sha256((vendor / name).read_bytes()).hexdigest() for name in files} == files
    assert all(f"{package['files']}".count("LICENSE") >= 1 for package in packages)
