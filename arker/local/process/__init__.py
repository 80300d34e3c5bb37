"""The process of a deployment: its settings, state folder, start and end."""
