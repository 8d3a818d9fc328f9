"""``PYTHON PATH/elsewhere.py MODULE ARGUMENTS``: a module of ours in an interpreter without our package.

Run by path, so that nothing but this very package is put before the other interpreter's own.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    package = Path(__file__).parent.parent
    spec = importlib.util.spec_from_file_location(
        "scalmarl", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scalmarl"] = module
    spec.loader.exec_module(module)
    # As 'python -m' has it: the working directory, and not the one that this file lies in.
    sys.path[0] = ""
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
