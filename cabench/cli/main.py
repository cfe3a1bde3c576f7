"""The command group; a command's file is imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

import cabench
from cabench.errors import UserError, did_you_mean

COMMANDS = {
    "run": "Run methods on data sets and write the leaderboard.",
    "status": "Show what is done, what runs, what waits.",
    "list": "List methods, datasets or metrics.",
    "describe": "Describe one method, data set or run.",
    "evaluate": "Compute more metrics of finished runs, without training.",
    "report": "Render the leaderboard from the records.",
    "compare": "Tell what got worse than a baseline, for CI.",
    "show-swaps": "Draw reconstructions and swaps of a generative run.",
    "data": "Fetch, prepare, check and look at data sets.",
    "profile": "Measure time, memory and errors of the losses, or trace a training step.",
    "calibrate": "Measure floor and ceiling of every factor of the synthetic sets.",
}


class LazyGroup(click.Group):
    """A group whose commands live in `cabench.cli.<name>` and are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a user's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            raise UserError(f"There is no command '{cmd_name}'.{did_you_mean(cmd_name, COMMANDS)}")
        module: Any = importlib.import_module(f"cabench.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the help lines without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cabench.__version__)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Compare contrastive-analysis methods: common and salient codes, one protocol."""
