"""Recorded calls: how they are read, what policies make of them, and the policies that they ask for. No I/O."""
