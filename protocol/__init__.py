"""What two processes must agree on. This folder imports no other folder of the project.

Five words: an *agent* is a process with its own policy; its *neighbourhood* is every agent within kappa hops; a *round*
is one collect-and-update cycle; a *turn* is one agent's update inside a round; a *value* is a write-once array with a
key.
"""
