"""A sweep of REF-1's 1,000 sets as a process of its own; prints its peak in MiB."""

import re
import sys
from pathlib import Path

from services.backtest.sweep.run import sweep
from tests.bench.ref1 import SETS, market

found = sweep(market(Path(sys.argv[1])), SETS)
# Not ru_maxrss: that of a child begins with its parent's.
status = Path("/proc/self/status").read_text(encoding="utf-8")
peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
sys.stdout.write(f"{int(found.trades.sum())} trades, net {int(found.net.sum())}, peak {peak:.0f}\n")
