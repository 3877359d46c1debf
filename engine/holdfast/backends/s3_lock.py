"""Reading and extending the protection of objects by Object Lock.

Never ask this of a server that was not tried out on a scratch object: some take the request for
an upload, answer success and replace the object by the XML of the request.
`BucketProbe.object_lock` tries, and `init` has done so before it asks for protection.
"""

from __future__ import annotations

from datetime import UTC, datetime

from holdfast.backends.retry import Retrier
from holdfast.backends.s3_client import S3Client
from holdfast.errors import AccessDeniedError, NotFoundError


class S3Locks:
    """Ends of locks on the objects of one location. Safe for many threads.

    Args:
        client: of the location; `close` closes it.
        retrier: repeats what fails for a moment.
    """

    def __init__(self, client: S3Client, *, retrier: Retrier | None = None) -> None:
        self._client = client
        self._retrier = retrier or Retrier()

    @property
    def parallelism(self) -> int:
        """How many requests at once make sense."""
        return self._client.location.connections

    def end_of(self, name: str) -> int | None:
        """Return when an object's protection ends, in seconds since 1970 UTC.

        Cost: one HEAD.

        Returns:
            None if it has none, or the server does not tell us.

        Raises:
            NotFoundError: there is no such object.
        """
        head = self._retrier.run(lambda: self._client.head(name))
        return None if head.locked_until is None else int(head.locked_until.timestamp())

    def extend(self, name: str, until_s: int) -> None:
        """Protect an object until a later moment, in seconds since 1970 UTC.

        Cost: one request, which providers charge like a PUT.

        Raises:
            NotFoundError: there is no such object.
            AccessDeniedError: not with these credentials, or it is protected for longer already.
        """
        retention = {
            "Mode": self._client.location.lock_mode.upper(),
            "RetainUntilDate": datetime.fromtimestamp(until_s, UTC),
        }
        self._retrier.run(
            lambda: self._client.call(
                "put_object_retention", name, Key=self._client.key(name), Retention=retention
            )
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def has_object_lock(client: S3Client, *, retrier: Retrier | None = None) -> bool:
    """Tell whether a bucket says that it has Object Lock; True too if we may not ask.

    What it says is not yet what it does: `BucketProbe.object_lock` tries.
    """
    run = (retrier or Retrier()).run
    try:
        answer = run(lambda: client.call("get_object_lock_configuration", ""))
    except AccessDeniedError:
        return True
    except NotFoundError:
        return False
    configuration: dict[str, object] = answer.get("ObjectLockConfiguration", {})
    return configuration.get("ObjectLockEnabled") == "Enabled"
