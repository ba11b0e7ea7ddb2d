"""Runs jobs through Ray Tune: on this machine, or on a Ray cluster."""

from runner.backends.ray.backend import RayBackend
from runner.backends.ray.cluster import Cluster, Needs
from runner.backends.ray.connection import cluster_at, cluster_here, known_address

__all__ = ["Cluster", "Needs", "RayBackend", "cluster_at", "cluster_here", "known_address"]
