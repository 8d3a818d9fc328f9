"""The command line: ``scalmarl``. Each command is a few lines here; what it does lives beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from scalmarl import __version__
from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.launch import reading
from scalmarl.launch.commands import Commands
from scalmarl.launch.config import Config, resolve, to_toml
from scalmarl.launch.control_socket import ask
from scalmarl.launch.dash.command import Door, require_web
from scalmarl.launch.errors import TimedOut
from scalmarl.launch.option_types import keys_of, limits, several
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import RunDirectory, find
from scalmarl.launch.standard_streams import hold_standard_streams
from scalmarl.launch.voice import shell_words
from scalmarl.launch.world_door import world_options

STOP_WITHIN_S = 30.0
run_option = click.option(
    "--run", "run_path", type=click.Path(path_type=Path), help="Run directory; default: the live or the latest run."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
web_option = click.option(
    "--web", is_flag=True, help="Show the run on a local page as well, see: scalmarl dash --help."
)


def page_if(web: bool) -> Door | None:
    """Where ``--web`` shows the run. Raises ``MachineNotFit``."""
    if web:
        require_web()
    return Door() if web else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__)
def main() -> None:
    """Decentralised safe multi-agent reinforcement learning: every agent is its own process.

    \b
    scalmarl launch --agents 8 --kappa 2     train; then, in a second terminal:
    scalmarl ps                              who runs, in which round, waiting for whom
    scalmarl kill 3 && scalmarl restart 3    kill an agent while it learns, bring it back
    scalmarl traffic                         bytes per neighbourhood, measured and by formula
    scalmarl digest                          the same bits, whatever was killed
    """
    hold_standard_streams()


_DEFAULTS = Config()


@main.command()
@click.option("--agents", type=int, help="Agents, each its own process.  [default: the task's partition, else 8]")
@click.option("--kappa", type=int, help=f"Radius of a neighbourhood.  [default: {_DEFAULTS.run.kappa}]")
@click.option("--kappa-unit", help="hops, or visible (agents seen, oneself included).  [default: hops]")
@click.option("--task", help=f"NAME or NAME:PARTITION, see env list.  [default: {_DEFAULTS.world.task}]")
@click.option("--world", metavar="MODULE:FUNCTION", help="A world of your own instead: FUNCTION makes a ParallelEnv.")
@world_options
@click.option("--algo", help=f"One of: {', '.join(ALGORITHMS)}.  [default: {_DEFAULTS.run.algo}]")
@click.option("--graph", help="task, path, ring, star, grid[:RxC], complete, or a file of edges.  [default: task]")
@click.option("--rounds", type=int, help=f"Collect-and-update cycles.  [default: {_DEFAULTS.run.rounds}]")
@click.option("--envs", type=int, help=f"Copies of the world.  [default: {_DEFAULTS.world.envs}]")
@click.option("--steps", type=int, help=f"Control steps of each copy per round.  [default: {_DEFAULTS.world.steps}]")
@click.option("--seed", type=int, help=f"Seed of every random stream.  [default: {_DEFAULTS.run.seed}]")
@click.option("--schedule", help="wavefront or serial; the bits are the same.  [default: wavefront]")
@click.option("--on-loss", help="An agent that is down: wait for it, or mask (go on without it).  [default: wait]")
@click.option("--order", help="Order of turns: colour, permutation or fixed.  [default: colour]")
@click.option("--reward", help="local or team.  [default: the task's]")
@click.option("--cost", help="local, team, legacy (the published rule) or velocity.  [default: the task's]")
@click.option(
    "--limit", callback=limits, help="Cost limit per episode: 5, or one per agent: 5,5,10.  [default: the task's]"
)
@click.option("--physics", help="fast, or parity (the published integrator).  [default: fast]")
@click.option("--coupling", type=float, help="Stiffness of the tendons between robots, N/m.  [default: the task's]")
@click.option(
    "--link", multiple=True, callback=several, metavar="A-B:OPTION,...",
    help="A bad link, both ways (A>B: one way): delay=50ms or 0ms-200ms, loss=2%, duplicate=10%, cut=10s-20s since the "
    "launch. A, B: agent number, sim, coordinator, or * for any. Repeatable; the bits stay the same (docs/links.md).",
)  # fmt: skip
@click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file, e.g. config.toml of another run.")
@click.option("--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="Set any parameter; repeatable.")
@click.option("--help-config", is_flag=True, help="Print every parameter with its meaning and default, and exit.")
@click.option(
    "--run", "run_path", type=click.Path(path_type=Path), help="Run directory to make.  [default: runs/TIME_...]"
)
@click.option("-d", "--detach", is_flag=True, help="Go on in the background.")
@web_option
@guarded
def launch(
    file: Path | None,
    assignments: tuple[str, ...],
    help_config: bool,
    run_path: Path | None,
    detach: bool,
    web: bool,
    **flags: Any,
) -> None:
    """Start a run and watch it.

    \b
    scalmarl launch --agents 8 --kappa 2
    scalmarl launch --agents 3 --kappa 1 --rounds 20 --seed 7 --run runs/small
    scalmarl launch --config runs/small/config.toml --set learner.clip=0.1 -d
    scalmarl launch --world my_module:make --kappa 1
    scalmarl launch --agents 4 --kappa 1 --link 1-2:delay=50ms,loss=2%,cut=10s-20s

    Ctrl-C ends the run at the next commit; 'scalmarl resume' continues it with the same bits.
    """
    if help_config:
        click.echo(to_toml(_DEFAULTS))
        return
    from scalmarl.launch.planning import make_plan
    from scalmarl.launch.starting import begin, require_linux

    require_linux()
    planned = make_plan(*resolve(file, assignments, keys_of(flags)))
    begin(planned, run_path, detach, page_if(web))


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--rounds", type=int, help="New number of rounds, to extend a finished run.")
@click.option("--from-round", "from_round", type=int, help="Go back to the start of this round, from the archive.")
@click.option("-d", "--detach", is_flag=True, help="Go on in the background.")
@web_option
@guarded
def resume(directory: Path, rounds: int | None, from_round: int | None, detach: bool, web: bool) -> None:
    """Continue a stopped, failed or finished run with the same bits."""
    from scalmarl.launch.resuming import prepare
    from scalmarl.launch.starting import hand_over, require_linux

    require_linux()
    page, run = page_if(web), RunDirectory(directory)
    lock = prepare(run, rounds, from_round)
    hand_over(run, lock, detach, page)


@main.command()
@click.argument("processes", nargs=-1, required=True)
@run_option
@guarded
def kill(processes: tuple[str, ...], run_path: Path | None) -> None:
    """SIGKILL agents (3), sim or coordinator, and leave them down; 'restart' brings them back."""
    run = find(run_path)
    for name in processes:
        answer = ask(run, {"command": "kill", "process": name})
        done = f"killed {answer['process']} (pid {answer['pid']})"
        if answer["pid"] is None:
            done = f"{answer['process']} was down already"
        click.echo(f"{done}; bring it back: {shell_words('scalmarl', 'restart', name, '--run', run.path)}")


@main.command()
@click.argument("processes", nargs=-1, required=True)
@run_option
@guarded
def restart(processes: tuple[str, ...], run_path: Path | None) -> None:
    """Bring back processes that are down; one that runs is killed first."""
    run = find(run_path)
    for name in processes:
        click.echo(f"restarting {ask(run, {'command': 'restart', 'process': name})['process']}")


@main.command()
@click.option("--wait/--no-wait", default=True, help="Wait until the run has ended.")
@run_option
@guarded
def stop(run_path: Path | None, wait: bool) -> None:
    """End a run at its next commit (at the last one after 5 s); 'resume' continues it."""
    run = find(run_path)
    ask(run, {"command": "stop"})
    deadline = time.monotonic() + STOP_WITHIN_S
    while wait and run.is_live():
        if time.monotonic() > deadline:
            raise TimedOut(f"{run.path} has not ended after {STOP_WITHIN_S:.0f} s", "see: scalmarl ps")
        time.sleep(0.05)
    again = shell_words("scalmarl", "resume", run.path)
    click.echo(f"stopped; continue it: {again}" if wait else "stopping")


reading.add_to(main, run_option, json_option, guarded)
