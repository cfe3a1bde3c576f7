"""`python -m cabench`."""

from __future__ import annotations

import sys
import traceback

from cabench.errors import UserError


def main() -> None:
    """Run the command line; a user's error is one sentence on stderr and exit code 2."""
    from cabench.cli.main import cli

    try:
        cli(prog_name="cabench")
    except UserError as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
