# Derived from arker/_async/files/__init__.py by `make generate`; do not edit.
"""The files of a computer: `computer.files`, `computer.sync`, and what the two are made of."""
