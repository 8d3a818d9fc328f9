"""Which deaths count, how long a restart waits, and when a run is stopped instead."""

from __future__ import annotations

import signal

import pytest

from scalmarl.launch.restart_policy import LONGEST_DELAY_S, SAME_PLACE, WITHOUT_COMMIT, Death, RestartPolicy

HERE = (4, 17, "policy")


@pytest.mark.parametrize(
    ("code", "error", "is_own", "cause"),
    [
        (-signal.SIGKILL, "", False, "SIGKILL"),
        (-signal.SIGTERM, "", False, "SIGTERM"),
        (-signal.SIGSEGV, "", True, "SIGSEGV"),
        (-signal.SIGABRT, "", True, "SIGABRT"),
        (-(signal.SIGRTMIN + 6), "", False, f"signal {signal.SIGRTMIN + 6}"),
        (1, "", True, "exit code 1"),
        (0, "", False, "exit code 0"),
        (None, "", False, "killed"),
        (1, "[Errno 28] No space left on device", True, "[Errno 28] No space left on device"),
    ],
)
def test_whose_doing_a_death_was(code: int | None, error: str, is_own: bool, cause: str) -> None:
    death = Death(3, code, HERE, error)
    assert (death.is_own, death.cause()) == (is_own, cause)
    assert death.signal == (cause if code is not None and code < 0 else None)


def test_a_death_from_outside_never_counts() -> None:
    policy = RestartPolicy()
    assert [policy.delay(Death(3, -signal.SIGKILL, HERE)) for _ in range(100)] == [0.0] * 100


def test_three_crashes_at_one_place_stop_the_run_with_a_diagnosis() -> None:
    policy, crash = RestartPolicy(), Death(3, 1, HERE)
    assert [policy.delay(crash) for _ in range(SAME_PLACE)] == [0.1, 0.2, None]
    assert policy.diagnosis(crash) == "agent/3 crashed 3 times at round 4, step 17, phase 'policy': exit code 1"


def test_ten_crashes_without_a_commit_stop_it_wherever_they_are() -> None:
    policy = RestartPolicy()
    crashes = [Death(number % 4, 1, (4, number, "policy")) for number in range(WITHOUT_COMMIT)]
    delays = [policy.delay(crash) for crash in crashes]
    assert delays[-1] is None
    assert all(delay is not None and 0 < delay <= LONGEST_DELAY_S for delay in delays[:-1])
    assert "crash 10 without a commit" in policy.diagnosis(crashes[-1])


def test_a_commit_wipes_the_slate() -> None:
    policy, crash = RestartPolicy(), Death(3, 1, HERE)
    for _ in range(5):
        assert [policy.delay(crash), policy.delay(crash)] == [0.1, 0.2]
        policy.committed()
