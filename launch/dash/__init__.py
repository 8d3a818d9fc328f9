"""``scalmarl dash``: a run, live or finished, on one local page."""
