"""The schema's history; a released migration is never edited."""
