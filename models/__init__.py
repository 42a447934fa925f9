"""What is stored. Imports SQLAlchemy and itself, nothing of ``worker``."""

from models.account import Account
from models.base import Base
from models.batch import Batch
from models.block import Block
from models.callback import Callback
from models.circuit import Circuit
from models.decision import Decision
from models.message import Message
from models.refused_intake import RefusedIntake
from models.report import Report
from models.tally import Tally
from models.worker import Worker

__all__ = [
    "Account",
    "Base",
    "Batch",
    "Block",
    "Callback",
    "Circuit",
    "Decision",
    "Message",
    "RefusedIntake",
    "Report",
    "Tally",
    "Worker",
]
