"""The launcher's control socket: one JSON line in, one JSON line out, on a Unix socket in a private directory."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scalmarl.launch.errors import NoSuchRun, TimedOut, UsageProblem
from scalmarl.launch.run_directory import RunDirectory

ANSWER_WITHIN_S = 10.0
_LONGEST_REQUEST = 65536

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class ControlServer:
    """Serves requests inside the launcher's own selector loop; no thread."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, answer: Answer) -> None:
        self._selector, self._answer = selector, answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(16)
        self._socket.setblocking(False)
        self._buffers: dict[socket.socket, bytes] = {}
        selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        client, _ = self._socket.accept()
        client.setblocking(False)
        self._buffers[client] = b""
        self._selector.register(client, selectors.EVENT_READ, lambda: self._read(client))

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffers[client] += data
        request, newline, _ = self._buffers[client].partition(b"\n")
        if data and not newline and len(request) < _LONGEST_REQUEST:
            return
        if newline:
            with contextlib.suppress(OSError):
                client.setblocking(True)
                client.settimeout(1.0)
                client.sendall(json.dumps(self._respond(request)).encode() + b"\n")
        self._selector.unregister(client)
        del self._buffers[client]
        client.close()

    def _respond(self, request: bytes) -> dict[str, Any]:
        try:
            return self._answer(json.loads(request))
        except UsageProblem as problem:
            return {"error": problem.what, "hint": problem.hint}
        except Exception as error:
            # Whatever somebody says here, the run goes on.
            return {"error": f"bad request: {error!r}", "hint": "use the scalmarl command of this version"}

    def close(self) -> None:
        """Stop listening."""
        self._selector.unregister(self._socket)
        self._socket.close()


def _state_with_address(run: RunDirectory) -> dict[str, Any]:
    """``run.json``, once a launcher that is just starting has written its address there."""
    deadline = time.monotonic() + ANSWER_WITHIN_S
    while (state := run.read_state())["state"] == "running" and not state["control"] and time.monotonic() < deadline:
        time.sleep(0.05)
    return state


def ask(run: RunDirectory, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the launcher of a live run. Raises ``NoSuchRun`` when it is not live, ``UsageProblem`` when it refuses,
    ``TimedOut`` when it does not answer."""
    state = _state_with_address(run)
    if state["state"] != "running":
        raise NoSuchRun(
            f"{run.path} is not live (it reads {state['state']!r})", f"continue it with: scalmarl resume {run.path}"
        )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_WITHIN_S)
            client.connect(state["control"])
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline() or b"{}")
    except TimeoutError:
        raise TimedOut(
            f"the launcher of {run.path} (pid {state['pid']}) did not answer within {ANSWER_WITHIN_S:.0f} s",
            f"see whether it is stopped or swapped out: ps -o pid,stat,cmd {state['pid']}",
        ) from None
    except (OSError, ValueError):
        raise NoSuchRun(
            f"the launcher of {run.path} has just ended", f"see how: scalmarl ps --run {run.path}"
        ) from None
    if "error" in answer:
        raise UsageProblem(answer["error"], answer["hint"])
    return answer
