"""Durable jobs: accepted into a database, carried out in the background, kept until their results expire."""
