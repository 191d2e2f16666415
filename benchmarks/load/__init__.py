"""The service under more load than it can bear: `python -m benchmarks.load`."""
