-- After every upgrade of the tables: what Grafana may read.
GRANT SELECT ON profiles, model_versions, verdicts, verdict_hours, event_hours, lifecycle_events,
    dead_letters, projections TO grafana;
