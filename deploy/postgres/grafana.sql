-- At the database's first start: who Grafana is. What it may read, rights.sql says.
CREATE ROLE grafana LOGIN;
