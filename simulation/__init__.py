"""The planner and the buffer in virtual time, against modelled nodes: for benchmarks, tests and the dashboard's panel.

It joins the parts, and takes its models of links from `cluster`. No other package of the product imports it: the
dashboard runs it as a program of its own.
"""
