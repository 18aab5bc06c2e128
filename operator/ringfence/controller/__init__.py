"""The front door of the controller: what wakes it, what it works through, and what it answers to probes."""
