"""The processes of one launch, as operating-system processes: started with their charges, heard, and ended.

What their words and deaths mean for the run is decided by whoever is told (``launch.supervisor``).
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalmarl.launch.bad_links import bad_links
from scalmarl.launch.children import Child, Nursery, end_children
from scalmarl.launch.endpoint_book import EndpointBook
from scalmarl.launch.places import places_of
from scalmarl.launch.records import note_event
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.launch.watched import Watched
from scalmarl.protocol.control import Closed
from scalmarl.protocol.keys import COORDINATOR, SIM
from scalmarl.protocol.plan import Plan

Hears = Callable[[Watched, dict[str, Any]], None]
"""Told of every message of a process, but of those about endpoints."""
Buries = Callable[[Watched, int | None], None]
"""Told of every death, with the exit code (negative: a signal; ``None``: nobody could tell)."""


class Crew:
    """``selector``: the loop that it is served by; ``private``: where its sockets lie."""

    def __init__(
        self,
        run: RunDirectory,
        plan: Plan,
        settings: dict[str, Any],
        nursery: Nursery,
        selector: selectors.BaseSelector,
        private: Path,
        told: tuple[Hears, Buries],
    ) -> None:
        self.watched = {process: Watched(process) for process in (*range(plan.agents), SIM, COORDINATOR)}
        self._run, self._nursery, self._selector, self._private = run, nursery, selector, private
        self._hears, self._buries = told
        self._transport = str(settings["transport"])
        self._places = places_of(plan.agents, settings)
        self._links = bad_links(settings["links"], plan)
        self._book = EndpointBook(plan, self._transport, self._places, private)

    def start_all(self, plan: Plan) -> None:
        """Start everybody who takes part and is not held down."""
        for process in (SIM, COORDINATOR, *plan.present):
            if not self.watched[process].hold:
                self.start(self.watched[process])
        for agent in plan.absent:
            self.watched[agent].is_absent()

    def start(self, watched: Watched) -> None:
        """Begin a life. Raises ``OSError``, ``MachineNotFit``."""
        watched.begin_life(self._run.path)
        child = self._nursery.start(watched.process)
        watched.child, watched.pid = child, child.pid
        self._selector.register(child.channel, selectors.EVENT_READ, lambda: self._hear(watched, child))
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._died(watched, child))
        rejoin = watched.died_at is not None
        charge = self._book.charge(watched.process, watched.incarnation, rejoin, self._run.path)
        charge = replace(charge, links=self._links.get(watched.process, {}), began=self._nursery.began)
        child.channel.send(charge.to_data())
        note_event(self._run, "start", watched.name, pid=child.pid, life=watched.incarnation)

    def end_all(self) -> None:
        """End every life, and wait until it is over; nobody is told."""
        children = [watched.child for watched in self.watched.values() if watched.child is not None]
        for child in children:
            self._forget(child)
        end_children(children)
        for watched in self.watched.values():
            watched.child = None

    def regroup(self, plan: Plan) -> None:
        """After ``end_all``: everybody starts again under another plan."""
        self._book = EndpointBook(plan, self._transport, self._places, self._private)
        for watched in self.watched.values():
            # Its old death says nothing of the life that begins now; one that is held down goes on being missed.
            watched.died_at = watched.died_at if watched.hold else None
        self.start_all(plan)

    def hear_out(self, watched: Watched, child: Child) -> bool:
        """All that a process has said so far, its last words included; whether it may say more."""
        try:
            while (message := child.channel.receive()) is not None:
                self._take(watched, message)
        except Closed:
            return False
        return True

    def _hear(self, watched: Watched, child: Child) -> None:
        if not self.hear_out(watched, child):
            # The pidfd tells of the death itself.
            self._selector.unregister(child.channel)

    def _take(self, watched: Watched, message: dict[str, Any]) -> None:
        if message["type"] != "bound":
            self._hears(watched, message)
            return
        for to, page in self._book.enter(watched.process, message["endpoint"]):
            reader = self.watched[to].child
            if reader is not None and not reader.channel.send(page):
                # It has not read for very long; without this page it would wait for ever, so it starts again.
                reader.kill()

    def _died(self, watched: Watched, child: Child) -> None:
        self.hear_out(watched, child)
        self._forget(child)
        code = child.exit_code()
        child.release()
        watched.child, watched.died_at, watched.is_missed = None, time.monotonic(), False
        self._book.gone(watched.process)
        self._buries(watched, code)

    def _forget(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        if child.channel.fileno() in self._selector.get_map():
            self._selector.unregister(child.channel)
