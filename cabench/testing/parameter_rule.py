"""The rule that every parameter changes something."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from cabench.codes import Codes
from cabench.errors import UserError
from cabench.method import Context
from cabench.params import declared
from cabench.testing.images import tiny_split
from cabench.testing.subject import Broken, Subject, same_codes

FEW = 16  # images of a fit that only has to differ from another

# Other words of these may be too much for tiny images; and no other parameter waits for a large backbone.
LIMITED = ("backbone", "track")

ONE_STEP = {"epochs": 1, "batch_size": 4}

# A word may make no difference by chance: a term that is cut off at 0 and never negative.
SEEDS = (0, 1, 2, 3)


def every_parameter_counts(subject: Subject) -> None:
    """Break the rule for the first parameter that changes no code."""
    fits = _Fits(subject)
    for name in subject.defaults:
        may = declared(subject.cls)[name]
        if "choices" not in may:
            fits.must_differ(name, _other_numbers(may, fits.base[name]))
        for word in may.get("choices", ()):
            if word != fits.base[name]:
                fits.must_differ(name, [word])


def _other_numbers(may: Mapping[str, Any], value: Any) -> list[Any]:
    """Return numbers that the declaration of a parameter allows, other than its value."""
    if "above" in may:
        return [2 * value]
    if isinstance(value, int):
        # A number of components only matters below the number of images.
        numbers = dict.fromkeys([value + 1, value // 2, FEW - 2, may["least"]])
        others: list[Any] = [number for number in numbers if number >= may["least"]]
    else:
        others = [0.0, min(2 * value + 1, may["most"])]
    return [number for number in others if number != value]


class _Fits:
    """Codes of a method with other parameters, each fitted once."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._codes: dict[str, Codes | UserError] = {}
        self.base = {**subject.defaults, **subject.params}
        choices = {
            name: [self.base[name], *(word for word in may["choices"] if word != self.base[name])]
            for name, may in declared(subject.cls).items()
            if "choices" in may and name in self.base and name != "backbone"
        }
        # Few changes first, and a method's own choices, which vary fastest, before those that it inherits.
        names = list(choices)
        every = [dict(zip(names, words, strict=True)) for words in itertools.product(*(choices[n] for n in names))]
        self._attempts = sorted(
            itertools.product(every, SEEDS),
            key=lambda attempt: attempt[1] + sum(word != self.base[name] for name, word in attempt[0].items()),
        )

    def must_differ(self, name: str, others: list[Any]) -> None:
        """Break the rule unless a parameter with one of the other values changes the codes somewhere."""
        refusals = set()
        for words, seed in self._attempts:
            if words.get(name, self.base[name]) != self.base[name]:
                continue
            for other in others:
                codes, changed = (
                    self._fit(words | {name: value}, seed, name in LIMITED) for value in (self.base[name], other)
                )
                if isinstance(changed, UserError):
                    refusals.add(str(changed))
                elif isinstance(codes, Codes) and not same_codes(codes, changed):
                    return
        if not (refusals and name in LIMITED):
            tried = " or ".join(map(repr, others))
            raise Broken(f"'{name}' = {tried} changes nothing. {' '.join(sorted(refusals))}".strip())

    def _fit(self, changes: dict[str, Any], seed: int, one_step: bool) -> Codes | UserError:
        if one_step:
            changes = changes | {name: value for name, value in ONE_STEP.items() if name in self.base}
        changes = {name: value for name, value in changes.items() if value != self.base[name]}
        key = f"{seed} {sorted(changes.items())}"
        if key not in self._codes:
            train = self._subject.seen(tiny_split(n=ONE_STEP["batch_size"] if one_step else FEW))
            try:
                self._codes[key] = self._subject.make(**changes).fit(train, None, Context(seed)).embed(train.x)
            except UserError as error:
                self._codes[key] = error
            except Exception as error:
                raise Broken(f"with {changes}: {type(error).__name__}: {error}") from error
        return self._codes[key]
