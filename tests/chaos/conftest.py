"""What campaigns share: a seed, a length, an undisturbed run to compare with, the command that repeats a failure."""

from __future__ import annotations

import json
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

SMALL = ("--agents", "4", "--kappa", "1", "--envs", "4", "--steps", "32")
ENDLESS = ("--rounds", "100000")


@dataclass
class Campaign:
    """One test's draws and story; ``say`` adds to what a failure prints."""

    seed: int
    seconds: float | None
    draw: random.Random
    launches: list[Any]
    before: int
    story: list[str] = field(default_factory=list)

    def lasts(self, usual_s: float) -> float:
        """How long to go on: as usual, or what ``--chaos-seconds`` says."""
        return usual_s if self.seconds is None else self.seconds

    def say(self, *words: Any) -> None:
        self.story.append(" ".join(str(word) for word in words))


@pytest.fixture(autouse=True)
def campaign(request: pytest.FixtureRequest, launches: list[Any]) -> Campaign:
    seed, seconds = request.config.getoption("--chaos-seed"), request.config.getoption("--chaos-seconds")
    draw = random.Random(f"{seed} {request.node.name}")
    made = Campaign(seed, seconds, draw, launches, len(launches))
    request.node.campaign = made
    return made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    made = getattr(item, "campaign", None)
    if made is None or report.when != "call":
        return
    if made.story and report.passed:
        print("\n  " + "\n  ".join(made.story[-3:]))
    if report.failed:
        from scalmarl.launch.versions import versions

        length = "" if made.seconds is None else f" --chaos-seconds {made.seconds:g}"
        repeat = f"python -m pytest -m chaos '{item.nodeid}' --chaos-seed {made.seed}{length}"
        report.sections.append(("repeat", f"{repeat}\nversions: {json.dumps(versions())}"))
        report.sections.append(("what was done", "\n".join(made.story)))
        for launch in made.launches[made.before :]:
            told = [json.dumps(event) for event in launch.events()[-40:]]
            report.sections.append((f"the last events of {launch.path.name}", "\n".join(told)))


class Reference:
    """An undisturbed run of one configuration, made as long as somebody needs it."""

    def __init__(self, start: Callable[..., Any], name: str, arguments: tuple[str, ...]) -> None:
        self._start, self._name, self._arguments = start, name, arguments
        self._commits: list[dict[str, str]] = []

    def commits(self, rounds: int) -> list[dict[str, str]]:
        """The digests of its first rounds."""
        if len(self._commits) < rounds:
            if not self._commits:
                run = self._start(self._name, *self._arguments, "--rounds", str(rounds))
            else:
                path = self._last.path
                run = self._start(self._name, str(path), "--rounds", str(rounds), command=("resume",))
            assert run.end(within_s=3600.0) == 0, run.words
            self._last = run
            self._commits = run.commits()
        return self._commits[:rounds]


@pytest.fixture(scope="session")
def reference(start: Callable[..., Any]) -> Reference:
    return Reference(start, "reference", SMALL)


@pytest.fixture(scope="session")
def reference_of(start: Callable[..., Any]) -> Callable[..., Reference]:
    return lambda name, *arguments: Reference(start, name, arguments)


@pytest.fixture
def check_bits(reference: Reference, difference: Callable[..., str], campaign: Campaign) -> Callable[..., None]:
    """Whether a run committed what the undisturbed one did, round by round; and that it committed something."""

    def check(launch: Any, rounds: int | None = None, against: Reference | None = None) -> None:
        found = launch.commits()
        campaign.say(f"{launch.path.name}: {len(found)} rounds committed")
        assert len(found) == rounds if rounds is not None else len(found) > 0
        assert difference(found, (against or reference).commits(len(found))) == ""

    return check


@pytest.fixture
def stop(campaign: Campaign) -> Callable[[Any], None]:
    """End an endless run two commits from now."""

    def stop_run(launch: Any) -> None:
        launch.wait_for_round(launch.state()["round"] + 2)
        launch.process.terminate()
        assert launch.end() == 143, launch.words

    return stop_run


def zombies_under(pid: int) -> list[int]:
    """Ended children of a process that nobody has reaped."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if child.status() == psutil.STATUS_ZOMBIE:
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture(scope="session")
def unreaped() -> Callable[[int], list[int]]:
    return zombies_under


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """The small configuration, without a number of rounds."""
    return SMALL


@pytest.fixture(scope="session")
def endless() -> tuple[str, ...]:
    """The small configuration, to be ended by ``stop``."""
    return (*SMALL, *ENDLESS)


@pytest.fixture
def short_directory() -> Iterator[str]:
    """For temporary files: pytest's own is too long for sockets."""
    with tempfile.TemporaryDirectory(prefix="sc-") as directory:
        yield directory


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Any request to stop ends pytest as Ctrl-C does, by way of the contexts that take namespaces away."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
