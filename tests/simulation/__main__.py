"""``python -m tests.simulation --seeds N --from K [--jobs 2] [--twice M]``, or ``--single``."""

import sys

from tests.simulation import report, unhedged

SINGLE = "--single"

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if SINGLE in arguments:
        sys.exit(unhedged.main([word for word in arguments if word != SINGLE]))
    sys.exit(report.main(arguments))
