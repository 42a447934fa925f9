"""The vendor's gateway re-created as a local server from its document, with faults that can be switched on.

It counts what it took in a journal of its own, and that is what tests of "none lost, none twice" are held against.
"""
