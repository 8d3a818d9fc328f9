"""The book of endpoints and keys: who can be reached where, and who may speak to whom.

Key pairs are made per book (one for a launch; a new one when the agents that take part change) and only ever live in
memory; every process gets its own pair and its peers' public keys, nobody else's, so a process beyond kappa hops has
neither an endpoint nor a key to speak with.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from scalmarl.launch.places import Place
from scalmarl.protocol.charge import Charge
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.sockets import KeyPair, new_keys

_PREFIX = "scalmarl-"
_OWNER = "run"


def private_directory(run_directory: Path) -> Path:
    """A fresh directory for the sockets of one launch of a run, which nobody else can enter."""
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    (directory / _OWNER).write_bytes(os.fsencode(run_directory.resolve()))
    return directory


def socket_path_bytes(agents: int, transport: str = "ipc") -> int:
    """The longest socket path of a launch with so many agents: an inbox, the control socket, or that of Python's fork
    server."""
    names = [f"{_PREFIX}12345678/control", "pymp-12345678/listener-12345678"]
    if transport == "ipc":
        names.append(f"{_PREFIX}12345678/{agents}.99999")
    return max(len(os.fsencode(f"{tempfile.gettempdir()}/{name}")) for name in names)


def remove_private_directory(control: str, run_directory: Path) -> None:
    """Remove the directory of a launch of this run that was killed, named by its control socket; never another one's,
    whatever a copied ``run.json`` says."""
    directory = Path(control).parent
    with contextlib.suppress(OSError):
        is_ours = (directory / _OWNER).read_bytes() == os.fsencode(run_directory.resolve())
        if is_ours and directory.name.startswith(_PREFIX):
            shutil.rmtree(directory, ignore_errors=True)


class EndpointBook:
    """Who listens where; told anew when a process has moved."""

    def __init__(self, plan: Plan, transport: str, places: dict[int, Place], private: Path) -> None:
        self._plan, self._transport, self._places, self._private = plan, transport, places, private
        # Made before any ZeroMQ context exists.
        self._keys: dict[int, KeyPair] = {process: new_keys() for process in plan.processes()}
        self._endpoints: dict[int, str] = {}

    def charge(self, process: int, incarnation: int, rejoin: bool, run_directory: Path) -> Charge:
        """What one life of a process is told."""
        place = self._places[process]
        bind = f"tcp://{place.address}:*"
        if self._transport == "ipc":
            bind = f"ipc://{self._private}/{process}.{incarnation}"
        allowed = {self._keys[peer].public: peer for peer in self._plan.peers(process)}
        keys = self._keys[process]
        return Charge(process, incarnation, rejoin, run_directory.resolve(), bind, keys, allowed, place.namespace)

    def gone(self, process: int) -> None:
        """A process has no endpoint until its next life is bound."""
        self._endpoints.pop(process, None)

    def enter(self, process: int, endpoint: str) -> list[tuple[int, dict[str, Any]]]:
        """Note a new endpoint; returns the messages (to whom, what) in the order in which they must be sent.

        First those who will speak to the newcomer hear of it, then the newcomer gets what is known of its peers: when
        it says HELLO, every answer finds its way.
        """
        self._endpoints[process] = endpoint
        peers = [peer for peer in self._plan.peers(process) if peer in self._endpoints]
        known = {peer: self._endpoints[peer] for peer in peers}
        return [*((peer, self._page({process: endpoint})) for peer in peers), (process, self._page(known))]

    def _page(self, endpoints: dict[int, str]) -> dict[str, Any]:
        return {"type": "book", "endpoints": endpoints}
