"""The coordinator's process."""

from __future__ import annotations

from scalmarl.coordinator.body import coordinator_body
from scalmarl.coordinator.commit_log import CommitLog
from scalmarl.protocol.charge import Charge
from scalmarl.protocol.plan import Plan
from scalmarl.protocol.round_files import RoundRow
from scalmarl.protocol.shell import Parts


def make_parts(plan: Plan, charge: Charge, row: RoundRow) -> Parts:
    """The coordinator's body and its commit log."""
    return Parts(lambda round, content: coordinator_body(plan, round), CommitLog(charge.run_directory, row))
