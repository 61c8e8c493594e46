"""The Spark session: its Java, its settings, the code sent to executors, and progress logs. No DataFrame logic."""
