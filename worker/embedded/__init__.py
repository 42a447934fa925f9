"""Everything that a machine without Redis, PostgreSQL or a gateway needs to try the workers."""
