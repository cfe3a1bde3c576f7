"""A step's work on a GPU, recorded as a CUDA graph and replayed: one launch in place of a thousand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Calls that run as they are before one is recorded: kernels are compiled in them and libraries set themselves up.
WARM_UP = 3

Step = Callable[[list[Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Recording:
    """What a replay reads and writes, in memory of its own.

    Attributes:
        graph: the work.
        inputs: of the step.
        outputs: of the step.
        gradients: of the parameters, in their order; None for one that the step does not reach.
    """

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: dict[str, Tensor]
    gradients: list[Tensor | None]


class Replayed:
    """A step that computes gradients, recorded for each shape of its inputs that comes back.

    Args:
        step: from tensors on a GPU to named tensors; sets the gradients of the parameters, which are None before.
            It asks the device for nothing, and depends on nothing but its inputs, the parameters and buffers of
            networks, and the generators.
        parameters: those that get gradients.
        generators: on that GPU, from which the step draws; each replay draws on.
    """

    def __init__(
        self, step: Step, parameters: Iterable[nn.Parameter], generators: Iterable[torch.Generator]
    ) -> None:
        self._step, self._parameters, self._generators = step, list(parameters), list(generators)
        self._calls: Counter[tuple[torch.Size, ...]] = Counter()
        self._recordings: dict[tuple[torch.Size, ...], Recording] = {}
        # Whatever a graph records runs on one stream that is not the default one.
        self._stream = torch.cuda.Stream()
        # Of all recordings: what one of them leaves behind is used up before another is replayed.
        self._memory = torch.cuda.graph_pool_handle()

    def __call__(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        """Return what the step returns, valid until the next call; the parameters have their gradients."""
        shapes = tuple(x.shape for x in inputs)
        self._calls[shapes] += 1
        if self._calls[shapes] <= WARM_UP:
            return self._aside(inputs)
        if shapes not in self._recordings:
            self._recordings[shapes] = self._record(inputs)
        recording = self._recordings[shapes]
        for own, given in zip(recording.inputs, inputs, strict=True):
            own.copy_(given)
        recording.graph.replay()
        for parameter, gradient in zip(self._parameters, recording.gradients, strict=True):
            parameter.grad = gradient
        return recording.outputs

    def _aside(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        """Take the step on the stream of the recordings."""
        main = torch.cuda.current_stream()
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            outputs = self._step(inputs)
        main.wait_stream(self._stream)
        return outputs

    def _record(self, inputs: list[Tensor]) -> Recording:
        graph, own = torch.cuda.CUDAGraph(), [x.clone() for x in inputs]
        for generator in self._generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self._memory, stream=self._stream):
            outputs = self._step(own)
        return Recording(graph, own, outputs, [parameter.grad for parameter in self._parameters])
