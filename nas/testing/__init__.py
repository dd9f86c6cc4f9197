"""Conformance kits for plug-ins: run them in your own tests.

`toys` has a space, an evaluator and a session that cost microseconds and have real state;
`replay` kills a run at every event and compares; `executors` checks an executor.
"""
