"""The page as one file: everything inside, nothing loaded from anywhere, so that it can be mailed and opened."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from scalmarl.launch.dash.camera import Camera
from scalmarl.launch.dash.data import PageData, kept_states
from scalmarl.launch.errors import UsageProblem, UserProblem
from scalmarl.launch.output_file import check_output
from scalmarl.launch.reading import log_tail
from scalmarl.launch.run_directory import RunDirectory
from scalmarl.protocol.keys import COORDINATOR, SIM

PAGE = Path(__file__).parent / "page"
LOG_BYTES = 2000
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def write_page(run: RunDirectory, path: Path) -> None:
    """Write the page of a run as it is now. Raises ``UsageProblem`` where the file cannot be written."""
    check_output(path, "--export")
    content = page_with(stored(run))
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageProblem(
            f"cannot write {path}: {error.strerror}", "give --export a path that you can write"
        ) from None


def stored(run: RunDirectory) -> dict[str, Any]:
    """All that the server would tell, at once."""
    data = PageData(run)
    logs = [log_tail(run, process, LOG_BYTES) for process in (*range(data.plan.agents), SIM, COORDINATOR)]
    return {
        "about": {**data.about(), "may_write": False}, "news": data.news(), "status": data.status(),
        "logs": {log["process"]: log for log in logs}, "picture": _picture(run, data),
    }  # fmt: skip


def _picture(run: RunDirectory, data: PageData) -> dict[str, Any]:
    """The world at the last round that is kept, where it can be drawn."""
    camera, kept = Camera(run, data.plan), kept_states(run)
    try:
        if not kept:
            return {"why_not": "no state of the world is kept yet"}
        picture = base64.b64encode(camera.picture(kept[-1])).decode()
        return {"round": kept[-1], "url": f"data:image/jpeg;base64,{picture}"}
    except UserProblem as problem:
        return {"why_not": problem.what}
    finally:
        camera.close()


def page_with(document: dict[str, Any]) -> str:
    """``index.html`` with its styles, scripts and the document inside."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    # Nothing in the document may end the element that it stands in.
    data = json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")
    inside = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    text = text.replace("<!-- policy -->", inside)
    text = text.replace("<!-- stored -->", f'<script type="application/json" id="stored">{data}</script>')
    text = re.sub(r'<link rel="stylesheet" href="([^"]+)">', lambda m: f"<style>{_content(m[1])}</style>", text)
    return re.sub(r'<script src="([^"]+)"></script>', lambda m: f"<script>{_content(m[1])}</script>", text)


def _content(reference: str) -> str:
    content = (PAGE.parent / reference).read_text(encoding="utf-8")
    return re.sub(r"</(script|style)", r"<\\/\1", content)
