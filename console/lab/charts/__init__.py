"""Data of charts: figures of jobs and models, and the graph of a model."""
