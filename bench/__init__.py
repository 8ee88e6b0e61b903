"""Measurements that can be rerun: `python -m bench`. Nothing here is imported by the product."""
