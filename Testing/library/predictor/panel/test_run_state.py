"""The state of the panel's run: what may follow what, and what is known meanwhile."""

import pytest
from CHMFLPredictorLib.child.process import Ended, Ending
from CHMFLPredictorLib.panel.state import Kind, Phase, RunState
from hypothesis import given
from hypothesis import strategies as st

PROGRESS = {"event": "progress", "stage": "read", "fraction": 0.1, "text": "Reading"}
RISK = {"event": "risk", "risk": 0.4}


def started(kind=Kind.PREDICTION):
    state = RunState()
    state.start(kind)
    return state


def test_a_run_from_start_to_end():
    state = started()
    assert state.busy and state.fraction == 0 and state.risk is None
    state.take(PROGRESS)
    state.take(RISK)
    state.take({"event": "warning", "code": "a", "text": "b"})
    assert (state.stage, state.fraction, state.risk, len(state.warnings)) == ("read", 0.1, RISK, 1)
    state.end(Ended(Ending.DONE))
    assert not state.busy and state.ending is Ending.DONE and state.fraction == 1.0
    state.start(Kind.BATCH)
    assert state.risk is None and state.ended is None and state.warnings == []


def test_after_a_cancel_events_change_nothing():
    state = started()
    state.cancel()
    state.take(RISK)
    assert state.phase is Phase.CANCELING and state.risk is None
    state.cancel()  # a second click
    assert state.phase is Phase.CANCELING
    state.end(Ended(Ending.CANCELED))
    assert state.ending is Ending.CANCELED and state.fraction == 0


@pytest.mark.parametrize("mistake", ["start", "end"])
def test_what_cannot_follow_is_refused(mistake):
    state = started()
    if mistake == "start":
        with pytest.raises(RuntimeError):
            state.start(Kind.BATCH)
    else:
        state.end(Ended(Ending.DONE))
        with pytest.raises(RuntimeError):
            state.end(Ended(Ending.DONE))
    RunState().cancel()  # without a run there is nothing to cancel


@given(st.lists(st.floats(0, 1), max_size=20))
def test_the_bar_never_falls(fractions):
    state, seen = started(), [0.0]
    for fraction in fractions:
        state.take({**PROGRESS, "fraction": fraction})
        assert state.fraction >= seen[-1]
        seen.append(state.fraction)


def test_a_batch_counts_its_patients():
    state = started(Kind.BATCH)
    assert state.overall == 0
    for number, fraction, overall in ((1, 0.5, 0.125), (1, 1.0, 0.25), (2, 0.2, 0.3), (4, 1.0, 1.0)):
        state.take({**PROGRESS, "fraction": fraction, "patient": number, "patients": 4})
        assert state.patient == (number, 4)
        assert state.overall == pytest.approx(overall)
    state.take({**RISK, "patient": 4, "patients": 4})
    assert state.risk is not None
