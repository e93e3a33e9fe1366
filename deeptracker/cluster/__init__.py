"""From a profile or an address to a Dask client: the only place that starts workers."""

from deeptracker.cluster.connecting import connect
from deeptracker.cluster.profile import Profile, read_profile

__all__ = ["Profile", "connect", "read_profile"]
