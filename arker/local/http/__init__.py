"""HTTP of the deployment: requests into calls of the service, results and errors into answers."""
