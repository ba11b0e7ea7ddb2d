"""Puts a worker process back into one known state before each job."""

import gc
import os
import sys

import torch

from runner.trial.job import Lease

# Deterministic cuBLAS needs this before its first call; harmless elsewhere.
# Source: PyTorch documentation, "Reproducibility".
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def reset_process(lease: Lease) -> None:
    """Undo what an earlier job may have left in global state, and set the lease's threads.

    A trial must give the same result first and after twenty others. What a job holds itself
    (model, optimiser, generators) is built anew; this is about the rest: leaked memory,
    autograd and autocast switches, default dtype, deterministic modes, compiled graphs.
    """
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.set_num_threads(lease.threads)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_anomaly_enabled(False)
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
