"""Whether alerts treat groups of profiles alike: metrics, intervals, tests, recommendations."""
