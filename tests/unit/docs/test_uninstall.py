"""What a person is told to delete by hand is all that Ringfence writes."""

from ringfence.translate import admission_policy

from e2e.cluster import paths


def test_every_guard_is_named() -> None:
    text = (paths.REPOSITORY / "docs" / "uninstall.md").read_text()
    [command] = [line for line in text.splitlines() if "delete validatingadmissionpolicybinding," in line]
    assert [word for word in command.split() if word.startswith("ringfence-")] == list(admission_policy.NAMES)
