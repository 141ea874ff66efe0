"""llama.cpp's own server on a free port, from the wheel `xllamacpp`: `python llama_cpp_server.py MODEL`.

Says its address, and serves until it is told to stop.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main() -> None:
    """Serve two slots on one thread."""
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.n_parallel = 2
    params.n_ctx = 2048
    params.kv_unified = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = 0
    params.port = 0
    params.endpoint_slots = True  # where a test sees whether anything runs
    params.verbosity = 2
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
