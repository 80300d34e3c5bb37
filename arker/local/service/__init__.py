"""The services of a deployment: permissions and operations. No HTTP and no SQL."""
