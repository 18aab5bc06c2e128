"""Puts the traffic redirect into the network namespace of every enrolled pod of its node."""
