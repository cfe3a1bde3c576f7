"""Turns what the user asked for into a list of RunSpecs, ordered so that each data set is loaded once."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cabench import registry
from cabench.dataset import BASED_ON, SOURCES, TIERS
from cabench.errors import UserError, did_you_mean
from cabench.fingerprint import fingerprints
from cabench.spec import RunSpec, resolve, signature_defaults

MOST_SEEDS = 10_000
_ITEM = re.compile(r"^\s*(?P<name>[\w+-]+)\s*(?:\[(?P<params>.*)\])?\s*$")


class Label(NamedTuple):
    """A method and a data set as tables name them."""

    method: str
    dataset: str


@dataclass(frozen=True)
class Plan:
    """The cells to run and the plugins that they need.

    Attributes:
        cells: one RunSpec per cell, those of one data set together.
        ceilings: data set cell key -> the cell that measures its supervised ceiling.
        methods, datasets: name -> class.
        broken: plugins that were asked for through `all` and cannot be used, with the reason.
        labels: run id -> method and data set as tables name them, with the parameters that the user set.
        files: plugin files that the user named.

    """

    cells: list[RunSpec]
    ceilings: dict[tuple[str, str], RunSpec]
    methods: Mapping[str, type]
    datasets: Mapping[str, type]
    broken: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Label] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process by names: a class of a file of the user's is no importable one."""
        names = (tuple(self.methods), tuple(self.datasets))
        return _found, (self.cells, self.ceilings, *names, self.broken, self.labels, self.files)

    def fingerprints(self, spec: RunSpec) -> dict[str, str]:
        """Return the fingerprints of the plugins of a cell of this plan, by kind."""
        return fingerprints(spec.tier, method=self.methods[spec.method], dataset=self.datasets[spec.dataset])


def make_plan(
    methods: str,
    datasets: str,
    seeds: str = "0",
    tier: str = "quick",
    source: str = "synthetic",
    overrides: Iterable[str] = (),
    plugins: Iterable[Path] = (),
) -> Plan:
    """Parse the user's words; see `cabench run --help` for their grammar.

    Raises:
        UserError: something is unknown or malformed.

    """
    for word, known, what in ((tier, TIERS, "tier"), (source, SOURCES, "source")):
        if word not in known:
            raise UserError(f"There is no {what} '{word}'.{did_you_mean(word, known)}")
    seed_list = parse_seeds(seeds)
    plugins = list(plugins)
    broken: dict[str, str] = {}
    chosen = {
        "method": _choose("method", methods, plugins, broken),
        "dataset": _choose("dataset", datasets, plugins, broken),
    }
    classes = {kind: {name: cls for name, cls, _ in items} for kind, items in chosen.items()}
    ceiling_plugin = _ceiling(plugins)
    ceiling = ceiling_plugin.load() if ceiling_plugin else None
    per_method, per_dataset = _overrides(overrides, classes)

    cells: list[RunSpec] = []
    labels: dict[str, Label] = {}
    ceilings: dict[tuple[str, str], RunSpec] = {}
    for dataset, dataset_cls, dataset_user in chosen["dataset"]:
        data_user = {**dataset_user, **per_dataset.get(dataset, {})}
        data_params = resolve(dataset_cls, [data_user], dataset)
        dataset_cls(**data_params)  # its constructor checks them: better now than after other cells

        dataset_label = _label(dataset, data_params, resolve(dataset_cls, [], dataset), data_user)

        def spec(
            method: str,
            cls: Any,
            user: Mapping[str, Any],
            seed: int,
            dataset: str = dataset,
            data: Any = data_params,
        ) -> RunSpec:
            layers = [*tier_settings(cls, tier, dataset), user]
            return RunSpec(method, resolve(cls, layers, method), dataset, data, source, tier, seed)

        for method, cls, user in chosen["method"]:
            merged = {**user, **per_method.get(method, {})}
            for seed in seed_list:
                cell = spec(method, cls, merged, seed)
                cells.append(cell)
                own = resolve(cls, tier_settings(cls, tier, dataset), method)
                labels[cell.run_id] = Label(_label(method, cell.params, own, merged), dataset_label)
        if ceiling_plugin is not None:
            ceilings[dataset_key(cells[-1])] = spec(ceiling_plugin.name, ceiling, {}, 0)
    all_methods = dict(classes["method"])
    if ceiling_plugin is not None:
        all_methods[ceiling_plugin.name] = ceiling
    cells = list({cell.run_id: cell for cell in cells}.values())
    return Plan(cells, ceilings, all_methods, classes["dataset"], broken, labels, tuple(plugins))


def _found(
    cells: list[RunSpec],
    ceilings: dict[tuple[str, str], RunSpec],
    methods: Iterable[str],
    datasets: Iterable[str],
    broken: Mapping[str, str],
    labels: Mapping[str, Label],
    files: tuple[Path, ...],
) -> Plan:
    """Return a plan whose classes are found by their names."""
    known_methods, known_datasets = registry.find("method", files), registry.find("dataset", files)
    return Plan(
        cells,
        ceilings,
        {name: known_methods[name].load() for name in methods},
        {name: known_datasets[name].load() for name in datasets},
        broken,
        labels,
        files,
    )


def dataset_key(spec: RunSpec) -> tuple[str, str]:
    """Return what tells one loaded data set from another within a plan."""
    return spec.dataset, repr(sorted(spec.dataset_params.items()))


def _label(name: str, params: Mapping[str, Any], own: Mapping[str, Any], user: Mapping[str, Any]) -> str:
    """Return a name with what the user changed; a value that is the tier's own anyway is no change."""
    changed = ",".join(f"{k}={v}" for k, v in sorted(user.items()) if params[k] != own[k])
    return f"{name}[{changed}]" if changed else name


def tier_settings(cls: Any, tier: str, dataset: str) -> list[Mapping[str, Any]]:
    """Return a method's settings for a tier: those of every data set, then those of this one.

    Before them stand the settings of the tier on which this one is based.
    """
    layers = []
    for name in (BASED_ON.get(tier), tier):
        table = cls.settings.get(name, {})
        layers += [table.get("*", {}), table.get(dataset, {})]
    return layers


def parse_seeds(text: str) -> list[int]:
    """Read "0,1" or "0:5".

    >>> parse_seeds("0:3")
    [0, 1, 2]
    """
    try:
        if ":" in text:
            start, stop = text.split(":")
            seeds: Sequence[int] = range(int(start), int(stop))
        else:
            seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds[:MOST_SEEDS]) < 0:
        raise UserError(f"Seeds are written 0,1,2 or 0:5 (0 to 4), not '{text}'.")
    if seeds[MOST_SEEDS:]:
        raise UserError(f"'{text}' are more than {MOST_SEEDS} seeds; name fewer.")
    return list(seeds)


def parse_list(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Read "a,b[x=1,y=cos]" into names with parameters.

    >>> parse_list("sepclr[salient_dim=16],cvae")
    [('sepclr', {'salient_dim': 16}), ('cvae', {})]
    """
    items = []
    for part in split_list(text):
        match = _ITEM.match(part)
        if not match:
            raise UserError(f"'{part}' is not of the form name or name[param=value].")
        params = dict(_assignment(p) for p in split_list(match["params"])) if match["params"] else {}
        items.append((match["name"], params))
    if not items:
        raise UserError("The list of names is empty; give names or 'all'.")
    return items


def split_list(text: str) -> list[str]:
    """Split at the commas that stand outside brackets.

    Raises:
        UserError: the brackets do not match.

    >>> split_list("pca, sepclr[mi_term=none,mi_rows=all]")
    ['pca', 'sepclr[mi_term=none,mi_rows=all]']
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UserError(f"The brackets of '{text}' do not match.")
    return [part.strip() for part in parts if part.strip()]


def _assignment(text: str) -> tuple[str, Any]:
    if not text.isascii() and text.encode(errors="replace").decode() != text:
        raise UserError(f"{text!r} holds a byte that is no text; write it in UTF-8.")
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise UserError(f"'{text}' is not of the form param=value.")
    try:
        literal = ast.literal_eval(value.strip())
        json.dumps(literal)  # a set or bytes could not be written into a record
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return name.strip(), value.strip()
    return name.strip(), literal


def _choose(
    kind: registry.Kind, text: str, plugins: list[Path], broken: dict[str, str]
) -> list[tuple[str, Any, dict[str, Any]]]:
    known = registry.find(kind, plugins)
    chosen: list[tuple[str, Any, dict[str, Any]]] = []
    for name, params in parse_list(text):
        if name != "all":
            chosen.append((name, registry.get(kind, name, plugins).load(), params))
            continue
        for plugin in known.values():
            try:
                chosen.append((plugin.name, plugin.load(), params))
            except UserError as error:
                broken[plugin.name] = str(error)
    if not chosen:
        raise UserError(f"No {kind} is left to run: {'; '.join(broken.values())}")
    return chosen


def _ceiling(plugins: list[Path]) -> registry.Plugin | None:
    """Find the method that declares itself the supervised ceiling."""
    methods = registry.find("method", plugins).values()
    return next((plugin for plugin in methods if plugin.card.get("role") == "ceiling"), None)


def _overrides(
    texts: Iterable[str], classes: Mapping[str, Mapping[str, type]]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Read --set: NAME.PARAM=VALUE for one plugin, PARAM=VALUE for every method that has it."""
    per_method: dict[str, dict[str, Any]] = {}
    per_dataset: dict[str, dict[str, Any]] = {}
    for text in texts:
        key, value = _assignment(text)
        owner, dot, param = key.rpartition(".")
        if not dot:
            owners = [name for name, cls in classes["method"].items() if param in signature_defaults(cls)]
            if not owners:
                known = {p for cls in classes["method"].values() for p in signature_defaults(cls)}
                raise UserError(f"No chosen method has a parameter '{param}'.{did_you_mean(param, known)}")
            for name in owners:
                per_method.setdefault(name, {})[param] = value
        elif owner in classes["method"]:
            per_method.setdefault(owner, {})[param] = value
        elif owner in classes["dataset"]:
            per_dataset.setdefault(owner, {})[param] = value
        else:
            plugins = [*classes["method"], *classes["dataset"]]
            raise UserError(f"--set names '{owner}', which is not part of this run.{did_you_mean(owner, plugins)}")
    return per_method, per_dataset
