"""``python -m tests.simulation --seeds N --from K [--jobs 2] [--twice M]``."""

import sys

from tests.simulation.report import main

if __name__ == "__main__":
    sys.exit(main())
