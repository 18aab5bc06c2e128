"""Puts the traffic redirect into the network namespace of every enrolled pod of its node.

``rules`` is what is put there, ``pods`` and ``cgroups`` find where, ``entrant`` is the child process that alone enters
namespaces (``entering`` is its owner's side), ``keeper`` holds every pod to it, ``main`` starts and ends the process.
"""
