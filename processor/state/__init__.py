"""State of profiles, and the changelogs that it is restored from."""
