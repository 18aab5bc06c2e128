"""The rules of the Lease: who may write when, told with a clock that the test turns."""

import pytest
from ringfence.model.leadership import MAX_DURATION, Do, Election, Seen, Step, Timing

TIMING = Timing()


def _elected(at: float = 100.0) -> Election:
    """One that claimed a free Lease; the claim was sent at ``at`` and answered a tenth of a second later."""
    election = Election("me")
    election.looked(Seen("1", "", uid="a"), at)
    assert election.step(at) == Step(Do.CLAIM, at)
    election.held(Seen("2", "me", 13, "a"), at, at + 0.1)
    return election


def test_a_free_lease_is_claimed_at_once_after_a_look() -> None:
    election = Election("me")
    assert election.step(5.0).do is Do.LOOK
    assert election.step(5.0).at < 5.0
    assert not election.leads(5.0)
    assert _elected().leads(100.2)


def test_the_right_to_write_ends_a_deadline_after_the_renewal_was_sent() -> None:
    election = _elected()
    assert election.leads(100 + TIMING.deadline - 0.001)
    assert not election.leads(100 + TIMING.deadline)
    election.held(Seen("3", "me", 13, "a"), 102.0, 107.0)
    assert election.until == 112.0


def test_it_renews_often_and_sooner_again_after_a_failure() -> None:
    election = _elected()
    assert election.step(100.2) == Step(Do.RENEW, 100 + TIMING.renew)
    election.failed(103.0)
    assert election.step(103.0) == Step(Do.RENEW, 103 + TIMING.retry)
    assert election.leads(103.0)


def test_a_lost_answer_is_found_out_by_a_look_and_then_renewed_at_once() -> None:
    election = _elected()
    election.failed(103.0)
    election.refused(103.6)  # the renewal whose answer was lost has changed the version
    assert election.step(103.6) == Step(Do.LOOK, 103.6)
    election.looked(Seen("3", "me", 13, "a"), 103.7)
    assert election.until == 110.0  # what was seen prolongs nothing
    assert election.step(103.7) == Step(Do.RENEW, 103.7)


@pytest.mark.parametrize("seen", [Seen("9", "other", 13), Seen("9", ""), Seen("", "")])
def test_whoever_sees_that_it_does_not_hold_the_lease_stops_at_once(seen: Seen) -> None:
    election = _elected()
    election.refused(101.0)
    election.looked(seen, 101.1)
    assert not election.leads(101.1)


def test_a_paused_leader_looks_before_it_writes_even_to_the_lease() -> None:
    election = _elected()
    assert not election.leads(130.0)
    assert election.step(130.0).do is Do.LOOK
    election.looked(Seen("7", "other", 13), 130.1)
    assert election.step(130.1) == Step(Do.LOOK, 130.1 + TIMING.look)


def test_a_holder_that_renews_is_left_alone_and_a_silent_one_is_replaced() -> None:
    election = Election("me")
    for second in range(60):
        election.looked(Seen(str(second), "other", 13), float(second))
        assert election.step(float(second)).do is Do.LOOK
    election.looked(Seen("59", "other", 13), 71.9)
    assert election.step(71.9) == Step(Do.LOOK, 59 + TIMING.duration)
    election.looked(Seen("59", "other", 13), 72.0)
    assert election.step(72.0) == Step(Do.CLAIM, 72.0)


def test_a_claim_rests_on_what_was_just_read() -> None:
    election = Election("me")
    election.looked(Seen("1", "other", 13), 0.0)
    assert election.step(500.0) == Step(Do.LOOK, 500.0)


def test_a_missing_lease_is_made_and_gives_no_rights_before_its_last_holder_must_have_noticed() -> None:
    election = Election("me")
    election.looked(Seen("", ""), 0.0)
    assert election.step(0.0) == Step(Do.CLAIM, 0.0)
    election.held(Seen("1", "me", 13, "new"), 0.0, 0.5)
    assert not election.leads(0.5)
    assert election.step(0.5) == Step(Do.RENEW, TIMING.renew)
    election.held(Seen("2", "me", 13, "new"), 13.4, 13.4)
    assert not election.leads(13.4)
    assert not election.resign()  # handing it back now would let the next one in at once
    election.looked(Seen("2", "me", 13, "new"), 13.4)
    election.held(Seen("3", "me", 13, "new"), 13.5, 13.5)
    assert election.leads(13.5)


def test_a_lease_that_one_made_without_hearing_of_it_gives_no_rights_either() -> None:
    election = Election("me")
    election.looked(Seen("", ""), 0.0)
    election.failed(3.0)
    election.looked(Seen("1", "me", 13, "new"), 20.0)
    election.held(Seen("2", "me", 13, "new"), 20.1, 20.2)
    assert not election.leads(20.2)


def test_a_longer_lease_of_another_version_is_honoured_within_reason() -> None:
    for said, waits in ((30.0, 30.0), (5.0, TIMING.duration), (1e9, MAX_DURATION)):
        election = Election("me")
        election.looked(Seen("1", "other", said), 0.0)
        election.looked(Seen("1", "other", said), waits - 0.1)
        assert election.step(waits - 0.1).do is Do.LOOK
        election.looked(Seen("1", "other", said), waits)
        assert election.step(waits).do is Do.CLAIM


def test_who_could_not_do_the_work_does_not_claim_it_but_keeps_it() -> None:
    election = Election("me")
    election.looked(Seen("1", "", uid="a"), 0.0)
    assert election.step(0.0, fit=False) == Step(Do.LOOK, TIMING.look)
    assert _elected().step(101.0, fit=False).do is Do.RENEW


def test_a_claim_that_was_refused_or_lost_is_followed_by_a_look_not_at_once() -> None:
    for what in (Election.refused, Election.failed):
        election = Election("me")
        election.looked(Seen("1", "", uid="a"), 0.0)
        what(election, 0.1)
        assert election.step(0.1) == Step(Do.LOOK, 0.1 + TIMING.retry)


def test_resigning_ends_the_right_first_and_says_whether_there_is_something_to_hand_back() -> None:
    election = _elected()
    assert election.resign()
    assert not election.leads(100.2)
    assert not election.resign()
    assert not Election("me").resign()
    gone = _elected()
    gone.refused(101.0)
    gone.looked(Seen("9", "other", 13), 101.0)
    assert not gone.resign()


def test_one_that_finds_its_own_name_goes_on_without_waiting() -> None:
    """An API server that was away longer than the deadline, and nobody else noticed."""
    election = _elected()
    election.failed(115.0)
    election.looked(Seen("2", "me", 13, "a"), 116.0)
    assert election.step(116.0) == Step(Do.CLAIM, 116.0)


@pytest.mark.parametrize(
    "wrong",
    [{"duration": 11.0}, {"deadline": 12.0}, {"renew": 7.5}, {"attempt": 9.0}, {"look": 0.0}, {"retry": -1.0}],
)
def test_timings_that_do_not_keep_writers_apart_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"duration|renewal"):
        Timing(**wrong)


def test_a_candidate_has_a_name() -> None:
    with pytest.raises(ValueError, match="name"):
        Election("")
