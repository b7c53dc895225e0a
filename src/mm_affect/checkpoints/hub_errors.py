# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What can go wrong with the Hub: told in one sentence that says what to do, or waited for."""

import contextlib
import json
import logging
import time

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


KINDS = {"model": "model", "dataset": "data set", "space": "Space"}
BUSY = (408, 429, 500, 502, 503, 504)
WAITS = (1, 2, 4, 8)  # seconds before another try, unless the Hub says how long

logger = logging.getLogger(__name__)


def with_retries(call, *arguments, **options):
    """The result of a request that huggingface_hub sends once only, tried again while the Hub is busy.

    It waits as long as the Hub says, if it does. (Uploads and downloads of files huggingface_hub repeats by itself.)
    """
    for wait in WAITS:
        try:
            return call(*arguments, **options)
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY:
                raise
            wait = _get_retry_delay(error.response.headers) or wait
        except json.JSONDecodeError:  # a page for people instead of an answer
            pass
        logger.warning("The Hub is busy; trying again in %d s.", wait)
        time.sleep(wait)
    return call(*arguments, **options)


def _get_retry_delay(headers) -> int | None:
    """After how many seconds the Hub will listen again; None if it does not say."""
    limit, after = parse_ratelimit_headers(headers), headers.get("Retry-After", "")
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1  # it counts in whole seconds
    return int(after) if after.isdigit() else None


@contextlib.contextmanager
def readable_errors(
    api: HfApi, repo_id: str, repo_type: str = "model", revision: str | None = None, writing: bool = False
):
    """Errors of huggingface_hub within become one sentence each.

    Raises:
        FileNotFoundError: there is no such repository or revision, or not in the cache while there is no network.
        PermissionError: no token, one that is refused, or one that does not allow this.
        ConnectionError: no answer, or one that says that the Hub cannot help now.
        ValueError: the name cannot be one of the Hub, or a repository of this name is of another kind.
    """
    try:
        yield
    except HFValidationError as error:
        raise ValueError(
            f"{repo_id!r} is not a name that a repository can have; expected organization/name."
        ) from error
    except (HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, json.JSONDecodeError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error.__cause__, HTTPError):
            raise  # but for what a failed upload of a large file becomes
        raise _reason(error, api, repo_id, repo_type, revision, writing) from error


def _reason(error, api, repo_id, repo_type, revision, writing) -> Exception:
    """The error that tells what is the matter, and what to do."""
    what, answered = f"{KINDS[repo_type]} {repo_id}", _answered(error)
    status = None if answered is None else answered.response.status_code
    if constants.is_offline_mode():
        held = "" if writing else f", and {what}{_at(revision)} is not in the cache"
        return ConnectionError(f"HF_HUB_OFFLINE keeps this machine off the Hub{held}; unset it, and run this again.")
    if isinstance(error, GatedRepoError):
        return PermissionError(
            f"{repo_id} is gated; ask for access at {api.endpoint}/{repo_id}, and log in with `hf auth login`."
        )
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(
            f"The {what} has no revision {revision}; see {api.endpoint}/{repo_id} for those it has."
        )
    token = api.token or get_token()
    if status == 401 and token is not None:
        return PermissionError(
            "The Hub does not know this token; run `hf auth login`, or set HF_TOKEN to a valid one."
        )
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
            f"This token may not {'write to' if writing else 'read'} {repo_id}; use one that may (`hf auth login`), or "
            "another name."
        )
    if status in (409, 412):
        return ConnectionError(f"Somebody else changed {repo_id} at the same time ({status}); run this again.")
    if status == 429:
        return ConnectionError("The Hub asks for fewer requests (429); run this again in some minutes.")
    if answered is not None:
        told = " ".join((answered.server_message or "").split())
        return ConnectionError(
            f"The Hub cannot do this now (status {status}{told and ': ' + told}); run this again later."
        )
    kept = "what was uploaded is not uploaded again" if writing else "what is complete is kept"
    return ConnectionError(f"No answer from {api.endpoint}; check the network, and run this again ({kept}).")


def _answered(error) -> HfHubHTTPError | None:
    """The answer that the error is, or came from; None if there was none."""
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
