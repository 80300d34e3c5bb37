"""What Arker's client costs, measured beside raw HTTP clients and the published clients of its peers.

`python -m benchmarks` runs everything; each module in here that has a `main` also runs alone. See README.md.
"""
