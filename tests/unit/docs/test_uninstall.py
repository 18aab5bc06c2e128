"""What a person is told to delete by hand is all that Ringfence writes."""

from ringfence.model.effective import EffectivePolicy
from ringfence.model.world import Enrolment, Installation
from ringfence.translate import admission_policy
from ringfence.translate.backstop import asked

from e2e.cluster import paths


def test_every_guard_is_selected() -> None:
    text = (paths.REPOSITORY / "docs" / "uninstall.md").read_text()
    [command] = [line for line in text.splitlines() if "delete validatingadmissionpolicybinding," in line]
    selector = dict(each.split("=") for each in command.split()[-1].split(","))
    placed = asked.of(EffectivePolicy("shop", Enrolment.ENFORCE, closed=True), 0.0)
    made = admission_policy.objects(Installation(), placed=placed)
    assert len(made) == 2 * (len(admission_policy.NAMES) + 1)
    assert all(each["metadata"]["labels"] == selector for each in made)
