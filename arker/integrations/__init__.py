"""Arker in other frameworks, one module for each; a module needs its framework installed."""
