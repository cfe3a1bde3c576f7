"""Which cases are profiled: every combination of kernels, sizes, backends, precisions and modes."""

from __future__ import annotations

from dataclasses import dataclass

from cabench.errors import UserError, did_you_mean
from cabench.profiling.cases import BACKENDS, DISTINCT, KERNELS, MODES, PRECISIONS, Case

# (backend, precision) -> the precision that it is on a GPU.
SAME = {("tiled", "default"): "exact"}


@dataclass(frozen=True)
class Suite:
    """Cases, and how long they may take.

    Attributes:
        device: "cpu" or "cuda".
        sizes: numbers of rows.
        kernels, backends, precisions, modes: names.
        dim: dimensions of each code.
        limit: seconds that one call may take; a case that needs more, judged by a smaller one, is not tried.
        total: seconds after which no case is begun, by the CPU's time on a CPU.
        budget: seconds for which a case takes turns with the reference.
        measure_peaks: whether the roofline's figures are measured first.
    """

    device: str
    sizes: tuple[int, ...] = (512, 2048)
    kernels: tuple[str, ...] = tuple(KERNELS)
    backends: tuple[str, ...] = BACKENDS
    precisions: tuple[str, ...] = PRECISIONS
    modes: tuple[str, ...] = MODES
    dim: int = 32
    limit: float = 5.0
    total: float = float("inf")
    budget: float = 0.5
    measure_peaks: bool = False

    def __post_init__(self) -> None:
        """Check every name and size.

        Raises:
            UserError: one is unknown or impossible.
        """
        for what, names, known in (
            ("kernel", self.kernels, tuple(KERNELS)),
            ("backend", self.backends, BACKENDS),
            ("precision", self.precisions, PRECISIONS),
            ("mode", self.modes, MODES),
        ):
            for name in names:
                if name not in known:
                    raise UserError(f"There is no {what} '{name}'.{did_you_mean(name, known)}")
        for n in self.sizes:
            if n < 2 or (n > DISTINCT and n % DISTINCT):
                raise UserError(f"A size is 2 to {DISTINCT} rows or a multiple of {DISTINCT}, not {n}.")

    def cases(self) -> list[Case]:
        """Return all cases: small sizes first, and the reference before what is compared with it."""
        return [
            Case(kernel, n, backend, precision, mode)
            for n in sorted(self.sizes)
            for kernel in self.kernels
            for mode in self.modes
            for backend in sorted(self.backends, key=BACKENDS.index)
            for precision in self._precisions(kernel, backend)
        ]

    def _precisions(self, kernel: str, backend: str) -> tuple[str, ...]:
        """Return those that differ: the others compute in float32 throughout, which is "exact"."""
        cares = self.device == "cuda" and backend in ("tiled", "triton") and KERNELS[kernel].rounded
        if not cares:
            return ("exact",)
        return tuple(dict.fromkeys(SAME.get((backend, precision), precision) for precision in self.precisions))


SUITES = {
    # Three to four minutes on two cores.
    "cpu": Suite(
        "cpu",
        sizes=(128, 512, 2048),
        backends=("reference", "tiled", "compiled"),
        limit=3.0,
        total=170.0,
        budget=0.3,
        measure_peaks=True,
    ),
    # At most about six minutes on one H200: the last case that is begun takes some seconds.
    "gpu": Suite(
        "cuda",
        sizes=(512, 8192, 32768, 131072, 1048576),
        backends=("reference", "tiled", "compiled", "triton"),
        limit=2.5,
        total=360.0,
        budget=0.2,
    ),
}
