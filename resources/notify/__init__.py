"""Messages to people: what a message says, who receives it, and the outbox in which it waits. It knows no Dagster."""
