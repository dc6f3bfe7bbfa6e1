"""Sends HTTP requests with a limit on the response, and with one type of exception."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp


class NoResponseError(Exception):
    """There is no response. The message explains why."""


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    seconds: float,
    limit: int,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Send a request and return the status code and the body. Redirects are not followed.

    Args:
        session: sends the request.
        url: URL of the request.
        seconds: time limit for request and response.
        limit: maximum size of the body, in bytes.
        form: is sent with POST, if given.
        headers: headers of the request.

    Raises:
        NoResponseError: there is no response, or it exceeds a limit.
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
                    raise NoResponseError(f"the response exceeds {limit} bytes")
            return answer.status, bytes(body)
    except TimeoutError:
        raise NoResponseError(f"no response within {seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NoResponseError(str(error) or type(error).__name__) from error
