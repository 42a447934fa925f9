"""Campaigns: an SMS for each row of a file, ordered once however often the file is imported."""
