"""``scalmarl dash``, and the page of ``--web``: where it listens, who may write, the page as one file."""

from __future__ import annotations

import errno
import importlib.util
import json
import secrets
import socket
import subprocess
import sys
from pathlib import Path

import click

from scalmarl.launch.errors import MachineNotFit, UsageProblem
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import RunDirectory, find
from scalmarl.launch.voice import Patient, shell_words

HOST = "127.0.0.1"


@click.command()
@click.option(
    "--run", "run_path", type=click.Path(path_type=Path), help="Run directory; default: the live or the latest run."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1.  [default: a free one]")
@click.option("--read-only", is_flag=True, help="No Kill and Restart.")
@click.option(
    "--export", "export_path", type=click.Path(path_type=Path), metavar="FILE.html",
    help="Write the page as one file that needs no server and no network, and exit.",
)  # fmt: skip
@guarded
def dash(run_path: Path | None, port: int, read_only: bool, export_path: Path | None) -> None:
    """One page for a run, live or finished: graph, curves, bytes, events, the world; kill and restart agents on it.

    \b
    scalmarl dash                            the live or the latest run
    scalmarl dash --run runs/mine --port 8000 --read-only
    scalmarl dash --run runs/mine --export mine.html

    It listens on 127.0.0.1 only. From another machine: ssh -L 8000:127.0.0.1:8000 HOST. Ctrl-C ends the page, never
    the run.
    """
    run = find(run_path)
    run.read_state()
    if export_path is not None:
        from scalmarl.launch.dash.export import write_page

        write_page(run, export_path)
        click.echo(f"page: {export_path}")
        return
    require_web()
    from scalmarl.launch.dash.server import serve

    door = Door(port, read_only)
    Patient().print(door.words(run), soft_wrap=True)
    serve(run, door.socket, door.token)


def require_web() -> None:
    """Raises ``MachineNotFit`` where the extra ``web`` is missing."""
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise MachineNotFit(
            f"the page needs {' and '.join(missing)}",
            "pip install 'scalmarl[web]' (in a checkout: pip install -c constraints.txt '.[web]'); "
            "'scalmarl dash --export page.html' needs neither",
        )


class Door:
    """A listening socket on 127.0.0.1 and the token of whoever may write. Raises ``UsageProblem`` if the port is
    taken."""

    def __init__(self, port: int = 0, read_only: bool = False) -> None:
        self.token = "" if read_only else secrets.token_urlsafe(24)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((HOST, port))
            self.socket.listen(64)
        except OSError as error:
            self.socket.close()
            if error.errno == errno.EADDRINUSE:
                raise UsageProblem(
                    f"port {port} of {HOST} is taken", "choose another --port, or leave it out"
                ) from None
            if error.errno == errno.EACCES:
                raise UsageProblem(f"port {port} may not be used by you", "choose a --port above 1023") from None
            raise
        self.port: int = self.socket.getsockname()[1]
        # What stands behind # browsers keep to themselves.
        self.address = f"http://{HOST}:{self.port}/" + (f"#token={self.token}" if self.token else "")

    def words(self, run: RunDirectory) -> str:
        """For whoever is going to open it."""
        return f"{run.path}: {self.address}" + ("" if self.token else " (read only)")

    def open_beside(self, run: RunDirectory) -> None:
        """Serve a run that is about to start, from a process of its own that ends with the run."""
        with run.log.open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "scalmarl.launch.dash.server"], stdin=subprocess.PIPE, stdout=log, stderr=log,
                pass_fds=(self.socket.fileno(),), start_new_session=True,
            )  # fmt: skip
        assert server.stdin is not None
        charge = {"run": str(run.path.resolve()), "socket": self.socket.fileno(), "token": self.token}
        server.stdin.write(json.dumps(charge).encode() + b"\n")
        server.stdin.close()
        self.socket.close()

    def after_words(self, run: RunDirectory) -> str:
        """The page goes with the run; how to have it back."""
        return f"page       {self.address} (afterwards: {shell_words('scalmarl', 'dash', '--run', run.path)})"
