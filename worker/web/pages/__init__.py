"""The pages that are more than lists."""

from starlette_admin.views import BaseView

from worker.web.house import WebHouse
from worker.web.pages.acting import Acting
from worker.web.pages.asking import Asking
from worker.web.pages.deciding import Deciding
from worker.web.pages.message import OneMessage
from worker.web.pages.sending import Sending
from worker.web.pages.start import Start


def views(house: WebHouse) -> list[BaseView]:
    """All of them, in the order of the menu; one has the path ``/``."""
    return [Start(house), Sending(house), Asking(house), OneMessage(house), Deciding(house), Acting(house)]
