"""What a process has in memory, of /proc/PID/status."""

from dataclasses import dataclass

_COUNTED = ("VmHWM", "RssAnon", "RssFile")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process: at most, since that was last forgotten; of its own; of files, which is its program mostly."""

    most: int
    own: int
    files: int

    @classmethod
    def read(cls, status: str) -> "Memory":
        """From the text of the file. Raises KeyError when it is not about one process that has memory."""
        lines = (each.partition(":") for each in status.splitlines())
        kilobytes = {name: int(rest.split()[0]) * 1024 for name, _, rest in lines if name in _COUNTED}
        return cls(*(kilobytes[each] for each in _COUNTED))

    def grown(self, before: "Memory") -> int:
        """How much more of its own it had since.

        Without pages of its program: the kernel takes them while memory is scarce, and brings back what runs.
        """
        return self.most - max(self.files, before.files) - before.own
