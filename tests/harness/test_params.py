"""Declared parameters: what they may be is what is accepted, and nothing else."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabench.errors import UserError
from cabench.params import check, choice, count, declared, rate, weight
from cabench.spec import resolve


@dataclass(kw_only=True)
class Base:
    size: int = count(8, least=2)
    share: float = weight(0.5, most=1.0)


@dataclass(kw_only=True)
class Toy(Base):
    size: int = count(16, least=4)
    strength: float = weight(1.0)
    speed: float = rate(1e-3)
    word: str = choice("sum", "mean", "none")
    free: int = 3
    learned: int = field(init=False, default=0, metadata={"least": 1})


def accepts(**changes):
    params = {"size": 16, "share": 0.5, "strength": 1.0, "speed": 1e-3, "word": "sum"}
    try:
        check(Toy, params | changes, "toy")
    except UserError as error:
        (name,) = changes
        assert str(error).startswith(f"toy[{name}] ")
        assert str(error).endswith((".", "?"))
        return False
    return True


def test_defaults_are_what_was_declared_first():
    toy = Toy()
    assert (toy.size, toy.share, toy.strength, toy.speed, toy.word) == (16, 0.5, 1.0, 1e-3, "sum")
    check(Toy, vars(toy), "toy")


def test_declared_are_the_constructors_own_with_the_last_declaration():
    assert set(declared(Toy)) == {"size", "share", "strength", "speed", "word"}
    assert declared(Toy)["size"]["least"] == 4 and declared(Base)["size"]["least"] == 2
    assert declared(int) == {}


@given(st.integers())
def test_a_count_is_every_whole_number_from_its_least(value):
    assert accepts(size=value) == (value >= 4)


@given(st.floats())
def test_a_count_is_never_a_fraction_nor_a_float(value):
    assert not accepts(size=value)


@given(st.floats() | st.integers())
def test_a_weight_is_every_finite_number_from_0_to_its_most(value):
    finite = not isinstance(value, float) or math.isfinite(value)
    assert accepts(strength=value) == (finite and value >= 0)
    assert accepts(share=value) == (finite and 0 <= value <= 1)


@given(st.floats() | st.integers())
def test_a_rate_is_every_finite_number_above_0(value):
    finite = not isinstance(value, float) or math.isfinite(value)
    assert accepts(speed=value) == (finite and value > 0)


@given(st.text())
def test_a_choice_is_one_of_its_words(word):
    assert accepts(word=word) == (word in ("sum", "mean", "none"))


@pytest.mark.parametrize("name", ["size", "share", "strength", "speed"])
@pytest.mark.parametrize("value", [None, True, False, "1", [1], 1j, math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_no_number(name, value):
    assert not accepts(**{name: value})


@pytest.mark.parametrize("value", [None, 0, True, ["sum"], ("sum", "mean")])
def test_what_is_no_word_is_no_choice(value):
    assert not accepts(word=value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": 3}, "toy[size] must be at least 4, not 3."),
        ({"size": 4.5}, "toy[size] must be a whole number, not 4.5."),
        ({"size": "many"}, "toy[size] must be a finite number, not many."),
        ({"share": 1.5}, "toy[share] must be at most 1, not 1.5."),
        ({"strength": -1}, "toy[strength] must be at least 0, not -1."),
        ({"strength": math.inf}, "toy[strength] must be a finite number, not inf."),
        ({"speed": 0}, "toy[speed] must be above 0, not 0."),
        ({"word": "maen"}, "toy[word] cannot be 'maen'. Did you mean 'mean'?"),
        ({"word": "zzz"}, "toy[word] cannot be 'zzz'. Known: mean, none, sum."),
    ],
)
def test_the_message_says_what_the_parameter_may_be(changes, sentence):
    with pytest.raises(UserError) as error:
        check(Toy, vars(Toy()) | changes, "toy")
    assert str(error.value) == sentence


def test_planning_checks_them_before_anything_runs():
    assert resolve(Toy, [{"size": 8.0}, {"size": 9}], "toy")["size"] == 9
    with pytest.raises(UserError, match=r"toy\[size\] must be at least 4, not 0\."):
        resolve(Toy, [{"size": 0}], "toy")
