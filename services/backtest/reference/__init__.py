"""The reference engine: a strategy of the user's, in plain Python, event by event, in Decimal.

A strategy is any object with three methods (``engine.Strategy``); nothing is registered::

    class Always:
        def on_bar(self, bar): ...
        def on_settlement(self, settled): ...
        def on_instant(self, desk):
            for symbol in desk.symbols:
                if desk.can_open(symbol):
                    desk.open(symbol)

    run = run_strategy(tape_of(market), Always(), Terms(), NONE)

``carry.ThresholdCarry`` is a whole one: REF-1, which the compiled sweep runs on integers.
"""
