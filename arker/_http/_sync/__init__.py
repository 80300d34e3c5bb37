# Derived from arker/_http/_async/__init__.py by `make generate`; do not edit.
