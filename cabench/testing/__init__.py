"""The rules that every method keeps, for the author of a new one: `check_method`; and the tiny images it uses."""

from __future__ import annotations

from typing import Any

import torch

from cabench.method import Method
from cabench.testing.images import tiny_split
from cabench.testing.rules import RULES
from cabench.testing.subject import SMALL, Broken, Subject
from cabench.testing.world import undone

__all__ = ["RULES", "SMALL", "check_method", "tiny_split"]


def check_method(cls: type[Method], **params: Any) -> None:
    """Check what `cabench.method` asks of a method, on tiny images, in a few seconds.

    - card: name, title, paper, kind and supervision are plain strings in the class body, read without an import.
    - settings: each tier's table names parameters and values that the constructor takes.
    - parameters: defaults make a method; every parameter is declared with `cabench.params`, is stored under its
      name, and changes the codes: each other word of a choice, and another number, if need be together with other
      words of the other choices. Only `backbone` and `track` may refuse tiny images, by a UserError.
    - shapes: the codes of colour and grey images and volumes, not square, are finite float32 (n, d).
    - inputs: images, groups and labels stay as they were.
    - deterministic: embedding twice gives the same codes.
    - alone: the code of an image depends neither on the images embedded with it nor on their order and number.
    - seed: the same seed gives the same fit, wherever the global generators stand.
    - trace: a fit changes no global state (generators, threads, modes, environment, signals, warnings, files).
    - silence: a fit prints and warns nothing.
    - refit: a second fit forgets the first.
    - labels: without `supervision = "attributes"`, labels change nothing.
    - group: with `supervision = "none"`, the groups change nothing.
    - one_group: without a group it trains, or raises a UserError that names background and target.
    - saved: a fresh instance gives the same codes after `cabench.model_file`.
    - resumed: a fit that is interrupted after an epoch, and goes on from its checkpoint, gives the same codes.
    - images: what `decode` and `swap` return, where there are any, is float32 of the size seen, in [0, 1].
    - cuda: the same on a GPU, from replayed steps too; left out without one.

    Args:
        cls: the class of the method.
        params: parameters that differ from its defaults; those named in `SMALL` are small unless given here.

    Raises:
        AssertionError: a rule is broken; it starts with the rule's name.

    """
    subject = Subject(cls, params)
    for name, rule in RULES:
        with undone():
            torch.set_num_threads(1)  # the networks are too small for more
            try:
                rule(subject)
            except Broken as broken:
                raise AssertionError(f"{name}: {broken}") from broken.__cause__
            except Exception as error:
                raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
