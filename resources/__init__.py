"""With what: the Spark session, the lake, the landing zone and the models, typed and read from the environment."""
