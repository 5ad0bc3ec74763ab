"""Builders on other machines: the primary's side, and the worker's.

`builder.py` is the primary's `Builder`: it fetches an order's source, offers it in the queue (`engine.py`, the only
module that knows procrastinate), and serves a `Parcel` until a worker has sent its files, which `recheck.py` judges.
`desk.py` answers workers, `tickets.py` says who may speak for what. `worker.py` runs the pipeline on another machine
and speaks to the primary through `primary_client.py`. Imports `pipeline` and `domain` only.
"""
