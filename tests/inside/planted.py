"""What tests plant into the processes of a launch: deaths at an exact place, crashes, forgeries, poison, a journal.

Runs inside agents, sim server, coordinator and launcher of an armed launch (``sitecustomize``). Every planting is a
dictionary of the file that ``SCALMARL_TEST_PLANTED`` names; the journal beside that file tells the test what happened.
A *place* is a step of a body's story: ``before`` or ``after`` one of its effects (``need state``, ``put action``,
``policy``, ``checkpoint``), ``sent commit`` (one frame of it is out, the others are not), or a moment of a write:
``written``, ``synced`` and ``named`` for a round file, ``log written`` and ``log synced`` for the commit log.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = Path(os.environ["SCALMARL_TEST_PLANTED"])
JOURNAL = FILE.with_suffix(".journal")
DELIVERED_S = 0.1
"""How long a frame gets to reach its peer before its sender dies."""


def note(**line: Any) -> None:
    """Append a line to the journal; small appends of several processes do not mix."""
    with JOURNAL.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


def plantings_of(process: str, what: str) -> list[dict[str, Any]]:
    """Those of a sort for a process."""
    return [p for p in json.loads(FILE.read_text()) if p["process"] == process and p["do"] == what]


def born(pid: int) -> int | None:
    """When a process that is no zombie was started, in ticks; ``None`` if there is none. Tells a pid used twice."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    return None


def die_here() -> None:
    """SIGKILL for this process, at this instruction."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


class Plantings:
    """Those of one process, and whether it is at one of their places."""

    def __init__(self, name: str, round: int = -1) -> None:
        self.name, self.round, self.writing = name, round, -1
        self._mine = [
            (number, planting)
            for number, planting in enumerate(json.loads(FILE.read_text()))
            if planting["process"] in (name, "any")
        ]
        self._seen: dict[int, int] = {}

    def doing(self, what: str) -> list[dict[str, Any]]:
        """The plantings of a sort that have no place: they hold for the whole life."""
        return [planting for _, planting in self._mine if planting["do"] == what]

    def at(self, place: str, round: int, step: int = 0) -> None:
        """The process is here."""
        for number, planting in self._mine:
            if (planting.get("place"), planting.get("round")) != (place, round):
                continue
            if planting.get("step", step) != step:
                continue
            self._strike(number, planting, place, round, step)

    def _strike(self, number: int, planting: dict[str, Any], place: str, round: int, step: int) -> None:
        if planting["do"] == "crash":
            raise ZeroDivisionError("planted crash")
        mark = FILE.with_suffix(f".{number}")
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        note(planting=number, process=self.name, pid=os.getpid(), place=place, round=round, step=step)
        if planting["do"] == "damage":
            damage(Path(planting["file"]), planting["how"])
        if place.startswith("sent "):
            time.sleep(DELIVERED_S)
        die_here()


def damage(path: Path, how: str) -> None:
    """Flip a byte of a file, cut it in half, or empty it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[: len(data) // 2]), "empty": b""}[how])


def words(effect: Any) -> str:
    """``need state``, ``put action``, ``policy``, ``checkpoint``."""
    sort = type(effect).__name__
    if sort == "Breathe":
        return str(effect.phase)
    if sort == "Put":
        return f"put {effect.key.kind.name.lower()}"
    if sort in ("Need", "NeedAny", "Arrived"):
        key = effect.keys[0] if sort != "Arrived" and effect.keys else getattr(effect, "key", None)
        return f"{sort.lower()} {key.kind.name.lower()}" if key is not None else sort.lower()
    return sort.lower()


def watch_body(body: Any, plantings: Plantings, each: Callable[[str, str], None]) -> Generator[Any, Any, None]:
    """The body as it is, with every place of it reported."""
    result: Any = None
    try:
        while True:
            try:
                effect = body.send(result)
            except StopIteration:
                return
            keys = getattr(effect, "keys", None) or [getattr(effect, "key", None)]
            if keys[0] is not None:
                plantings.round = max(plantings.round, keys[0].round)
            step = keys[0].step if keys[0] is not None else 0
            if type(effect).__name__ == "Checkpoint":
                plantings.writing = effect.round - 1
            here = words(effect)
            plantings.at(f"before {here}", plantings.round, step)
            each("before", here)
            result = yield effect
            plantings.at(f"after {here}", plantings.round, step)
            each("after", here)
    finally:
        body.close()


def watch_writes(plantings: Plantings) -> None:
    """Report the moments of a durable write, by what is synced."""
    sync = os.fsync
    last = [""]

    def fsync(descriptor: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        is_round, is_log = ".round." in name, name == "commits.log"
        if is_round or is_log:
            plantings.at("log written" if is_log else "written", plantings.writing)
        elif ".round." in last[0]:
            plantings.at("named", plantings.writing)
        sync(descriptor)
        last[0] = name
        if is_round or is_log:
            plantings.at("log synced" if is_log else "synced", plantings.writing)

    os.fsync = fsync


def poison(before_or_after: str, here: str) -> None:
    """What a process must not depend on: the states of the global random generators, and how long anything takes."""
    random.seed(os.urandom(8))
    for name in ("numpy", "torch"):
        module = sys.modules.get(name)
        if module is not None:
            (module.random.seed if name == "numpy" else module.manual_seed)(random.getrandbits(31))
    if random.random() < 0.05:
        time.sleep(random.uniform(0.0, 0.01))


class StepClock:
    """How long the sim server's control steps take, told once a round."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._took: list[float] = []

    def __call__(self, side: str, here: str) -> None:
        if side == "before" and here == "need action":
            now = time.monotonic()
            if self._last is not None:
                self._took.append(round(1000 * (now - self._last), 3))
            self._last = now
        elif side == "before" and here == "checkpoint":
            note(steps_ms=self._took)
            self._took, self._last = [], None


def plant_in_process(shell: ModuleType) -> None:
    """Around every life of every process: journal, places, poison, forgeries."""
    begin = shell.Shell.__init__

    def begin_life(self: Any, channel: Any, charge: Any, make_parts: Any) -> None:
        name = shell.process_name(charge.process)
        plantings = Plantings(name)
        for line in read_journal():
            same = line.get("life") is not None and line["process"] == name and line["pid"] != os.getpid()
            if same and born(line["pid"]) == line["born"]:
                note(twin=name, pid=line["pid"], replacement=os.getpid())
        note(life=charge.incarnation, process=name, pid=os.getpid(), born=born(os.getpid()))
        begin(self, channel, charge, planted_parts(make_parts, plantings))
        watch_writes(plantings)
        watch_sendings(self, plantings)

    shell.Shell.__init__ = begin_life

    def planted_parts(make_parts: Any, plantings: Plantings) -> Any:
        def make(plan: Any, charge: Any, row: Any) -> Any:
            parts = make_parts(plan, charge, row)

            def make_body(round: int, content: bytes | None) -> Any:
                note(begins=round, process=plantings.name, pid=os.getpid())
                plantings.round = round
                observers: list[Callable[[str, str], None]] = []
                if plantings.doing("poison"):
                    observers.append(poison)
                if plantings.doing("time steps"):
                    observers.append(StepClock())

                def each(side: str, here: str) -> None:
                    for observe in observers:
                        observe(side, here)

                return watch_body(parts.make_body(round, content), plantings, each)

            return shell.Parts(make_body, parts.store)

        return make


def read_journal() -> list[dict[str, Any]]:
    """Every whole line so far."""
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line) for line in JOURNAL.read_bytes().split(b"\n")[:-1]]
    return []


def watch_sendings(shell: Any, plantings: Plantings) -> None:
    """Report every value's frame that is out, and let a forger add his own."""
    from forgery import fields_of, forgeries

    from scalmarl.protocol.keys import Kind

    send = shell._mailbox.send
    forges = bool(plantings.doing("forge"))

    def watched(to: int, frame: bytes) -> None:
        send(to, frame)
        fields = fields_of(frame)
        if fields["type"] == 1:
            kind = Kind(fields["kind"]).name.lower()
            plantings.at(f"sent {kind}", fields["round"], fields["step"])
            if forges and kind == "state" and fields["step"] == 3:
                for peer in shell.plan.peers(shell.me):
                    for forged in forgeries(frame, shell.plan, shell.me, peer):
                        send(peer, forged)

    shell._mailbox.send = watched


def plant_in_launcher(supervisor: ModuleType) -> None:
    """A launcher that dies in a regroup, or starts a replacement beside a frozen process before it has killed it."""
    from mortal import plant_in_regroup

    plant_in_regroup(supervisor)
    careless = [p["process"] for p in json.loads(FILE.read_text()) if p["do"] == "spare the frozen"]
    if not careless:
        return
    honest = supervisor.Supervisor

    class Careless(honest):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.frozen: list[Any] = []

        def _keep_vigil(self, watched: Any, now: float) -> None:
            child = watched.child
            is_due = child is not None and watched.beat and now - watched.beat_at > self._vigil.stall_kill_s
            if not is_due or watched.name not in careless or self.frozen:
                super()._keep_vigil(watched, now)
                return
            self._crew._forget(child)
            self.frozen.append(child)
            watched.child, watched.died_at = None, now
            self._crew._book.gone(watched.process)
            supervisor.note_event(self.run_directory, "spared", watched.name, pid=child.pid)
            self._plan_restart(watched, now)

    supervisor.Supervisor = Careless


def plant_in_resume(resuming: ModuleType) -> None:
    """A ``resume`` that dies while it makes the run ready."""
    from mortal import plant_in_resume

    plant_in_resume(resuming)
