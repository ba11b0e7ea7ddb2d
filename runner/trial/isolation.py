"""Puts a worker process back into one known state before each job."""

import gc
import os
import sys

import torch

from runner.trial.job import Lease

# Deterministic cuBLAS needs this before its first call; harmless elsewhere.
# Source: PyTorch documentation, "Reproducibility".
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# How many modules there were when what they hold was set aside.
_modules = 0


def reset_process(lease: Lease) -> None:
    """Undo what an earlier job may have left in global state, and set the lease's threads.

    A trial must give the same result first and after twenty others. What a job holds itself
    (model, optimiser, generators) is built anew; this is about the rest: leaked memory,
    autograd and autocast switches, default dtype, deterministic modes, compiled graphs.
    """
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    _collect()
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


def _collect() -> None:
    """Free what earlier jobs left in cycles, without looking through every library again.

    What is there when modules have been imported stays for good: it is moved where the collector
    does not look. Looking through torch and timm took 0.2 s a job, a sixth of a head's training.
    """
    global _modules
    gc.collect()
    if len(sys.modules) != _modules:
        gc.freeze()
        _modules = len(sys.modules)
