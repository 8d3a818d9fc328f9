"""The shell before its body runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from scalmarl.protocol.shell import LONGEST_WAIT_S, Shell
from scalmarl.protocol.standins import toy_plan


def test_who_waits_for_peers_sleeps_whatever_lies_in_its_inbox() -> None:
    """There is no mailbox here that could end a wait."""
    waits: list[float] = []
    begun: list[bool] = []
    orders = iter((False, False, True))
    shell: Any = Shell.__new__(Shell)
    shell.plan, shell.me, shell._ready, shell._stopped = toy_plan([[1], [0]], [0, 1]), 0, set(), False
    shell._channel = SimpleNamespace(wait=waits.append)
    shell._charge = SimpleNamespace(rejoin=False)
    shell.runtime = SimpleNamespace(start=lambda now, rejoin: begun.append(rejoin))
    shell._wall_time = SimpleNamespace(begin=lambda: None)
    shell._beat = lambda now, phase: None
    shell._take_orders = lambda: setattr(shell, "_stopped", next(orders))
    shell.run()
    assert waits == [LONGEST_WAIT_S] * 3
    assert begun == [False]
