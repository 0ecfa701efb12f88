"""Bybit V5 behind our two ports: pybit for REST and sockets, everything else ours."""
