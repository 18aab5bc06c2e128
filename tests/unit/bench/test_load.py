"""A measurement whose answers are wrong is none."""

import pytest

from bench import load, reviews, servers
from bench.load import Figures, Question
from bench.reviews import Policies


@pytest.fixture(scope="module")
def server() -> object:
    with servers.ringfence(servers.Trust.make(), Policies(own=1)) as running:
        yield running


def test_right_answers_are_counted(server: servers.Running) -> None:
    good = Question(reviews.review(reviews.pod()), load.ALLOWED)
    times, seconds, _ = load.run(server, good, 2, reviews=20)
    assert len(times) >= 20
    assert 0 < min(times) <= max(times) <= seconds


@pytest.mark.parametrize("good", [True, False])
def test_a_wrong_answer_ends_it(server: servers.Running, good: bool) -> None:
    wrong = Question(reviews.review(reviews.pod(good=good)), load.REFUSED if good else load.ALLOWED)
    with pytest.raises(RuntimeError, match="AdmissionReview"):
        load.run(server, wrong, 1, reviews=5)


def test_another_status_ends_it(server: servers.Running) -> None:
    with pytest.raises(RuntimeError, match="400"):
        load.run(server, Question(b"{}", load.ALLOWED), 1, reviews=5)


def test_a_share_is_the_median_of_the_rounds() -> None:
    assert Figures(rates=[10.0, 20.0, 90.0]).share(Figures(rates=[20.0, 40.0, 90.0])) == 0.5
