"""``scalmarl plot``: the figures of runs and comparisons, with the numbers behind each."""
