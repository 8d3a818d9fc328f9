"""The documentation's tables are those of the code. ``python -m tests.test_docs`` writes the marked blocks anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scalmarl.agents.algorithms import ALGORITHMS
from scalmarl.launch.config import resolve
from scalmarl.launch.planning import make_plan
from scalmarl.launch.task_words import graph_words, listed, sizes
from scalmarl.protocol.codec import HEADER_BYTES, curve_wire_bytes, encode
from scalmarl.protocol.keys import COORDINATOR, SIM, Key, Kind, Role, process_name
from scalmarl.protocol.kinds import TABLE, To, form, steps_of
from scalmarl.protocol.ledger import predicted
from scalmarl.protocol.messages import Message, MessageType
from scalmarl.protocol.standins import toy_plan
from scalmarl.sim_server.tasks import FAMILIES, describe
from tests.command_reference import reference

PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"
PLAN = toy_plan(((1,), (0, 2), (1,)), (0, 1, 0), steps=3, copies=2)

SHAPES = {
    Kind.OBSERVATION: "E/G, b + m + 3",
    Kind.STATE: "E/G, b",
    Kind.ACTION: "E/G, a",
    Kind.ADVANTAGE: "1 + m, B",
    Kind.SLACK: "m, 3",
    Kind.TURN: "B + 3 + M",
    Kind.GRANT: "0",
    Kind.TURN_DONE: "0",
    Kind.DONE: "32",
    Kind.COMMIT: "1",
}
NAMES = {Role.AGENT: "agent i", Role.SIM: "sim server", Role.COORDINATOR: "coordinator"}
RECEIVERS = {
    To.SUBJECT: "agent i",
    To.NEIGHBOURHOOD: "N_kappa(i)",
    To.SIM: "sim server",
    To.COORDINATOR: "coordinator",
    To.EVERYBODY: "everybody else",
}
TYPES = {"<f4": "float32", "<i8": "int64", "u1": "uint8"}


def table_of_kinds() -> str:
    lines = ["| kind | code | from | to | when | numbers | shape | payload | after the file |", "|" + "---|" * 9]
    for kind, spec in TABLE.items():
        senders = ", ".join(NAMES[role] for role in spec.producer)
        lines.append(
            f"| `{kind.name.lower()}` | {int(kind)} | {senders} | {RECEIVERS[spec.to]} | {spec.when.value} "
            f"| {TYPES[str(spec.dtype)]} | [{SHAPES[kind]}] | {spec.payload} | {'yes' if spec.after_file else ''} |"
        )
    return "\n".join(lines)


def example_frame() -> str:
    key = Key(1, Kind.TURN_DONE, 1, 5, 0)
    frame = encode(Message(MessageType.VALUE, 1, 4, key, np.empty(0, dtype="u1")), run=7, incarnation=2)
    rows = [frame[at : at + 16].hex(" ") for at in range(0, len(frame), 16)]
    text = "    " + "\n    ".join(rows)
    return f"An example: `turn_done` of agent 1 in round 5 of run 7, in the sender's life 2, watermark 4:\n\n{text}"


def worked_example() -> str:
    lines = ["| to | kind | messages | payload of one | frame | wire of one | wire bytes |", "|" + "---|" * 7]
    total = 0
    for (to, kind), count in sorted(predicted(PLAN, 1).items()):
        frame = HEADER_BYTES + count.payload_bytes // count.messages
        lines.append(
            f"| {process_name(to)} | `{Kind(kind).name.lower()}` | {count.messages} | {frame - HEADER_BYTES} | {frame} "
            f"| {curve_wire_bytes(frame)} | {count.wire_bytes} |"
        )
        total += count.wire_bytes
    return "\n".join([*lines, f"| | all | | | | | {total} |"])


def table_of_tasks() -> str:
    """Every task in its usual partitions."""
    lines = ["| task | agents | graph | observes | moves | reward | cost | limit |", "|" + "---|" * 8]
    for spec in listed():
        family, label = FAMILIES[spec.name], spec.label.replace("|", r"\|")
        lines.append(
            f"| `{label}` | {spec.agents} | {graph_words(spec)} | {sizes(spec.block_sizes)} "
            f"| {sizes(spec.action_sizes)} | {', '.join(family.rewards)} | {', '.join(family.costs)} "
            f"| {family.limit:g} |"
        )
    return "\n".join(lines)


def block_of(task: str, agent: int) -> Callable[[], str]:
    """An agent's observation, entry by entry."""

    def table() -> str:
        entries = describe(task).block_entries[agent]
        return "\n".join(["| | entry |", "|---:|---|", *(f"| {n} | {entry} |" for n, entry in enumerate(entries))])

    return table


def table_of_switches() -> str:
    lines = ["| name | hears | factor | cost_terms | reward_terms | radius | accept | update |", "|" + "---|" * 8]
    for name, algorithm in ALGORITHMS.items():
        switches = algorithm.switches
        lines.append(
            f"| `{name}` | {algorithm.hears} | {switches.factor} | {switches.cost_terms} | {switches.reward_terms} "
            f"| {switches.radius} | {'test' if switches.accept else 'off'} | {switches.update} |"
        )
    return "\n".join(lines)


NUMBERS = {
    Kind.STATE: "(T + 1) E b", Kind.ADVANTAGE: "(1 + m) B", Kind.SLACK: "3 m", Kind.TURN: "B + 3 + M",
}  # fmt: skip


def table_of_numbers() -> str:
    """What agent 3 of a default run sends to the agents that hear it, by the ledger's formula."""
    lines = ["| algorithm | numbers to each neighbour | b | neighbours | to each | to all |", "|" + "---|" * 6]
    for name in ALGORITHMS:
        plan = make_plan(*resolve(None, (), {"run.algo": name, "run.agents": 8, "run.kappa": 2})).plan
        sent = {kind: count for (to, kind), count in predicted(plan, 3).items() if to in plan.neighbours[3]}
        each = sum(count.payload_bytes for count in sent.values()) // 4
        formula = " + ".join(NUMBERS[Kind(kind)] for kind in sorted(sent))
        if Kind.ADVANTAGE not in sent:
            formula = formula.replace(" + M", "")
        neighbours = len(plan.neighbours[3])
        lines.append(
            f"| `{name}` | {formula or 'none'} | {plan.task.block_sizes[3]} | {neighbours} | {each:,} "
            f"| {each * neighbours:,} |"
        )
    return "\n".join(lines)


BLOCKS: dict[str, dict[str, Callable[[], str]]] = {
    "protocol.md": {
        "table of kinds": table_of_kinds, "example frame": example_frame, "worked example": worked_example,
    },
    "commands.md": {"commands": reference},
    "algorithms.md": {"table of switches": table_of_switches, "table of numbers": table_of_numbers},
    "tasks/README.md": {"table of tasks": table_of_tasks},
    "tasks/safe-manyant.md": {"block": block_of("safe-manyant:8x1", 0)},
    "tasks/safe-ant.md": {"block": block_of("safe-ant:4x2", 0)},
    "tasks/safe-halfcheetah.md": {"block": block_of("safe-halfcheetah:6x1", 2)},
    "tasks/safe-coupled-halfcheetah.md": {"block": block_of("safe-coupled-halfcheetah:12x1", 2)},
    "tasks/cheetahs.md": {"block": block_of("cheetahs", 1)},
    "tasks/formation.md": {"block": block_of("formation:path", 1)},
    "tasks/safe-hopper.md": {"block": block_of("safe-hopper:3x1", 0)},
    "tasks/safe-walker2d.md": {"block": block_of("safe-walker2d:2x3", 0)},
    "tasks/safe-humanoid.md": {"block": block_of("safe-humanoid:9|8", 1)},
    "tasks/safe-swimmer.md": {"block": block_of("safe-swimmer:2x1", 0)},
}  # fmt: skip
DOCS = PAGE.parent


def split_at(text: str, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    assert text.count(begin) == text.count(end) == 1
    head, _, rest = text.partition(begin)
    block, _, tail = rest.partition(end)
    return head + begin, block, end + tail


def documented(name: str) -> str:
    return split_at(PAGE.read_text(encoding="utf-8"), name)[1].strip("\n")


@pytest.mark.parametrize(("page", "name"), [(page, name) for page, blocks in BLOCKS.items() for name in blocks])
def test_generated_blocks_are_current(page: str, name: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert split_at(text, name)[1].strip("\n") == BLOCKS[page][name]()


def test_every_task_has_a_page_that_the_index_names() -> None:
    index = (DOCS / "tasks/README.md").read_text(encoding="utf-8")
    for name in FAMILIES:
        assert f"({name}.md)" in index
        text = (DOCS / f"tasks/{name}.md").read_text(encoding="utf-8")
        for heading in ("The body", "Observation", "Reward", "Cost and limit", "What is not local", "Differences"):
            assert f"\n## {heading}" in text, (name, heading)


@pytest.mark.parametrize("agent", range(3))
@pytest.mark.parametrize("kind", Kind)
def test_documented_shapes_are_those_of_the_code(kind: Kind, agent: int) -> None:
    # The formulas are the page's; the sizes are read off the plan here.
    near = (agent, *PLAN.neighbours[agent])
    sizes = {
        "E": PLAN.copies, "G": PLAN.groups, "B": PLAN.steps * PLAN.copies, "b": PLAN.task.block_sizes[agent],
        "a": PLAN.task.action_sizes[agent], "m": len(PLAN.task.cost_limits[agent]),
        "M": sum(len(PLAN.task.cost_limits[other]) for other in near),
    }  # fmt: skip
    row = re.search(rf"^\| `{kind.name.lower()}` \|.*?\| \[(.*?)\] \|", documented("table of kinds"), re.MULTILINE)
    assert row is not None
    wanted = tuple(int(eval(size.replace("/", "//"), {}, sizes)) for size in row[1].split(","))
    producer = {Role.AGENT: agent, Role.SIM: SIM, Role.COORDINATOR: COORDINATOR}[TABLE[kind].producer[0]]
    dtype, shape = form(PLAN, Key(producer, kind, agent, 0, 0))
    assert shape == wanted
    assert dtype.name in documented("table of kinds")


@pytest.mark.parametrize("told", [("advantage", "slack", "turn"), ("turn",)])
@pytest.mark.parametrize("kind", NUMBERS)
def test_documented_numbers_of_a_round_are_those_of_the_ledger(kind: Kind, told: tuple[str, ...]) -> None:
    text = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{kind.name.lower()}` \| .* \| (.*) \|$", text, re.MULTILINE)
    assert row is not None
    assert row[1] == NUMBERS[kind]
    plan = replace(PLAN, exchanged=told)
    sizes = {
        "T": plan.steps, "E": plan.copies, "B": plan.samples, "b": plan.task.block_sizes[1], "m": plan.costs(1),
        "M": sum(plan.costs(h) for h in (0, 1, 2)) if "advantage" in told else 0,
    }  # fmt: skip
    product = re.sub(r"(?<=[\w)]) (?=\w)", " * ", NUMBERS[kind])
    sent = predicted(plan, 1).get((0, kind))
    exists = kind is Kind.STATE or kind.name.lower() in told
    assert (sent.payload_bytes if sent else 0) == 4 * exists * int(eval(product, {}, sizes))


GUARD = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_guard_that_a_page_names_is_a_test_of_that_file() -> None:
    root, named = DOCS.parent, 0
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert len(GUARD.findall(text)) == text.count(".py::"), f"{page}: a guard is not written `tests/...::test_name`"
        for file, name in GUARD.findall(text):
            assert (root / file).is_file(), (page, file)
            assert re.search(rf"^def {name}\(", (root / file).read_text(encoding="utf-8"), re.MULTILINE), (page, name)
            named += 1
    assert named > 20


def test_every_published_defect_names_what_guards_it() -> None:
    text = (DOCS / "published-defects.md").read_text(encoding="utf-8")
    defects = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert len(defects) >= 16
    for defect in defects:
        assert "Guard" in defect, defect.splitlines()[0]
        assert GUARD.search(defect), defect.splitlines()[0]


def test_documented_steps_are_those_of_the_code() -> None:
    plan = toy_plan(((1,), (0,)), (0, 1), steps=5, copies=6, groups=3)
    assert steps_of(plan, Kind.STATE) == 3 * (5 + 1)
    assert steps_of(plan, Kind.ACTION) == 3 * 5


def test_documented_offsets_add_up_and_the_frame_head_is_what_encode_writes() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## The frame")[2].partition("## Checks")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (?:`([0-9a-f]{2})`)?", text, re.MULTILINE)
    at = 0
    for offset, size, _ in rows:
        assert int(offset) == at
        at += int(size)
    assert at == HEADER_BYTES
    frame = encode(Message(MessageType.HELLO, 0, 0), run=0, incarnation=0)
    for offset, _, mark in rows:
        if mark:
            assert frame[int(offset)] == int(mark, 16)


def test_every_reason_in_the_code_is_documented() -> None:
    folder = PAGE.parents[1] / "protocol"
    reasons = set(re.findall(r'BadFrame\("([^"]+)"\)', (folder / "codec.py").read_text(encoding="utf-8")))
    reasons |= set(re.findall(r'dropped\["([^"]+)"\]', (folder / "sockets.py").read_text(encoding="utf-8")))
    reasons |= set(re.findall(r'counts\["([^"]+)"\]', (folder / "runtime.py").read_text(encoding="utf-8")))
    reasons |= set(re.findall(r'counts\["([^"]+)"\]', (folder / "link_faults.py").read_text(encoding="utf-8")))
    text = PAGE.read_text(encoding="utf-8")
    assert len(reasons) >= 18
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in text] == []


def write_blocks() -> None:
    """Write the marked blocks of all pages anew."""
    for page, blocks in BLOCKS.items():
        path = DOCS / page
        text = path.read_text(encoding="utf-8")
        for name, make in blocks.items():
            head, _, tail = split_at(text, name)
            text = f"{head}\n{make()}\n\n{tail}"
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_blocks()
