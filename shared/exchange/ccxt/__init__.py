"""ccxt behind the same two ports: the fallback, and a second opinion on the wire.

Optional: needs the extra ``ccxt``.
"""
