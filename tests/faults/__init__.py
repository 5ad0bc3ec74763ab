"""Faults: killed and stopped processes, full disks, cut networks, hosts and clocks that misbehave; and a soak.

The harness is shared with other tests: `tests/gitserver.py` (`BadServer`: a git host that misbehaves in a dozen ways),
`tests/publicindex.py` (a public index that refuses, hangs, cuts), `tests/networks.py` (cables that are pulled),
`tests/disks.py` (small file systems), `tests/devpi.py` (`kill`, `restart`), `clocks.py` (another time).

`table.py` is the list of faults with what is promised and which test shows it. `pytest --faults` runs those tests, slow
ones too, and writes what came of them to docs/reference/faults.md.
"""
