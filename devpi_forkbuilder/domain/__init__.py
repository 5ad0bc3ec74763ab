"""Values and pure functions: no I/O, no clock, standard library and `packaging` only."""
