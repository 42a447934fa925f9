"""Every form carries a token that only our own pages know."""

from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette_admin.security.csrf import CSRFMiddleware


class Csrf(CSRFMiddleware):
    """The library's, which refuses in bare English words; ours are a page."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Raises `HTTPException` (403) for a post without the token."""
        response = await super().dispatch(request, call_next)
        if isinstance(response, PlainTextResponse):  # what comes from a view is streamed through, and so another class
            raise HTTPException(403)
        return response
