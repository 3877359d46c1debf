"""Reading and writing the lifecycle rules of a bucket.

S3 replaces all rules of a bucket at once: whoever else changes them in the same second may lose
that change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.backends.retry import Retrier
from holdfast.backends.s3_client import S3Client
from holdfast.errors import NotFoundError

_WHAT: Final = "the settings of the bucket"
"""What errors name."""


class S3Lifecycle:
    """The rules of the bucket of one location.

    Args:
        client: of the location; `close` closes it.
        retrier: repeats what fails for a moment.
    """

    def __init__(self, client: S3Client, *, retrier: Retrier | None = None) -> None:
        self._client = client
        self._retrier = retrier or Retrier()

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules as S3's API has them.

        Raises:
            AccessDeniedError: we may not read them.
            BackendError: the server has no lifecycle, or failed.
        """
        try:
            answer = self._call("get_bucket_lifecycle_configuration")
        except NotFoundError:
            return []
        rules: list[dict[str, Any]] = answer.get("Rules", [])
        return rules

    def replace(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Set all rules of the bucket; other servers than Amazon's may take a day to act on them.

        Raises:
            AccessDeniedError: we may not.
            BackendError: the server knows no such rule, or failed.
        """
        if rules:
            configuration = {"Rules": [dict(rule) for rule in rules]}
            self._call("put_bucket_lifecycle_configuration", LifecycleConfiguration=configuration)
        else:
            self._call("delete_bucket_lifecycle")

    def has_versions(self) -> bool:
        """Tell whether the bucket keeps versions, or did once."""
        return bool(self._call("get_bucket_versioning").get("Status"))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._retrier.run(lambda: self._client.call(method, _WHAT, **parameters))
