"""The page on which people decide by link: an ASGI app that needs no framework and no JavaScript.

It stands by itself under any ASGI server, and can be mounted in any ASGI application.
See docs/approval-links.md.
"""

from amends.sagas.approval_pages.app import ApprovalApp

__all__ = ["ApprovalApp"]
