"""Messages to people: their content, their receivers, and the outbox. Knows no Dagster."""
