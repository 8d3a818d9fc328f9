"""Imported by Python itself at the start of every process of a launch that a test has armed (see ``launches.arm``).

The product knows nothing of it: once the named modules are loaded, what the test wants planted is put around their
classes. Processes of other launches do not find this file, and without the variable it does nothing.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

PLANT_INTO = {
    "scalmarl.protocol.shell": "plant_in_process",
    "scalmarl.launch.supervisor": "plant_in_launcher",
    "scalmarl.launch.resuming": "plant_in_resume",
}


class PlantAfterImport(importlib.abc.MetaPathFinder):
    """Lets a module load as it is and hands it to ``planted`` afterwards."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in PLANT_INTO:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_plant(module: ModuleType) -> None:
            load(module)
            import planted

            getattr(planted, PLANT_INTO[name])(module)

        spec.loader.exec_module = load_and_plant  # type: ignore[method-assign]
        return spec


if "SCALMARL_TEST_PLANTED" in os.environ:
    sys.meta_path.insert(0, PlantAfterImport())
