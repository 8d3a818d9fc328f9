"""The seeded simulator: all bodies of a run in one thread, under virtual time, with every fault we know.

A run is a function of (plan, faults, seed). It kills processes (between events, and before or after a file becomes
durable), freezes and thaws them, lets a frozen one thaw beside its replacement (split brain), drops, doubles, delays
and reorders messages and cuts links. It asserts the invariants of docs/protocol.md while it runs, and after the faults
stop the run must finish within a bound of virtual time.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable

from scalmarl.protocol.codec import decode, encode
from scalmarl.protocol.effects import Body
from scalmarl.protocol.keys import COORDINATOR, Key, Kind, process_name
from scalmarl.protocol.kinds import Rules
from scalmarl.protocol.ledger import Ledger
from scalmarl.protocol.messages import MessageType, Outgoing
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.runtime import Runtime, Status
from scalmarl.protocol.simulated_process import Faults, InvariantBroken, Killed, Node, SimulatedStore, Zombie

MakeBody = Callable[[int, "bytes | None"], Body]
SETTLE_S = 60.0
"""Virtual seconds within which a run must finish once faults stop."""


class Simulation:
    """One run under faults."""

    def __init__(
        self,
        plan: Plan,
        make_bodies: dict[int, MakeBody],
        seed: int,
        faults: Faults,
        runtime: type[Runtime] = Runtime,
        store: type[SimulatedStore] = SimulatedStore,
    ) -> None:
        self.plan = plan
        self.now = 0.0
        self.random = random.Random(seed)
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self._make_bodies = make_bodies
        self._runtime_class = runtime
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()
        self._said: dict[Key, bytes] = {}
        self._cut: set[frozenset[int]] = set()
        self._rules = Rules(plan)
        self.nodes: dict[int, Node] = {}
        for process in plan.processes():
            keep = store(self, process)
            self.nodes[process] = Node(process, keep, self._new_runtime(process, keep), Ledger(plan, process))

    # ---- the run ----

    def run(self) -> None:
        """Play until the last commit, and fail if that takes too long after the faults stopped."""
        for node in self.nodes.values():
            node.runtime.start(self.now, rejoin=False)
            self._wake(node)
        self._plan_faults()
        while not self.is_over():
            if not self._events:
                raise InvariantBroken(f"nothing is left to happen: {self.story()}")
            self.now, _, event = heapq.heappop(self._events)
            if self.now > self.faults.until + SETTLE_S:
                raise InvariantBroken(f"stuck {SETTLE_S} virtual seconds after the last fault: {self.story()}")
            event()

    def is_over(self) -> bool:
        """The run is over when the last commit is durable."""
        return self.plan.rounds in self.nodes[COORDINATOR].store.files

    def digests(self) -> dict[int, bytes]:
        """Every process's final file."""
        return {process: node.store.history[self.plan.rounds] for process, node in self.nodes.items()}

    def first_sendings(self) -> dict[int, dict[int, list[list[int]]]]:
        """Every process's ledger rows."""
        return {process: dict(sorted(node.store.rows.items())) for process, node in self.nodes.items()}

    def story(self) -> str:
        """Who waits for what, for a failure's text."""
        return "; ".join(
            f"{process_name(node.process)} {'up' if node.alive else 'down'} round {node.runtime.round} "
            f"files {node.store.rounds()} misses {[str(key) for key in node.runtime.missing()[:1]]}"
            for node in self.nodes.values()
        )

    # ---- invariants ----

    def check_commit(self, round: int) -> None:
        """I3: a commit implies that every process has the next file."""
        for node in self.nodes.values():
            if node.process != COORDINATOR and round + 1 not in node.store.history:
                raise InvariantBroken(f"round {round} committed, {process_name(node.process)} has no file {round + 1}")

    def _check_said(self, sender: int, outgoing: Outgoing) -> None:
        message = outgoing.message
        if outgoing.to not in self.plan.peers(sender):
            raise InvariantBroken(f"{process_name(sender)} spoke to {process_name(outgoing.to)}")
        if message.type is not MessageType.VALUE or message.key is None or message.value is None:
            return
        # I1: one key, one byte string, whichever life says it.
        said = self._said.setdefault(message.key, message.value.tobytes())
        if said != message.value.tobytes():
            raise InvariantBroken(f"two values for {message.key}")
        if message.key.kind is Kind.DONE and message.key.round + 1 not in self.nodes[sender].store.history:
            raise InvariantBroken(f"I2: {message.key} before its file is durable")

    def check_files(self) -> None:
        """I5: when a run is over every process holds the file after the last commit."""
        for node in self.nodes.values():
            if self.plan.rounds not in node.store.rounds():
                raise InvariantBroken(f"{process_name(node.process)} ends with files {node.store.rounds()}")

    # ---- processes ----

    def _new_runtime(self, process: int, store: SimulatedStore) -> Runtime:
        return self._runtime_class(process, self.plan, self._make_bodies[process], store)

    def _at(self, delay: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._sequence), event))

    def _wake(self, node: Node) -> None:
        life = node.life
        self._at(0.0005 * self.random.random(), lambda: self._work(node, life))

    def _work(self, node: Node, life: int) -> None:
        if not node.alive or node.life != life:
            return
        if self.now < node.frozen_until:
            self._at(node.frozen_until - self.now, lambda: self._work(node, life))
            return
        self._step(node, node.runtime, node.ledger)
        if not node.alive:
            return
        deadline = node.runtime.deadline(self.now)
        if deadline is not None and not node.alarm:
            node.alarm = True
            self._at(max(0.001, deadline - self.now), lambda: self._ring(node, life))

    def _ring(self, node: Node, life: int) -> None:
        if node.life == life:
            node.alarm = False
            self._work(node, life)

    def _step(self, node: Node, runtime: Runtime, ledger: Ledger) -> None:
        runtime.tick(self.now)
        status = Status.RUNNING
        while status is Status.RUNNING:
            try:
                status = runtime.advance()
            except Killed:
                self._kill(node)
                return
            self._flush(node.process, runtime, ledger)
            if status is Status.RUNNING and self.random.random() < 0.3:
                self._wake(node)
                return

    def maybe_die_at_write(self, process: int) -> None:
        """A kill between two lines of a write."""
        if self.now < self.faults.until and self.random.random() < self.faults.kills_at_write:
            self.counts["kills at a write"] += 1
            raise Killed

    def _kill(self, node: Node) -> None:
        if not node.alive:
            return
        node.alive = False
        life = node.life
        self._at(0.2 * self.random.random(), lambda: self._restart(node, life))

    def _restart(self, node: Node, life: int) -> None:
        if node.life != life or node.alive:
            return
        node.alive, node.life, node.frozen_until, node.alarm = True, life + 1, 0.0, False
        node.runtime = self._new_runtime(node.process, node.store)
        node.ledger = Ledger(self.plan, node.process)
        node.runtime.start(self.now, rejoin=True)
        self._flush(node.process, node.runtime, node.ledger)
        self._wake(node)

    # ---- links ----

    def _flush(self, sender: int, runtime: Runtime, ledger: Ledger) -> None:
        outbox, runtime.outbox = runtime.outbox, []
        for outgoing in outbox:
            self._check_said(sender, outgoing)
            message = outgoing.message
            if outgoing.first and message.key is not None and message.value is not None:
                ledger.enter(outgoing.to, message.key, message.value.nbytes)
            self._carry(sender, outgoing.to, encode(message, self.plan.run, 0))

    def _carry(self, sender: int, to: int, frame: bytes) -> None:
        faulty = self.now < self.faults.until
        copies = 1
        if faulty and (frozenset((sender, to)) in self._cut or self.random.random() < self.faults.drop):
            self.counts["lost messages"] += 1
            copies = 0
        elif faulty and self.random.random() < self.faults.double:
            copies = 2
        for _ in range(copies):
            delay = 0.0002 + self.random.random() * (self.faults.delay if faulty else 0.0005)
            self._at(delay, lambda: self._deliver(sender, to, frame))

    def _deliver(self, sender: int, to: int, frame: bytes) -> None:
        node = self.nodes[to]
        if not node.alive:
            return
        if self.now < node.frozen_until:
            self._at(node.frozen_until - self.now, lambda: self._deliver(sender, to, frame))
            return
        node.runtime.receive(decode(frame, self._rules, self.plan.run, to, sender), self.now)
        self._flush(to, node.runtime, node.ledger)
        self._work(node, node.life)

    # ---- faults ----

    def _plan_faults(self) -> None:
        for rate, fault in (
            (self.faults.kills, self._fault_kill),
            (self.faults.freezes, self._fault_freeze),
            (self.faults.split_brains, self._fault_split_brain),
            (self.faults.cuts, self._fault_cut),
        ):
            at = 0.0
            while rate:
                at += self.random.expovariate(rate)
                if at > self.faults.until:
                    break
                self._at(at, fault)

    def _pick(self) -> Node:
        return self.nodes[self.random.choice(sorted(self.nodes))]

    def _fault_kill(self) -> None:
        everybody = self.random.random() < 0.1
        for node in list(self.nodes.values()) if everybody else [self._pick()]:
            self.counts["kills"] += 1
            self._kill(node)

    def _fault_freeze(self) -> None:
        self.counts["freezes"] += 1
        self._pick().frozen_until = self.now + self.random.uniform(0.05, 1.0)

    def _fault_split_brain(self) -> None:
        """A replacement starts while the old life is only frozen; later the old one thaws and says what it has to
        say.
        """
        node = self._pick()
        if not node.alive:
            return
        self.counts["split brains"] += 1
        zombie = Zombie(node.runtime, node.ledger)
        node.alive = False
        self._restart(node, node.life)
        self._at(self.random.uniform(0.01, 1.0), lambda: self._thaw(node, zombie))

    def _thaw(self, node: Node, zombie: Zombie) -> None:
        # It hears nothing (its inbox was taken over) but goes on with what it holds until it lacks a value.
        current, node.ledger = node.ledger, zombie.ledger
        try:
            status = Status.RUNNING
            while status is Status.RUNNING:
                status = zombie.runtime.advance()
                self._flush(node.process, zombie.runtime, zombie.ledger)
        except Killed:
            pass
        finally:
            node.ledger = current

    def _fault_cut(self) -> None:
        self.counts["cuts"] += 1
        a, b = self.random.sample(sorted(self.nodes), 2)
        link = frozenset((a, b))
        self._cut.add(link)
        self._at(self.random.uniform(0.05, 1.5), lambda: self._cut.discard(link))
