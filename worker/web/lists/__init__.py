"""Lists of what is in the database: filtered, a page at a time, each row with a page of its own, and as a file."""
