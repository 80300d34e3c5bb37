"""The HTTP layer of the deployment: maps requests to service calls, and results and errors to responses."""
