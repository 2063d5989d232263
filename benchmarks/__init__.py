"""Benchmarks, each beside its peer in one run and on one thread."""

import os

# Before numpy is imported anywhere: its thread pools read these once.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
