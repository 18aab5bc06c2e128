"""Answers about all calls at once: who may reach whom, and what a change of policies makes of it."""
