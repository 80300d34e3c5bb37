"""Persistent state: SQLite, its migrations and queries. All SQL is here, and nothing here knows requests."""
