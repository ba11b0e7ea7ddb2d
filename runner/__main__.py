"""`python -m runner`."""

import sys


def main() -> int:
    """Run the command line; the exit code is the process's."""
    from runner.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
