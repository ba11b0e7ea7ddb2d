"""Runs jobs through Ray Tune: on this machine, or on a Ray cluster."""

from runner.backends.ray.backend import RayBackend
from runner.backends.ray.cluster import Cluster, Needs

__all__ = ["Cluster", "Needs", "RayBackend"]
