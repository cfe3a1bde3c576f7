"""The gates themselves: they see a slower function, they forgive noise, and they look twice."""

import time

import pytest
from perf import ratios


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_ratio_of_two_functions_is_that_of_their_work():
    found = ratios.interleaved(lambda: burn(0.012), lambda: burn(0.004), 5)
    assert sorted(found)[2] == pytest.approx(3, rel=0.1)


def test_a_function_that_is_surely_too_slow_fails_after_a_second_look(monkeypatch):
    looks = []
    monkeypatch.setattr(ratios, "interleaved", lambda slow, fast, n: looks.append(n) or [1.9] * n)
    with pytest.raises(AssertionError, match=r"1\.90x"):
        ratios.gate(None, None, 2.0, rounds=5)
    assert looks == [5, 15]


def test_noise_around_the_bar_is_reported_and_not_failed(monkeypatch):
    monkeypatch.setattr(ratios, "interleaved", lambda slow, fast, n: [1.5, 1.7, 1.9, 2.6, 2.8][:n])
    with pytest.warns(UserWarning, match=r"inconclusive: 1\.90x"):
        ratios.gate(None, None, 2.0, rounds=5)


def test_a_second_look_can_acquit(monkeypatch):
    monkeypatch.setattr(ratios, "interleaved", lambda slow, fast, n: [1.0 if n == 5 else 2.5] * n)
    ratios.gate(None, None, 2.0, rounds=5)
