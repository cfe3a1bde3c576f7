"""A recorded step: what it promises of its calls, with a stand-in for CUDA's graphs, and the real ones on a GPU."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn

from cabench import replay
from cabench.replay import WARM_UP, Replayed

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


class Graph:
    """Stands in for a CUDA graph: counts the replays, and does then what a test says."""

    def __init__(self):
        self.generators, self.replays, self.again = [], 0, lambda: None

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def replay(self):
        self.replays += 1
        self.again()


@pytest.fixture
def graphs(monkeypatch):
    """Return the stand-ins that have been recorded."""
    made = []

    @contextmanager
    def recording(graph, pool, stream):
        made.append(graph)
        yield

    class Stream:
        def wait_stream(self, other):
            pass

    monkeypatch.setattr(replay.torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(replay.torch.cuda, "graph", recording)
    monkeypatch.setattr(replay.torch.cuda, "Stream", Stream)
    monkeypatch.setattr(replay.torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(replay.torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(replay.torch.cuda, "graph_pool_handle", lambda: None)
    return made


def counted(calls):
    """Return a parameter, and a step that scales it and notes the inputs it was called with."""
    parameter = nn.Parameter(torch.ones(2))

    def step(inputs):
        calls.append([x.clone() for x in inputs])
        loss = (parameter * inputs[0].sum()).sum()
        loss.backward()
        return {"loss": loss.detach()}

    return parameter, step


def test_a_shape_runs_as_it_is_before_it_is_recorded_once(graphs):
    calls = []
    parameter, step = counted(calls)
    generator = torch.Generator()
    replayed = Replayed(step, [parameter], [generator])
    for repeat in range(WARM_UP + 3):
        for n in (2, 3):
            parameter.grad = None
            replayed([torch.full((n,), float(repeat))])
        assert len(graphs) == (0 if repeat < WARM_UP else 2)
    assert [graph.generators for graph in graphs] == [[generator]] * 2
    assert [graph.replays for graph in graphs] == [3, 3]
    # The step itself is called while it warms up and once while it is recorded.
    assert [len(call[0]) for call in calls] == [2, 3] * (WARM_UP + 1)


def test_a_replay_reads_its_inputs_and_gives_the_gradients_of_the_recording(graphs):
    parameter, step = counted([])
    replayed = Replayed(step, [parameter, nn.Parameter(torch.ones(1))], [])
    for _ in range(WARM_UP + 1):
        parameter.grad = None
        replayed([torch.ones(2)])
    (recording,) = replayed._recordings.values()
    recorded = parameter.grad

    def again():
        recorded.fill_(recording.inputs[0].sum())
        recording.outputs["loss"].fill_(7)

    graphs[0].again = again
    parameter.grad = None
    told = replayed([torch.tensor([3.0, 4.0])])
    assert parameter.grad is recorded and recorded.tolist() == [7, 7]
    assert told["loss"].item() == 7
    assert recording.gradients[1] is None


@gpu
def test_replays_are_the_step_with_fresh_draws_and_inputs():
    results = []
    for recorded in (False, True):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)).cuda()
        adam = torch.optim.Adam(network.parameters(), 1e-2, fused=True)
        generator = torch.Generator("cuda").manual_seed(1)

        def step(inputs, network=network, generator=generator):
            noise = torch.randn(len(inputs[0]), 8, generator=generator, device="cuda")
            loss = network(inputs[0] + noise).square().mean()
            loss.backward()
            return {"loss": loss.detach()}

        compute = Replayed(step, network.parameters(), [generator]) if recorded else step
        rows = torch.randn(12, 16, 8, generator=torch.Generator().manual_seed(2)).cuda()
        losses = []
        for i in range(12):
            adam.zero_grad()
            losses.append(compute([rows[i][: 16 - i % 2]])["loss"].item())
            adam.step()
        results.append((losses, network.state_dict()))
    (plain, plain_state), (replayed, replayed_state) = results
    assert replayed == pytest.approx(plain, rel=1e-5)
    assert len(set(plain)) == 12
    for name, value in plain_state.items():
        torch.testing.assert_close(replayed_state[name], value, rtol=1e-4, atol=1e-5)
