"""``python -m tests.mutants [--only NAME]``: plant each bug and see whether its tier finds it."""

import sys

from tests.mutants.run import main

if __name__ == "__main__":
    sys.exit(main())
