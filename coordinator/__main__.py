"""``python -m scalmarl.coordinator CONTROL_FD PARENT_PID``: started by the launcher."""

from scalmarl.coordinator.process import make_parts
from scalmarl.protocol.shell import serve_child

if __name__ == "__main__":
    serve_child(make_parts)
