"""Every claim and every transition. Nothing else in the house writes a state.

Each function works inside the session it is given, and its transaction is the caller's. A move names the states it may
come from in its WHERE, so that whatever arrives late or twice changes nothing.
"""
