"""The Spark session: Java, settings, the code that executors get, and progress."""
