"""A kubeconfig that cannot be used is named, with what is wrong."""

import asyncio
from pathlib import Path

import pytest
from ringfence.kube import client, errors


def refused(path: Path | None) -> str:
    with pytest.raises(errors.Unreachable) as caught:
        asyncio.run(client.Client.connect(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no kubeconfig at {path}"),
        ("", "the kubeconfig {path} is empty"),
        ("a: [", "kubeconfig {path}: while parsing a flow node expected the node content"),
        ("kind: Config\n", "kubeconfig {path}: "),
        ("[]", "kubeconfig {path}: "),
        ("current-context: a\ncontexts: []\n", "kubeconfig {path}: "),
    ],
)
def test_what_is_wrong_is_told_with_the_file(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    found = refused(path)
    assert found.startswith(f"no way to the API server: {said.format(path=path)}"), found
    assert "\n" not in found


def test_the_file_that_the_environment_names_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nowhere/a:/nowhere/b")
    monkeypatch.setattr(client, "load_kubeconfig", refusing)
    assert "there is no kubeconfig at /nowhere/a:/nowhere/b" in refused(None)


async def refusing(*_: object, **__: object) -> None:
    raise TypeError("'NoneType' object does not support item assignment")
