"""Reading what others answer over HTTP: never more than a limit, and never an exception of the
client's own kind."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp


class NoResponseError(Exception):
    """There is no answer. The text says why, for a person."""


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    seconds: float,
    limit: int,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Ask once and return the status code and the body.

    Args:
        session: asks.
        url: where.
        seconds: for all of it.
        limit: of the body, in bytes.
        form: is posted, if there is one.
        headers: go with it.

    Raises:
        NoResponseError: nobody answered, or too much or too late. Redirects are not followed.
    """
    timeout = aiohttp.ClientTimeout(total=seconds)
    method = "GET" if form is None else "POST"
    try:
        async with session.request(
            method, url, data=form, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > limit:
                    raise NoResponseError(f"it answered more than {limit} bytes")
            return answer.status, bytes(body)
    except TimeoutError:
        raise NoResponseError(f"it did not answer within {seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NoResponseError(str(error) or type(error).__name__) from error
