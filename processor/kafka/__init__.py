"""The Kafka client: configuration, permissions, topics, reading."""
