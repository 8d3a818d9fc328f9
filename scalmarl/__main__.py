"""``python -m scalmarl``: the command line."""

from scalmarl.launch.entry import main

main()
