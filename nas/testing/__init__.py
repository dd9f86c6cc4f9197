"""Conformance kits for plug-ins: run them in your own tests.

`toys` has a space, an evaluator and a session that cost microseconds and have real state;
`replay` kills a run at every event and compares, which is what a strategy must survive; `spaces`,
`predictors`, `optimizers` and `executors` check one of those; `closures` are what optimizers are
given, `digits` is the task they are compared on. The project's own members go through the same
kits.
"""
