"""What lasts: SQLite, its migrations and the queries. No SQL is anywhere else, and nothing here knows requests."""
