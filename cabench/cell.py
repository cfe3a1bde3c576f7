"""One cell: fit a method, measure its codes, keep what it learned, and say all that in a record."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cabench import provenance
from cabench.checkpoint import CHECKPOINT_FILE, Checkpoint
from cabench.codes import Splits
from cabench.codes_file import CODES_FILE, PREDICTIONS_FILE, kept, write_codes
from cabench.cost import fit_cost
from cabench.errors import NotWritten, UserError
from cabench.measure import look
from cabench.memory import forget_peak
from cabench.method import Context
from cabench.metrics.catalogue import FAMILIES
from cabench.metrics.evaluate import evaluate_families
from cabench.metrics.evidence import Ceilings
from cabench.model_file import MODEL_FILE, write_model
from cabench.plan import Plan
from cabench.spec import RunSpec
from cabench.store import SCHEMA_VERSION, Record
from cabench.swaps import swap_images

# (state, epoch, epochs); states: loading, preparing, ceiling, training, measuring.
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Cell:
    """What is run, and where.

    Attributes:
        spec: method, data set, seed.
        plan: the plan it belongs to.
        folder: where it keeps model, codes, predictions and checkpoint.
        device: "cpu" or "cuda".
    """

    spec: RunSpec
    plan: Plan
    folder: Path
    device: str

    @property
    def checkpoint(self) -> Checkpoint:
        """The place of an interrupted fit, which code of another day or device does not take up."""
        code = sorted(self.plan.fingerprints(self.spec).items())
        torch = provenance.static()["packages"]["torch"]
        return Checkpoint(self.folder / CHECKPOINT_FILE, repr((code, torch, self.device)))

    def method(self) -> Any:
        """Return the method, not fitted yet."""
        return self.plan.methods[self.spec.method](**self.spec.params)

    def run(self, splits: Splits, digest: str, ceilings: Ceilings, wanted: Sequence[str], tell: Tell) -> Record:
        """Return the record of the cell: done, or failed with its reason.

        Args:
            splits: its data.
            digest: of the test images.
            ceilings: the supervised scores of the data set.
            wanted: families of metrics.
            tell: is told what goes on.

        Raises:
            NotWritten: the disk is full or read-only; that says nothing about the cell.
        """
        forget_peak()  # of what this process did before
        checkpoint = self.checkpoint
        try:
            outcome = {"status": "done", "error": None} | self._measured(splits, ceilings, wanted, checkpoint, tell)
            # What a method tells of its training may be anything; better a reason now than a record that fails.
            json.dumps(outcome["training"], sort_keys=True, allow_nan=False)
        except NotWritten:
            raise
        except Exception as error:  # of the method, whatever it is: a failure is a result
            outcome = _failure(error)
        took = checkpoint.clock.read() | {"resumed": checkpoint.resumed}
        return self._head() | outcome | self._origin(data_digest=digest, **took)

    def failed(self, error: Exception | str, took: Mapping[str, Any]) -> Record:
        """Return the record of a cell that failed before its data were at hand, or with the process that ran it.

        Args:
            error: what happened.
            took: what `cabench.clock` read.
        """
        return self._head() | _failure(error) | self._origin(data_digest=None, **took, resumed=[])

    def _head(self) -> Record:
        """Return what is known of the cell before it is run."""
        label = self.plan.labels.get(self.spec.run_id)
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.spec.run_id,
            "label": label.method if label else self.spec.method,
            "dataset_label": label.dataset if label else self.spec.dataset,
            "spec": self.spec.to_json(),
            "fingerprints": self.plan.fingerprints(self.spec),
        }

    def _origin(self, **facts: Any) -> Record:
        machine = provenance.static() | {"device": self.device} | provenance.accelerator(self.device)
        return {"provenance": machine | facts}

    def _measured(
        self, splits: Splits, ceilings: Ceilings, wanted: Sequence[str], checkpoint: Checkpoint, tell: Tell
    ) -> dict[str, Any]:
        """Fit and measure; keep model, codes and predictions in the folder."""
        spec = self.spec
        method = self.method()
        context = Context(
            seed=spec.seed,
            device=self.device,
            progress=lambda epoch, epochs: tell("training", epoch, epochs),
            checkpoint=checkpoint,
        )
        tell("training", 0, 0)
        train, validation = splits.train, splits.validation
        if method.supervision != "attributes":
            train, validation = train.blind(), validation.blind()
        method.fit(train, validation, context)
        cost = fit_cost(method, splits.train, checkpoint.clock.read())
        unsaved = None
        try:
            write_model(self.folder / MODEL_FILE, method)
        except TypeError as error:  # someone's method that cannot be kept can still be measured
            unsaved = str(error)
        tell("measuring", 0, 0)
        dataset = self.plan.datasets[spec.dataset](**spec.dataset_params)
        evidence = look(method, splits, ceilings, cost=cost, swaps=lambda: swap_images(method, dataset, spec))
        write_codes(self.folder / CODES_FILE, evidence)
        (self.folder / PREDICTIONS_FILE).unlink(missing_ok=True)  # of an earlier fit
        return {
            "metrics": kept(evaluate_families(evidence, wanted), self.folder),
            "families": {name: FAMILIES[name].version for name in wanted},
            "cost": evidence.cost,
            "training": {
                "trend": getattr(method, "trend_", None),
                "history": getattr(method, "history_", []),
                "unsaved": unsaved,
            },
        }


def _failure(error: Exception | str) -> dict[str, Any]:
    """Return what a record says of a failure; a user's error needs no traceback."""
    said: dict[str, Any] = {"error": str(error)}
    if isinstance(error, Exception) and not isinstance(error, UserError):
        trace = "".join(traceback.format_exception(error))
        said = {"error": f"{type(error).__name__}: {error}", "traceback": trace}
    return {"status": "failed", "metrics": [], "families": {}, "cost": {}, "training": {}} | said
