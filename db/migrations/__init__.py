"""The history of the tables, run by `inspectq db upgrade` (db/schema.py)."""
