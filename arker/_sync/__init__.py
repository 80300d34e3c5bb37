# Derived from arker/_async/__init__.py by `make generate`; do not edit.
"""The blocking client."""
