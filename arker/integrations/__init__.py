"""Arker in other frameworks, a module for each; a module imports its framework, which has to be installed."""
