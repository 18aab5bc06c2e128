"""The one exception that a person is meant to read."""


class ClusterError(Exception):
    """The cluster cannot be started, found or used; the message says what to do about it."""
