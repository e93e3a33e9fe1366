"""The band on top of every page: the whole training at a glance."""
