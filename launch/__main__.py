"""``python -m scalmarl.launch RUN_DIRECTORY [--quiet]``: the supervisor of one run, started by the command line.

The command line replaces itself by this module, so that the supervisor holds little more than it needs, and one process
has the terminal, its signals and the exit code. It inherits the run directory's lock.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scalmarl.launch.children import Nursery


def supervise(path: Path, quiet: bool) -> int:
    """Run a planned run to its end; returns the exit code."""
    # First of all the fork server, whose imports take longest; this process imports the rest meanwhile.
    nursery = Nursery()

    from scalmarl.launch.config import resolve
    from scalmarl.launch.display import Display, Foreground
    from scalmarl.launch.errors import UserProblem, blame_machine
    from scalmarl.launch.records import read_lines
    from scalmarl.launch.report_problem import report_problem
    from scalmarl.launch.run_directory import RunDirectory, read_plan
    from scalmarl.launch.supervisor import Supervisor

    run = RunDirectory(path)
    try:
        plan = read_plan(run)
        config, _ = resolve(run.config, (), {})
        display = Display() if quiet else Foreground(run, plan, len(read_lines(run.metrics)))
        return int(Supervisor(run, plan, config.processes.model_dump(), display, nursery).run())
    except UserProblem as problem:
        report_problem(problem)
        return int(problem.code)
    except OSError as error:
        refused = blame_machine(error)
        if refused is None:
            raise
        report_problem(refused)
        return int(refused.code)


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), "--quiet" in sys.argv))
