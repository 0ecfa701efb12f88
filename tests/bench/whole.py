"""A sweep of REF-1's 1,000 sets as a process of its own; prints its peak in MiB."""

import resource
import sys
from pathlib import Path

from services.backtest.sweep.run import sweep
from tests.bench.ref1 import SETS, market

found = sweep(market(Path(sys.argv[1])), SETS)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stdout.write(f"{int(found.trades.sum())} trades, net {int(found.net.sum())}, peak {peak:.0f}\n")
