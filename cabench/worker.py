"""Runs the cells of a plan in this process, each of them claimed, on one thread."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cabench.cell import Cell, Tell
from cabench.claim import Claim, claim, is_claimed
from cabench.clock import Clock
from cabench.codes import Splits
from cabench.errors import NotWritten, UserError, did_you_mean
from cabench.fingerprint import stale
from cabench.isolation import one_thread
from cabench.measure import measure_again, outdated
from cabench.memory import forget_peak
from cabench.metrics.catalogue import families
from cabench.metrics.evaluate import home_scores
from cabench.metrics.evidence import Ceilings
from cabench.plan import Plan, dataset_key
from cabench.spec import RunSpec
from cabench.store import Record, Store

DEVICES = ("auto", "cpu", "cuda")
# (cell, state, epoch, epochs); states: those of `cabench.cell.Tell`, done, failed, kept.
Watch = Callable[[RunSpec, str, int, int], None]


@dataclass(frozen=True)
class Options:
    """How cells are run.

    Attributes:
        root: the folder of the raw files, for real sources.
        device: one of `DEVICES`.
        metrics: families or metrics by name.
        force: whether finished cells are run again.
        retry: whether failed ones are.
        deterministic: whether a GPU uses only operations that give the same bits each time.
    """

    root: Path | None = None
    device: str = "auto"
    metrics: str = "core"
    force: bool = False
    retry: bool = False
    deterministic: bool = False


class Worker:
    """Runs cells one at a time, and keeps the data set of the last one at hand.

    Args:
        plan: what the cells belong to.
        store: where their records lie.
        options: how they are run.

    Raises:
        UserError: there is no such device or metric.
    """

    def __init__(self, plan: Plan, store: Store, options: Options) -> None:
        self._plan, self._store, self._options = plan, store, options
        self._wanted = families(options.metrics)
        self._device = chosen_device(options.device)
        self._shelf = _Shelf(plan, options.root)

    def run(self, spec: RunSpec, watch: Watch) -> Record | None:
        """Return the record of a cell, made or kept; None while another process runs it.

        Raises:
            UserError: raw files are missing, or nothing can be written.
        """
        with _same_bits(self._options.deterministic):
            record = self._kept(spec, watch)
            if record is not None:
                return record
            with claim(self._store, spec.run_id) as claimed:
                if claimed is None:
                    return None
                # Another process may have finished it in the meantime.
                return self._kept(spec, watch) or self._made(spec, claimed, watch)

    def is_settled(self, spec: RunSpec) -> bool:
        """Return whether a cell has its record, with all that is asked for."""
        record = self._store.read(spec.run_id)
        if record is None or is_due(record, self._plan, self._options):
            return False
        complete = record["status"] == "failed" or not outdated(record, self._wanted)
        return complete and record == record | _names(spec, self._plan)

    def _kept(self, spec: RunSpec, watch: Watch) -> Record | None:
        """Return the record of a cell that need not be run, measured and named as this plan asks for."""
        record = self._store.read(spec.run_id)
        if record is None or is_due(record, self._plan, self._options):
            return None
        self._tidy(spec)
        renamed = record | _names(spec, self._plan)
        if renamed != record:
            self._store.write(renamed)
        if record["status"] == "failed" or not (missing := outdated(record, self._wanted)):
            watch(spec, "kept", 0, 0)
            return renamed
        watch(spec, "measuring", 0, 0)
        classes = self._plan.methods[spec.method], self._plan.datasets[spec.dataset]
        measured = measure_again(renamed, self._store, missing, *classes)
        watch(spec, "done", 0, 0)
        return measured

    def _tidy(self, spec: RunSpec) -> None:
        """Remove the checkpoint of a process that was killed between the record and the end."""
        checkpoint = self._cell(spec).checkpoint
        if checkpoint.path.exists() and not is_claimed(self._store, spec.run_id):
            checkpoint.remove()

    def _cell(self, spec: RunSpec, shelf: str = "runs") -> Cell:
        return Cell(spec, self._plan, self._store.folder(spec.run_id, shelf), self._device)

    def _made(self, spec: RunSpec, claimed: Claim, watch: Watch) -> Record:
        cell = self._cell(spec)

        def tell(state: str, epoch: int = 0, epochs: int = 0) -> None:
            claimed.note(state, epoch, epochs)
            watch(spec, state, epoch, epochs)

        record = self._run(cell, tell)
        self._store.write(record)
        claimed.end()
        if record["status"] == "done":
            cell.checkpoint.remove()
        watch(spec, record["status"], 0, 0)
        return record

    def _run(self, cell: Cell, tell: Tell) -> Record:
        forget_peak()
        clock = Clock()
        tell("loading", 0, 0)
        try:
            splits, digest = self._shelf.take(cell.spec, tell)
        except UserError:  # the data are missing: no cell of this data set can say anything
            raise
        except Exception as error:  # of the data set, whatever it is
            return cell.failed(error, clock.read())
        try:
            cell.method().accept(splits.train)
            ceilings = self._ceilings(cell.spec, splits, digest, tell)
        except NotWritten:
            raise
        except Exception as error:  # of the method, or of the ceiling
            return cell.failed(error, clock.read())
        return cell.run(splits, digest, ceilings, self._wanted, tell)

    def _ceilings(self, spec: RunSpec, splits: Splits, digest: str, tell: Tell) -> Ceilings:
        """Return the supervised scores of the cell's data set, measured once and kept in `references/`."""
        ceiling = self._plan.ceilings.get(dataset_key(spec))
        if ceiling is None:
            return {}
        record = self._reference(ceiling)
        if record is None:
            tell("ceiling", 0, 0)
            with claim(self._store, ceiling.run_id, "references", wait=True):
                record = self._reference(ceiling)  # of the process that was waited for
                if record is None:
                    record = self._measured(ceiling, splits, digest, tell)
        return home_scores(record["metrics"])

    def _reference(self, ceiling: RunSpec) -> Record | None:
        record = self._store.read(ceiling.run_id, "references") or self._store.read(ceiling.run_id)
        today = self._plan.fingerprints(ceiling)
        return record if record and record["status"] == "done" and not stale(record, today) else None

    def _measured(self, ceiling: RunSpec, splits: Splits, digest: str, tell: Tell) -> Record:
        """Train and keep the ceiling.

        Raises:
            RuntimeError: it failed.
        """
        cell = self._cell(ceiling, "references")

        def relay(state: str, epoch: int, epochs: int) -> None:
            tell("ceiling", epoch, epochs)

        record = cell.run(splits, digest, {}, families("core"), relay)
        if record["status"] != "done":
            raise RuntimeError(f"the ceiling '{ceiling.method}' failed: {record['error']}")
        self._store.write(record, "references")
        cell.checkpoint.remove()
        return record


class _Shelf:
    """Keeps the data set at hand: the plan orders cells so that one at a time is enough."""

    def __init__(self, plan: Plan, root: Path | None) -> None:
        self._plan, self._root = plan, root
        self._key: tuple[str, str] | None = None
        self._splits: Splits | None = None
        self._digest = ""
        self._failed: dict[tuple[str, str], Exception] = {}

    def take(self, spec: RunSpec, tell: Tell) -> tuple[Splits, str]:
        """Return the splits of a cell, and the digest of its test images."""
        key = dataset_key(spec)
        if key in self._failed:
            raise self._failed[key]
        if key != self._key or self._splits is None:
            self._splits, self._key = None, None
            try:
                dataset = self._plan.datasets[spec.dataset](**spec.dataset_params)
                where = {"source": spec.source, "root": self._root, "tier": spec.tier}
                self._splits = dataset.load(**where, progress=lambda *at: tell("preparing", *at))
            except UserError:
                raise
            except Exception as error:
                self._failed[key] = error
                raise
            self._digest, self._key = self._splits.test.digest(), key
            for split in (self._splits.train, self._splits.validation, self._splits.test):
                # The next method gets the same arrays.
                for array in (split.x, split.y, split.groups, *split.labels.values()):
                    array.flags.writeable = False
        return self._splits, self._digest


def is_due(record: Record, plan: Plan, options: Options) -> bool:
    """Return whether a cell that has a record is to be run again."""
    if options.force or (record["status"] == "failed" and options.retry):
        return True
    return bool(stale(record, plan.fingerprints(RunSpec(**record["spec"]))))


def chosen_device(name: str) -> str:
    """Return "cpu" or "cuda".

    Raises:
        UserError: there is no such device here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in DEVICES:
        raise UserError(f"There is no device '{name}'.{did_you_mean(name, DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("This machine has no CUDA device that torch can use; run with --device cpu.")
    return name


def _names(spec: RunSpec, plan: Plan) -> dict[str, str]:
    """Return how this plan calls a cell: one run can be asked for in two ways."""
    label = plan.labels[spec.run_id]
    return {"label": label.method, "dataset_label": label.dataset}


@contextmanager
def _same_bits(deterministic: bool) -> Iterator[None]:
    """Compute so that a repetition gives the same numbers: two threads would sum in another order than one."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic)
    try:
        with one_thread(), warnings.catch_warnings():
            # The images are not to be written to, and no method does.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            yield
    finally:
        torch.use_deterministic_algorithms(before)
