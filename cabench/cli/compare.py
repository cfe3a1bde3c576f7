"""`cabench compare`: a results folder against a baseline, for CI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cabench.compare.baseline import Kind

OUTPUT = click.Path(path_type=Path, dir_okay=False)
CHECKED = ("fail_on", "slowdown", "markdown", "junit")


@click.command("compare")
@click.argument("baseline", type=click.Path(path_type=Path))
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The folder."
)
@click.option(
    "--fail-on",
    "fail_on",
    multiple=True,
    default=["CAscore:-0.05"],
    show_default=True,
    help="METRIC:LOSS that must not pass, such as leak:+0.05; may be repeated.",
)
@click.option("--speed", is_flag=True, help="Compare CPU time instead; advice on shared machines.")
@click.option("--slowdown", default=1.5, show_default=True, help="How many times slower fails (--speed).")
@click.option("--markdown", type=OUTPUT, help="Write the table there rather than to the screen.")
@click.option("--junit", type=OUTPUT, help="Write JUnit XML there.")
@click.option("--update", is_flag=True, help="Make the results the new baseline.")
@click.option("--reason", default="", help="Why; it is kept in the baseline.")
@click.pass_context
def command(
    context: click.Context,
    baseline: Path,
    results: Path,
    fail_on: tuple[str, ...],
    speed: bool,
    slowdown: float,
    markdown: Path | None,
    junit: Path | None,
    update: bool,
    reason: str,
) -> None:
    """Say for every cell of BASELINE whether the results are worse, better or the same.

    Exit code 0: nothing is worse; 1: something is worse or missing; 2: something to mend in the command.
    """
    from cabench.compare.baseline import read_baseline, read_results
    from cabench.compare.rules import parse_rule, speed_rule
    from cabench.compare.show import failed, sentence, to_junit, to_markdown
    from cabench.compare.verdicts import compare
    from cabench.store import Store, write_text

    _check(context, speed, update, reason)
    kind: Kind = "speed" if speed else "scores"
    if update:
        _update(baseline, results, kind, reason)
        return
    rules = [speed_rule(slowdown)] if speed else [parse_rule(text) for text in fail_on]
    then, now = read_baseline(baseline, kind), read_results(Store(results), kind)
    compared = compare(then, now, rules)
    page = to_markdown(compared, then, now)
    if markdown:
        write_text(markdown, page)
        click.echo(f"{sentence(compared)}. Written: {markdown}")
    else:
        click.echo(page)
    if junit:
        write_text(junit, to_junit(compared))
    if failed(compared):
        sys.exit(1)


def _update(baseline: Path, results: Path, kind: Kind, reason: str) -> None:
    from cabench.compare.baseline import read_results, write_baseline
    from cabench.store import Store

    scores = read_results(Store(results), kind)
    write_baseline(baseline, kind, scores, reason)
    click.echo(f"Written: {baseline}, {len(scores.cells)} cells")


def _check(context: click.Context, speed: bool, update: bool, reason: str) -> None:
    """Raise UserError if options do not go together."""
    from cabench.errors import UserError

    def given(name: str) -> bool:
        return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE

    if update and not reason.strip():
        raise UserError('A new baseline needs to say why: --update --reason "...".')
    if given("reason") and not update:
        raise UserError("--reason goes with --update.")
    for name in CHECKED:
        if update and given(name):
            raise UserError(f"--update only writes the baseline; leave --{name.replace('_', '-')} out.")
    if given("slowdown" if not speed else "fail_on"):
        raise UserError("--fail-on goes with scores, --slowdown with --speed.")
