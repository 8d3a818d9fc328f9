"""The page's server: HTTP on 127.0.0.1, server-sent events, and requests to the launcher of the run.

It is a process of its own that reads the run directory and speaks to the control socket like any other command. Whoever
reaches 127.0.0.1 may look; who wants to kill or restart needs the token, which travels in the fragment of the printed
address (browsers never send it, so no log has it) and from there in a header.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from scalmarl.launch.control_socket import ask
from scalmarl.launch.dash.camera import Camera
from scalmarl.launch.dash.command import HOST
from scalmarl.launch.dash.data import PageData, kept_states
from scalmarl.launch.errors import UserProblem
from scalmarl.launch.reading import log_tail
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.protocol.keys import COORDINATOR, SIM, process_id
from scalmarl.protocol.lifeline import release_stop_signals

PAGE = Path(__file__).parent / "page"
TOKEN_HEADER = "x-scalmarl-token"
LOOK_EVERY_S = 0.5
LOG_BYTES = 6000
ENDED_AFTER_S = 3.0
"""A server that lives as long as its run gives the page so long to hear how the run ended."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass
class Service:
    """What the routes share. ``token`` is empty where nothing may be written."""

    run: RunDirectory
    port: int
    token: str
    ending: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.plan = read_plan(self.run)
        self.camera = Camera(self.run, self.plan)

    @property
    def hosts(self) -> set[str]:
        """What a browser that was given our address says."""
        return {f"{HOST}:{self.port}", f"localhost:{self.port}"}


def application(service: Service) -> Starlette:
    """The routes."""

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        service.ending.set()
        await run_sync(service.camera.close)

    routes = [
        Route("/", _index),
        Route("/api/stream", _stream),
        Route("/api/log", _log),
        Route("/api/camera", _camera),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    if service.token:
        routes += [Route(f"/api/{command}", _write(command), methods=["POST"]) for command in ("kill", "restart")]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, service=service)], lifespan=life)
    app.state.service = service
    return app


class Guard:
    """Refuses whoever came by another name (a rebound host) or from another page, and forbids our page to load
    anything from elsewhere."""

    def __init__(self, app: Any, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """An ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [
                    (b"content-security-policy", POLICY.encode()), (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"), (b"cache-control", b"no-store"),
                ]  # fmt: skip
            await send(message)

        await self._app(scope, receive, with_policy)

    def _refusal(self, request: Request) -> Response | None:
        hosts = self._service.hosts
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host not in hosts:
            return _problem(421, f"this server is not {host!r}", f"open http://{HOST}:{self._service.port}/")
        if origin is not None and origin not in {f"http://{name}" for name in hosts}:
            return _problem(403, f"the page {origin} may not speak to this server", "use the page of this server")
        if request.method not in ("GET", "HEAD") and not self._has_token(request):
            return _problem(403, "the token is missing or wrong", "open the address that 'scalmarl dash' printed")
        return None

    def _has_token(self, request: Request) -> bool:
        token, told = self._service.token, request.headers.get(TOKEN_HEADER, "")
        return bool(token) and secrets.compare_digest(told.encode(), token.encode())


def _problem(status: int, message: str, hint: str) -> Response:
    return JSONResponse({"error": {"message": message, "hint": hint}}, status_code=status)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _index(request: Request) -> Response:
    return Response((PAGE / "index.html").read_bytes(), media_type="text/html")


# ---- what is read ----


async def _stream(request: Request) -> Response:
    return StreamingResponse(_events(_service(request)), media_type="text/event-stream")


async def _events(service: Service) -> AsyncIterator[str]:
    """Everything from the beginning, then what is new, until the reader goes away."""
    try:
        data = await run_sync(PageData, service.run)
        about = await run_sync(data.about)
    except UserProblem as problem:
        yield _event("problem", {"message": problem.what, "hint": problem.hint})
        return
    yield _event("about", {**about, "may_write": bool(service.token)})
    told: dict[str, Any] = {}
    while not service.ending.is_set():
        try:
            news = await run_sync(data.news)
            if news:
                yield _event("news", news)
            status = await run_sync(data.status)
        except UserProblem as problem:
            status = {"problem": {"message": problem.what, "hint": problem.hint}}
        if status != told:
            told = status
            yield _event("status", status)
        else:
            # Found out here if the reader has gone.
            yield ":\n\n"
        await anyio.sleep(LOOK_EVERY_S)
    yield _event("bye", {})


def _event(name: str, document: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(document, separators=(',', ':'))}\n\n"


async def _log(request: Request) -> Response:
    service = _service(request)
    try:
        process = process_id(request.query_params.get("process", ""))
    except ValueError as error:
        return _problem(404, str(error), "see: scalmarl ps")
    if process not in (*range(service.plan.agents), SIM, COORDINATOR):
        return _problem(404, "no such process in this run", "see: scalmarl ps")
    return JSONResponse(await run_sync(log_tail, service.run, process, LOG_BYTES))


async def _camera(request: Request) -> Response:
    """The last state that is kept up to the start of a round; the header says of which round it is. That there is none,
    or no graphics library, is an answer like any other."""
    service = _service(request)
    asked = request.query_params.get("round", "")
    if not asked.isdecimal():
        return _problem(404, "say of which round", "add ?round=R")
    why_not = f"no state of the world is kept up to round {asked}"
    for _ in range(2):
        kept = [round for round in await run_sync(kept_states, service.run) if round <= int(asked)]
        if not kept:
            break
        try:
            picture = await run_sync(service.camera.picture, kept[-1])
            return Response(picture, media_type="image/jpeg", headers={"X-Round": str(kept[-1])})
        except UserProblem as problem:
            # Once more: a commit may have moved the file while it was read.
            why_not = f"{problem.what}; {problem.hint}"
    return JSONResponse({"why_not": why_not})


# ---- what is written ----


def _write(command: str) -> Callable[[Request], Awaitable[Response]]:
    async def write(request: Request) -> Response:
        try:
            process = str((await request.json())["process"])
        except (ValueError, KeyError, TypeError):
            return _problem(400, "the request names no process", 'send {"process": "agent/3"}')
        try:
            return JSONResponse(await run_sync(ask, _service(request).run, {"command": command, "process": process}))
        except UserProblem as problem:
            return _problem(409, problem.what, problem.hint)

    return write


# ---- life ----


def serve(run: RunDirectory, bound: socket.socket, token: str, with_run: bool = False) -> None:
    """Serve on a listening socket until a signal; ``with_run``: until the run has ended. Raises ``NoSuchRun``."""
    server = server_of(Service(run, bound.getsockname()[1], token))
    if with_run:
        threading.Thread(target=_end_with_run, args=(server, run), daemon=True).start()
    server.run(sockets=[bound])


def server_of(service: Service) -> uvicorn.Server:
    """The server that is to be run on the service's port."""
    config = uvicorn.Config(
        application(service), log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=1,
        server_header=False,
    )  # fmt: skip
    return _Server(config, service)


class _Server(uvicorn.Server):
    """Streams end as soon as the server is told to."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the streams end first."""
        self._service.ending.set()
        await super().shutdown(sockets)


def _end_with_run(server: uvicorn.Server, run: RunDirectory) -> None:
    while run.is_live():
        time.sleep(LOOK_EVERY_S)
    time.sleep(ENDED_AFTER_S)
    server.should_exit = True


def main() -> None:
    """``python -m scalmarl.launch.dash.server``: its charge is a line of JSON on standard input, so that the token
    stands neither in the arguments nor in the environment."""
    charge = json.loads(sys.stdin.buffer.readline())
    # The command that began the run holds them back.
    release_stop_signals()
    serve(RunDirectory(Path(charge["run"])), socket.socket(fileno=charge["socket"]), charge["token"], with_run=True)


if __name__ == "__main__":
    main()
