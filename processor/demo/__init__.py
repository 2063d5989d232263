"""The demo: everything on one machine, on an embedded broker."""
