"""Reckon, a recommendation microservice.

The folders are the steps a rating takes: intake -> store -> algorithms -> evaluation -> training -> snapshots ->
serving -> api. Imports point down that flow, never up; `pyproject.toml` holds the contracts and the tests run them.
"""

__version__ = "0.1.0"
