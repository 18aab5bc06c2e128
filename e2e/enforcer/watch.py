"""Keep collections of objects in step with the API server: list, then watch, for ever."""

import http.client
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from e2e.enforcer.api import ApiError
from e2e.enforcer.model import Manifest

LOG = logging.getLogger(__name__)
GONE = 410
FIRST_DELAY, LAST_DELAY = 0.1, 5.0
"""Seconds between tries while the API server is away: doubled each time, up to the last."""

Objects = Mapping[tuple[str, str], Manifest]
"""Objects by (namespace, name)."""


class Source(Protocol):
    """Where objects come from: an api.Server."""

    def get(self, path: str) -> Any:
        """Return the JSON at ``path``."""

    def watch(self, path: str, version: str) -> Iterator[Mapping[str, Any]]:
        """Yield the events of a collection from ``version`` on."""


class Collection:
    """One kind of object. What was last seen stays while the server is away: no news drops no rules."""

    def __init__(self, server: Source, path: str, changed: Callable[[], None]) -> None:
        """Follow the collection at ``path``; ``changed`` is called from another thread after each change."""
        self._server, self._path, self._changed = server, path, changed
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], Manifest] = {}
        self._version = ""
        self.synced = threading.Event()

    def start(self) -> None:
        """Follow it in a thread of its own, until the process ends."""
        threading.Thread(target=self._run, name=f"watch {self._path}", daemon=True).start()

    def objects(self) -> Objects:
        """What is known now."""
        with self._lock:
            return dict(self._objects)

    def _run(self) -> None:
        delay = FIRST_DELAY
        while True:
            try:
                if not self._version:
                    self._list()
                self._watch()
                delay = FIRST_DELAY
                continue
            except ApiError as error:
                if error.code == GONE:
                    # What the server still remembers starts later than what we know: start over from the whole.
                    self._version = ""
                LOG.warning("%s: %s", self._path, error)
            except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
                LOG.warning("%s: %s: %s", self._path, type(error).__name__, error)
            time.sleep(delay)
            delay = min(delay * 2, LAST_DELAY)

    def _list(self) -> None:
        answer = self._server.get(self._path)
        with self._lock:
            self._objects = {key(each): each for each in answer.get("items") or []}
        self._version = answer["metadata"]["resourceVersion"]
        self.synced.set()
        self._changed()

    def _watch(self) -> None:
        for event in self._server.watch(self._path, self._version):
            content = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(content.get("code", 0), content.get("message", ""))
            if event["type"] != "BOOKMARK":
                with self._lock:
                    if event["type"] == "DELETED":
                        self._objects.pop(key(content), None)
                    else:
                        self._objects[key(content)] = content
                self._changed()
            self._version = content["metadata"]["resourceVersion"]


def key(manifest: Manifest) -> tuple[str, str]:
    """An object's namespace (empty for objects without) and name."""
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
