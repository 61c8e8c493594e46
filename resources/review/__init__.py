"""The labelling page: server, sessions, answer log, tables and images; its logic is in `pipeline/reviews`."""
