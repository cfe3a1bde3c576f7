"""A study: a run repeated while one parameter varies, described by a YAML file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cabench.codes import SPACES, TARGET
from cabench.errors import UserError, did_you_mean
from cabench.metrics.catalogue import METRICS, families
from cabench.plan import Label, Plan, make_plan
from cabench.spec import RunSpec

OWNERS = ("methods", "datasets")


@dataclass(frozen=True)
class Study:
    """What a study file says; the words are those of `cabench run`.

    Attributes:
        title: of the figure.
        vary: "methods" or "datasets" -> parameter -> its values. One parameter varies.
        show: what the figure shows, one panel each: metrics of a cell ("leak"), probes ("digit salient") or both.
        axis: what the parameter is, for the figure; its name if empty.
        methods, datasets, seeds, tier, source, metrics: as for `cabench run`.
    """

    title: str
    vary: dict[str, dict[str, list[Any]]]
    show: list[str]
    axis: str = ""
    methods: str = "all"
    datasets: str = "all"
    seeds: str = "0"
    tier: str = "quick"
    source: str = "synthetic"
    metrics: str = "core"

    @property
    def owner(self) -> str:
        """Whose parameter varies: "methods" or "datasets"."""
        return next(iter(self.vary))

    @property
    def parameter(self) -> str:
        """The parameter that varies."""
        return next(iter(self.vary[self.owner]))

    @property
    def values(self) -> list[Any]:
        """What it is set to, in turn."""
        return self.vary[self.owner][self.parameter]


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        UserError: it is missing, no YAML, or says something that a study cannot say.
    """
    import yaml

    if path.stem == "leaderboard":
        raise UserError(f"The study {path} would be written over the leaderboard; give its file another name.")
    try:
        text = path.read_text(encoding="utf-8")
        # A few lines of aliases can stand for more text than fits into memory.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise UserError(f"The study {path} repeats a value with *; write it out.")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The study {path} cannot be read ({error}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"The study {path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise UserError(f"The study {path} must hold keys and values, such as title: ....")
    known = [field.name for field in fields(Study)]
    for key in content:
        if key not in known:
            raise UserError(f"The study {path} has an unknown key '{key}'.{did_you_mean(str(key), known)}")
    for key in ("title", "vary", "show"):
        if key not in content:
            raise UserError(f"The study {path} lacks '{key}'; studies in results/studies/ show how one looks.")
    words = {key: value for key, value in content.items() if key not in ("vary", "show")}
    for key, value in words.items():
        if not isinstance(value, str | int | float):
            raise UserError(f"The study {path}: {key} must be one text, written as for `cabench run`.")
    _check_vary(path, content["vary"])
    if not isinstance(content["show"], list) or not content["show"]:
        raise UserError(f"The study {path}: show must list metrics, or factors with a space, such as [info, leak].")
    texts = {key: str(value) for key, value in words.items()}
    return Study(**texts, vary=content["vary"], show=[str(item) for item in content["show"]])


def study_plan(study: Study, plugins: Iterable[Path] = ()) -> Plan:
    """Return the plan of all its cells, those of one value after those of another.

    Raises:
        UserError: a name is unknown, or a method or data set lacks the parameter.
    """
    plugins = list(plugins)
    families(study.metrics)
    plans = []
    base = make_plan(study.methods, study.datasets, study.seeds, study.tier, study.source, (), plugins)
    _check_settings(base)
    for value in study.values:
        names = base.methods if study.owner == "methods" else base.datasets
        chosen = {cell.method if study.owner == "methods" else cell.dataset for cell in base.cells}
        overrides = [f"{name}.{study.parameter}={value}" for name in names if name in chosen]
        plan = make_plan(study.methods, study.datasets, study.seeds, study.tier, study.source, overrides, plugins)
        _check_show(study, plan)
        plans.append(plan)
    return _joined(plans)


def _check_settings(plan: Plan) -> None:
    """Refuse two settings of one name: beside the value that varies they would pass for seeds of one."""
    settings: dict[tuple[str, str], RunSpec] = {}
    for cell in plan.cells:
        first = settings.setdefault((cell.method, cell.dataset), cell)
        if (first.params, first.dataset_params) != (cell.params, cell.dataset_params):
            name = cell.method if first.params != cell.params else cell.dataset
            raise UserError(f"The study names '{name}' with two settings; give each a study of its own.")


def _check_show(study: Study, plan: Plan) -> None:
    measured = families(study.metrics)
    classes: list[Any] = list(plan.datasets.values())
    factors = {factor.name for cls in classes for factor in (*cls.factors, TARGET)}
    probes = [f"{factor} {space}" for factor in sorted(factors) for space in SPACES]
    for item in study.show:
        if item not in METRICS and item not in probes:
            known = (*METRICS, *probes)
            raise UserError(f"The study shows '{item}', which nothing measures.{did_you_mean(item, known)}")
        if item in METRICS and METRICS[item].per_factor:
            raise UserError(
                f"The study shows '{item}', of which each factor has its own; show a factor and a code, as in "
                f"'{probes[0]}', or a metric of the whole cell, as in 'leak'."
            )
        needed = item if item in METRICS else "probe"
        if not set(families(needed)) <= set(measured):
            raise UserError(
                f"The study shows '{item}' and does not measure it; add it, as in metrics: core,{needed}."
            )


def _joined(plans: list[Plan]) -> Plan:
    cells = {cell.run_id: cell for plan in plans for cell in plan.cells}
    ceilings = {key: spec for plan in plans for key, spec in plan.ceilings.items()}
    labels: dict[str, Label] = {name: label for plan in plans for name, label in plan.labels.items()}
    first = plans[0]
    return Plan(list(cells.values()), ceilings, first.methods, first.datasets, first.broken, labels, first.files)


def _check_vary(path: Path, vary: Any) -> None:
    if not isinstance(vary, dict) or len(vary) != 1:
        raise UserError(f"The study {path}: vary must name methods or datasets, and below it one parameter.")
    owner, parameters = next(iter(vary.items()))
    if owner not in OWNERS:
        raise UserError(f"The study {path} cannot vary '{owner}'.{did_you_mean(str(owner), OWNERS)}")
    if not isinstance(parameters, dict) or len(parameters) != 1:
        raise UserError(f"The study {path}: below {owner} stands one parameter with a list of values.")
    name, values = next(iter(parameters.items()))
    if not isinstance(values, list) or not values:
        raise UserError(f"The study {path}: {name} needs a list of values, such as [0, 0.1].")
