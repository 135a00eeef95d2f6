"""pymilvus, quietened, with every error mapped to ours.

pymilvus is imported on first use only: it costs half a second and 100 MB.
"""

import errno
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gallery.errors import (
    GalleryError,
    GalleryLockedError,
    StorageFullError,
    StoreError,
)

_FULL = re.compile(
    rf"\[Errno (?:{errno.ENOSPC}|{errno.EDQUOT})\]|{os.strerror(errno.ENOSPC)}"
    rf"|{os.strerror(errno.EDQUOT)}|errno: (?:{errno.ENOSPC}|{errno.EDQUOT})\b"
)
_LOCKED = re.compile(r"Open local milvus failed$|another process holds the lock")

ERRORS: dict[str, type[GalleryError]] = {
    "MilvusException": StoreError,
    "ParamError": StoreError,
    "ConnectError": StoreError,
    "MilvusUnavailableException": StoreError,
    "CollectionNotExistException": StoreError,
    "DescribeCollectionException": StoreError,
    "PartitionAlreadyExistException": StoreError,
    "IndexNotExistException": StoreError,
    "AmbiguousIndexName": StoreError,
    "CannotInferSchemaException": StoreError,
    "SchemaNotReadyException": StoreError,
    "DataTypeNotMatchException": StoreError,
    "DataTypeNotSupportException": StoreError,
    "DataNotMatchException": StoreError,
    "SchemaMismatchRetryableException": StoreError,
    "ConnectionNotExistException": StoreError,
    "ConnectionConfigException": StoreError,
    "PrimaryKeyException": StoreError,
    "PartitionKeyException": StoreError,
    "ClusteringKeyException": StoreError,
    "FieldsTypeException": StoreError,
    "FunctionsTypeException": StoreError,
    "FieldTypeException": StoreError,
    "AutoIDException": StoreError,
    "InvalidConsistencyLevel": StoreError,
    "ServerVersionIncompatibleException": StoreError,
}
"""Every exception class of pymilvus 3.0; a test fails when a release brings one that is not here.
What a message says (locked, disk full) outranks the class."""


def client_library() -> Any:
    """Import pymilvus without its log lines and warnings; our errors carry what they say.

    Raises:
        StoreError: it is not installed, or refuses to start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import milvus_lite
            import pymilvus
        except ImportError as error:
            raise StoreError(
                f"cannot load the vector store: {error}; run: pip install milvus-lite pymilvus"
            ) from error
    for package in (pymilvus, milvus_lite):
        logging.getLogger(package.__name__).setLevel(logging.CRITICAL + 1)
    return pymilvus


@contextmanager
def store_errors(action: str, store: Path | str) -> Iterator[None]:
    """Turn what pymilvus, gRPC and the operating system raise into our errors.

    Raises:
        GalleryLockedError, StorageFullError, StoreError
    """
    client_library()
    import grpc
    from milvus_lite.exceptions import MilvusLiteError
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, MilvusLiteError, grpc.RpcError, OSError) as error:
        raise mapped(error, action, store) from error


def mapped(error: BaseException, action: str, store: Path | str) -> GalleryError:
    """Return our error for one of theirs."""
    reason = _reason(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(f"cannot {action} {store}: {reason}")
    if _FULL.search(reason):
        return StorageFullError(f"cannot {action} {store}: the disk is full ({reason})")
    if _LOCKED.search(reason):
        return GalleryLockedError(f"cannot {action} {store}: another process owns it")
    return ERRORS.get(type(error).__name__, StoreError)(f"cannot {action} {store}: {reason}")


def _reason(error: BaseException) -> str:
    grpc = sys.modules.get("grpc")
    if grpc is not None and isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        status, details = error.code(), error.details() or ""
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return "no answer within the time limit"
        return f"{status.name.lower().replace('_', ' ')}: {details}".strip(": ")
    text = getattr(error, "message", "") or str(error)
    return " ".join(str(text).split()) or type(error).__name__
