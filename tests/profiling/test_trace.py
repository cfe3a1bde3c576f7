"""The trace of a training step names its phases, and their times add up."""

import json
from types import SimpleNamespace

import pytest

from cabench.api import load_dataset, load_method
from cabench.errors import UserError
from cabench.profiling.trace import PHASES, STEPS, phases, trace


def test_the_trace_of_a_step_names_every_phase(tmp_path):
    file = tmp_path / "trace.json"
    method = load_method("sepclr", "smoke", "cifar_mnist")
    train = load_dataset("cifar_mnist", tier="smoke").train.blind()
    steps = min(STEPS, len(train) // method.batch_size)
    found = trace(method, train, "cpu", file)
    assert [phase.name for phase in found] == [*PHASES, "rest"]
    assert all(phase.ms > 0 and phase.device_ms == 0 for phase in found)
    events = json.loads(file.read_text())["traceEvents"]
    named = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    # Two views, and two encoders with a head for each of them.
    times = {"augmentation": 2, "encoders": 8, "losses": 1, "backward": 1, "optimiser": 1}
    assert {name: named.count(name) for name in PHASES} == {name: steps * k for name, k in times.items()}


def test_what_lies_within_the_losses_counts_once():
    def event(key, cpu, gpu=0.0):
        return SimpleNamespace(key=key, cpu_time_total=cpu, device_time_total=gpu)

    events = [
        event("augmentation", 2000),
        event("encoders", 6000, 4000),
        event("losses", 10000, 5000),
        event("backward", 8000),
        event("optimiser", 1000),
        event("aten::mm", 3000),
        event("ProfilerStep#2", 20000, 6000),
    ]
    found = {phase.name: (phase.ms, phase.device_ms) for phase in phases(events, 2)}
    assert found["losses"] == (1.0, 0.5)
    assert found["rest"] == (0.5, 0.5)
    assert sum(ms for ms, _ in found.values()) == pytest.approx(10.0)


def test_a_method_without_steps_is_refused(tmp_path):
    with pytest.raises(UserError, match="'pca' is not trained by steps"):
        trace(load_method("pca"), load_dataset("cifar_mnist", tier="smoke").train, "cpu", tmp_path / "trace.json")
