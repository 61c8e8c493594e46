"""With what: the Spark session, the lake, the landing zone and the model stores, typed and read from the environment."""
