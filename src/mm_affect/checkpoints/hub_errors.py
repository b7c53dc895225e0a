# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Errors of the Hub: requests are retried while it is busy, other errors become one sentence that says what to do."""

import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers


KINDS = {"model": "model", "dataset": "dataset", "space": "Space"}
BUSY = (408, 429, 500, 502, 503, 504)
WAITS = (1, 2, 4, 8)  # seconds before another try, unless the Hub says how long

T = TypeVar("T")

logger = logging.getLogger(__name__)


def with_retries(call: Callable[..., T], *arguments, **options) -> T:
    """Call a function of `HfApi` that does not retry by itself, and retry it while the Hub is busy.

    The delay is the one that the Hub asks for, if any. (huggingface_hub itself retries uploads and downloads of files.)

    Args:
        call: function to call.
        arguments: its positional arguments.
        options: its keyword arguments.

    Returns:
        The result of the call.
    """
    for wait in WAITS:
        try:
            return call(*arguments, **options)
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY:
                raise
            wait = _get_retry_delay(error.response.headers) or wait
        except json.JSONDecodeError:  # an HTML page instead of an answer
            pass
        logger.warning("The Hub is busy; trying again in %d s.", wait)
        time.sleep(wait)
    return call(*arguments, **options)


def _get_retry_delay(headers) -> int | None:
    """Return the seconds after which the Hub accepts requests again; None if it does not say."""
    limit, after = parse_ratelimit_headers(headers), headers.get("Retry-After", "")
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1  # it counts in whole seconds
    return int(after) if after.isdigit() else None


@contextlib.contextmanager
def readable_errors(
    api: HfApi, repo_id: str, repo_type: str = "model", revision: str | None = None, writing: bool = False
):
    """Context manager that turns errors of huggingface_hub into built-in exceptions with a one-sentence message.

    Args:
        api: the client in use.
        repo_id: repository, for the message.
        repo_type: `"model"`, `"dataset"` or `"space"`.
        revision: revision, for the message.
        writing: True if the block uploads.

    Raises:
        FileNotFoundError: there is no such repository or revision, or it is not in the cache while offline.
        PermissionError: there is no token, or the token is invalid or lacks the permission.
        ConnectionError: no answer, or the Hub cannot serve the request now.
        ValueError: the name is not a valid repository name, or the repository is of another type.
    """
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is not a valid repository name; expected organization/name.") from error
    except (HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, json.JSONDecodeError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error.__cause__, HTTPError):
            raise  # except for failed uploads of large files
        raise _reason(error, api, repo_id, repo_type, revision, writing) from error


def _reason(error, api, repo_id, repo_type, revision, writing) -> Exception:
    """Return the exception that says what is wrong and what to do."""
    what, answered = f"{KINDS[repo_type]} {repo_id}", _answered(error)
    status = None if answered is None else answered.response.status_code
    if constants.is_offline_mode():
        cached = "" if writing else f", and {what}{_at(revision)} is not in the cache"
        return ConnectionError(f"HF_HUB_OFFLINE is set, so the Hub is not reached{cached}; unset it and try again.")
    if isinstance(error, GatedRepoError):
        return PermissionError(
            f"{repo_id} is gated; request access at {api.endpoint}/{repo_id}, then log in with `hf auth login`."
        )
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(
            f"The {what} has no revision {revision}; see {api.endpoint}/{repo_id} for its revisions."
        )
    token = api.token or get_token()
    if status == 401 and token is not None:
        return PermissionError("The Hub rejects this token; run `hf auth login`, or set HF_TOKEN to a valid token.")
    if status == 401 and writing:
        return PermissionError("There is no token for the Hub; run `hf auth login`, or set HF_TOKEN.")
    if isinstance(error, RepositoryNotFoundError):
        others = [kind for kind in KINDS if kind != repo_type and _exists(api, repo_id, kind)]
        if others:
            return ValueError(f"{repo_id} on the Hub is a {KINDS[others[0]]}, not a {KINDS[repo_type]}.")
        return FileNotFoundError(
            f"There is no {what} on the Hub, or it is private; check the name, or log in with `hf auth login`."
        )
    if status == 403:
        return PermissionError(
            f"This token has no permission to {'write to' if writing else 'read'} {repo_id}; use another token (`hf auth login`) or "
            "another repository name."
        )
    if status in (409, 412):
        return ConnectionError(f"{repo_id} was changed at the same time ({status}); try again.")
    if status == 429:
        return ConnectionError("The Hub limits the rate of requests (429); try again in a few minutes.")
    if answered is not None:
        message = " ".join((answered.server_message or "").split())
        return ConnectionError(
            f"The Hub cannot process the request now (status {status}{message and ': ' + message}); try again later."
        )
    kept = "completed uploads are not repeated" if writing else "completed downloads are kept"
    return ConnectionError(f"No answer from {api.endpoint}; check the network and try again ({kept}).")


def _answered(error) -> HfHubHTTPError | None:
    """Return the HTTP error that is, or caused, this error; None if the Hub did not answer."""
    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    return error


def _at(revision: str | None) -> str:
    return f" at {revision}" if revision else ""


def _exists(api: HfApi, repo_id: str, kind: str) -> bool:
    try:
        return api.repo_exists(repo_id, repo_type=kind)
    except HTTPError:
        return False
