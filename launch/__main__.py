"""``python -m scalmarl.launch RUN_DIRECTORY [--quiet]``: the supervisor of one run, started by the command line.

The command line replaces itself by this module, so that the supervisor holds little more than it needs, and one process
has the terminal, its signals and the exit code. It inherits the run directory's lock.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scalmarl.launch.children import Nursery
from scalmarl.launch.standard_streams import hold_standard_streams
from scalmarl.launch.stop_requests import StopRequests


def supervise(path: Path, quiet: bool) -> int:
    """Run a planned run to its end; returns the exit code."""
    hold_standard_streams()
    stop_requests = StopRequests()
    # First of all the fork server, whose imports take longest; this process imports the rest meanwhile.
    nursery = Nursery()

    from scalmarl.launch.config import resolve
    from scalmarl.launch.display import Display, Foreground
    from scalmarl.launch.errors import TrainingFailed, UserProblem, blame_machine
    from scalmarl.launch.records import next_round
    from scalmarl.launch.report_problem import report_problem
    from scalmarl.launch.run_directory import RunDirectory, read_plan
    from scalmarl.launch.supervisor import Supervisor

    run = RunDirectory(path)
    try:
        plan = read_plan(run)
        config, _ = resolve(run.config, (), {})
        nursery.world_python = config.world.python
        display = Display() if quiet else Foreground(run, plan, next_round(run.metrics))
        return int(Supervisor(run, plan, config.processes.model_dump(), display, nursery, stop_requests).run())
    except UserProblem as problem:
        report_problem(problem)
        return int(problem.code)
    except OSError as error:
        refused: UserProblem | None = blame_machine(error)
        if not run.path.is_dir():
            refused = TrainingFailed(
                f"the run directory {path} was taken away while the run was live", "start a new one"
            )
        if refused is None:
            raise
        report_problem(refused)
        return int(refused.code)


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), "--quiet" in sys.argv))
