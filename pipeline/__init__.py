"""What is computed: DataFrames in, DataFrames out.

Everything an executor needs is here, and nothing that knows Dagster, the environment or where tables live.
"""

import os

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow's own keeps what a worker freed, 70 MB of it
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # since 1.29 ONNX Runtime tells its maker of every graph it opens
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin: ten times the CPU-seconds on narrow matrices
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # else what a sandbox forks beside Spark Connect may abort
