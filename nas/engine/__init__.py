"""The engine drives a strategy's generator: budget, store, executors, sessions, signals, events.

Read in this order: `loop` (how a generator is driven and replayed), `store` (what is
durable, and when), `executors` (who does the work), `run` (one search, one folder).
Nothing in here imports torch; workers do when an evaluator or a session needs it.
"""
