"""Words that stand in the database, as people read them."""

from worker.web.languages import lazy

WORDS = {
    # messages
    "queued": lazy("queued"),
    "posting": lazy("being posted"),
    "submitted": lazy("taken by the gateway"),
    "delivered": lazy("delivered"),
    "failed": lazy("failed"),
    "unknown": lazy("unknown"),
    "cancelled": lazy("cancelled"),
    "expired": lazy("expired"),
    "unconfirmed": lazy("unconfirmed"),
    # batches
    "accepted": lazy("accepted"),
    "refused": lazy("refused"),
    "released": lazy("released"),
    # callbacks
    "owed": lazy("owed"),
    "told": lazy("told"),
    # accounts and circuits
    "active": lazy("active"),
    "paused": lazy("paused"),
    "closed": lazy("works"),
    "open": lazy("in trouble"),
    # lanes
    "otp": lazy("codes (otp)"),
    "normal": lazy("normal"),
    "bulk": lazy("bulk"),
    # decisions
    "resend": lazy("resend"),
    "drop": lazy("drop"),
    "confirm": lazy("proved to be taken"),
    "cancel": lazy("cancel"),
    "ask": lazy("ask again"),
    "pause": lazy("pause"),
    "resume": lazy("resume"),
    "recover": lazy("recover from a backup"),
}


def word(known: str) -> str:
    """*known* in the visitor's language; a word that nobody wrote down stays as it is."""
    return str(WORDS.get(known, known))
