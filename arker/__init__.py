"""Arker."""
