"""`python -m cabench`."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback

from cabench.errors import UserError


def main() -> None:
    """Run the command line; a user's error is one sentence on stderr and exit code 2."""
    from cabench.cli.main import cli

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no arrow shows a question mark
    try:
        try:
            cli(prog_name="cabench")
        finally:
            if sys.stdout is not None:  # as with >&-
                sys.stdout.flush()
    except UserError as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails at it once more
        print("Error: The output could not be written (No space left on device); free space.", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
