"""``python proxied_launch.py COUNTS launch ...``: the real command line with a counting TCP proxy on every link.

The product knows nothing of it. The launcher's book of endpoints is replaced by one that tells each process the address
of a proxy in front of each peer. Before the processes are told to leave, the launcher waits until the proxies have been
quiet for longer than anybody waits before it asks again, so that no frame is cut off between a ledger and a proxy.
COUNTS becomes ``{"sender>receiver": [bytes of each connection, sender's direction]}``.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from scalmarl.launch import crew, starting, supervisor
from scalmarl.launch.__main__ import supervise
from scalmarl.launch.cli import main
from scalmarl.launch.crew import Crew
from scalmarl.launch.endpoint_book import EndpointBook
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.keys import process_name
from scalmarl.protocol.patience import NEED_AT_MOST_S

QUIET_S = 1.5 * NEED_AT_MOST_S
QUIET_WITHIN_S = 60.0


class Proxies(threading.Thread):
    """One listener per (sender, endpoint of a receiver); counts what a sender writes before it passes it on."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.counts: dict[str, list[int]] = {}
        self._selector = selectors.DefaultSelector()
        self._endpoints: dict[tuple[int, int, str], str] = {}

    def endpoint(self, sender: int, receiver: int, real: str) -> str:
        """Where a sender reaches the receiver that listens at ``real``."""
        at = (sender, receiver, real)
        if at not in self._endpoints:
            host, _, port = real.removeprefix("tcp://").rpartition(":")
            listener = socket.create_server(("127.0.0.1", 0))
            self._endpoints[at] = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
            counts = self.counts.setdefault(f"{process_name(sender)}>{process_name(receiver)}", [])
            self._selector.register(
                listener, selectors.EVENT_READ, lambda: self._accept(listener, counts, (host, int(port)))
            )
        return self._endpoints[at]

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select(0.05):
                key.data()

    def _accept(self, listener: socket.socket, counts: list[int], real: tuple[str, int]) -> None:
        sender, _ = listener.accept()
        try:
            receiver = socket.create_connection(real)
        except OSError:
            sender.close()
            return
        for end in (sender, receiver):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        counts.append(0)
        number = len(counts) - 1

        def forward() -> None:
            counts[number] += self._pass_on(sender, receiver)

        self._selector.register(sender, selectors.EVENT_READ, forward)
        self._selector.register(receiver, selectors.EVENT_READ, lambda: self._pass_on(receiver, sender))

    def _pass_on(self, source: socket.socket, to: socket.socket) -> int:
        """Pass on what is there; returns how much was written to us."""
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(1 << 16)
            to.sendall(data)
            if data:
                return len(data)
        for end in (source, to):
            if end.fileno() >= 0:
                self._selector.unregister(end)
                end.close()
        return len(data)

    def wait_until_quiet(self) -> None:
        deadline, before, since = time.monotonic() + QUIET_WITHIN_S, -1, 0.0
        while time.monotonic() < deadline:
            now = sum(sum(row) for row in self.counts.values())
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > QUIET_S:
                return
            time.sleep(0.02)


class ProxiedBook(EndpointBook):
    """Tells every process the proxies' endpoints."""

    proxies: ClassVar[Proxies] = Proxies()

    def enter(self, process: int, endpoint: str) -> list[tuple[int, dict[str, Any]]]:
        return [
            (to, {**page, "endpoints": {p: self.proxies.endpoint(to, p, e) for p, e in page["endpoints"].items()}})
            for to, page in super().enter(process, endpoint)
        ]


class PatientCrew(Crew):
    """Lets what is on its way arrive before it ends the processes."""

    def end_all(self) -> None:
        ProxiedBook.proxies.wait_until_quiet()
        super().end_all()


def supervise_here(run: RunDirectory, lock: int, detach: bool) -> None:
    ProxiedBook.proxies.start()
    code = supervise(run.path, quiet=True)
    Path(sys.argv[1]).write_text(json.dumps(ProxiedBook.proxies.counts))
    sys.exit(code)


if __name__ == "__main__":
    crew.EndpointBook = ProxiedBook  # type: ignore[misc]
    supervisor.Crew = PatientCrew  # type: ignore[misc]
    starting.hand_over = supervise_here
    main(sys.argv[2:])
