"""``python -m benchmarks.vendor [PACKAGE=VERSION ...]``: fetch the page's libraries anew from npm packages.

Needs npm. Without arguments it fetches the versions of ``launch/dash/page/vendor/manifest.json`` again, which shows
that the stored files are those of the packages; with arguments it changes to these versions and writes a manifest.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parents[1] / "launch" / "dash" / "page" / "vendor"
MANIFEST = VENDOR / "manifest.json"


def fetch(package: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Put a package's files into ``VENDOR``; returns its entry with the checksums of what came."""
    name = f"{package['name']}@{package['version']}"
    done = subprocess.run(
        ["npm", "pack", "--json", name], cwd=directory, capture_output=True, text=True, check=True, timeout=300
    )
    told = json.loads(done.stdout)[0]
    files = {}
    with tarfile.open(directory / told["filename"]) as archive:
        for name, entry in package["files"].items():
            file = archive.extractfile(f"package/{entry['from']}")
            assert file is not None
            content = file.read()
            (VENDOR / name).write_bytes(content)
            files[name] = {"from": entry["from"], "sha256": hashlib.sha256(content).hexdigest()}
    return {**package, "integrity": told["integrity"], "files": files}


def main(versions: dict[str, str]) -> int:
    """Exit code 1 where a file of an unchanged version differs from what the manifest says."""
    before = json.loads(MANIFEST.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="scalmarl-vendor-") as directory:
        wanted = [{**package, "version": versions.get(package["name"], package["version"])} for package in before]
        after = [fetch(package, Path(directory)) for package in wanted]
    MANIFEST.write_text(json.dumps(after, indent=1) + "\n", encoding="utf-8")
    for old, new in zip(before, after):
        same = old["files"] == new["files"]
        print(f"{new['name']} {new['version']}, {new['licence']}: {'as before' if same else 'changed'}")
    moved = [old["name"] for old, new in zip(before, after) if old["version"] == new["version"] and old != new]
    return 1 if moved else 0


if __name__ == "__main__":
    sys.exit(main(dict(argument.split("=", 1) for argument in sys.argv[1:])))
