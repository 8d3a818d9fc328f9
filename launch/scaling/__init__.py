"""``scalmarl plan``: what a run would do with other sizes and hosts, from measured costs."""
