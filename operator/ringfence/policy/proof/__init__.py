"""Proofs over all policies at once: what can never be called, and what always can.

``parties`` are the pods that may be, ``tables`` whom each lets in and may call, ``reaching`` who reaches whom, through
others too, and ``prove`` what that says of an invariant. ``tell`` makes a counterexample concrete: each call of it is
judged by ``decide``, which shares no code with the rest.
"""
