"""The whole trading side under a virtual clock, a seed deciding what goes wrong (RELIABILITY 3.4).

``python -m tests.simulation --seeds 100 --from 1`` runs a hundred schedules.
"""
