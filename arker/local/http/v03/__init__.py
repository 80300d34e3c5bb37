"""Endpoints of contract 0.3 that contract 0.1 does not have, by resource."""
