import errno
import inspect
import os

import grpc
import pytest

from gallery.errors import GalleryError, GalleryLockedError, StorageFullError, StoreError
from gallery.milvus import ERRORS, client_library, mapped, store_errors

pymilvus = client_library()


def exception_classes() -> list[type[Exception]]:
    found = vars(pymilvus.exceptions).values()
    return [one for one in found if inspect.isclass(one) and issubclass(one, Exception)]


def test_every_class_of_pymilvus_is_in_the_table() -> None:
    names = {one.__name__ for one in exception_classes()}
    assert len(names) >= 26
    assert names == set(ERRORS)


@pytest.mark.parametrize("kind", exception_classes(), ids=lambda one: one.__name__)
def test_every_class_becomes_ours(kind: type[Exception]) -> None:
    with (
        pytest.raises(GalleryError, match="cannot search /g: no luck") as caught,
        store_errors("search", "/g"),
    ):
        raise kind(message="no luck")
    assert isinstance(caught.value.__cause__, kind)


def test_class_of_a_later_release_still_becomes_ours() -> None:
    class Novel(pymilvus.exceptions.MilvusException):  # type: ignore[misc, name-defined]
        pass

    assert isinstance(mapped(Novel(message="new"), "search", "/g"), StoreError)


def test_locked_store() -> None:
    error = pymilvus.exceptions.ConnectionConfigException(message="Open local milvus failed")
    with pytest.raises(GalleryLockedError, match="another process owns it"), store_errors("o", "g"):
        raise error
    elsewhere = pymilvus.exceptions.ConnectionConfigException(
        message="Open local milvus failed, dir: /x not exists"
    )
    assert type(mapped(elsewhere, "open", "g")) is StoreError


@pytest.mark.parametrize(
    "words",
    [
        "[Errno 28] No space left on device",
        "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device",
        "OSError: Disk quota exceeded",
    ],
)
def test_full_disk(words: str) -> None:
    error = pymilvus.exceptions.MilvusException(code=1, message=words)
    assert isinstance(mapped(error, "write to", "g"), StorageFullError)
    assert isinstance(mapped(OSError(errno.ENOSPC, os.strerror(28)), "x", "g"), StorageFullError)


class Silent(grpc.RpcError):  # type: ignore[misc]
    def __init__(self, status: grpc.StatusCode, details: str) -> None:
        super().__init__()
        self.status, self.words = status, details

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.words


def test_grpc_errors() -> None:
    with pytest.raises(StoreError, match="no answer within the time limit"), store_errors("s", "g"):
        raise Silent(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    with pytest.raises(StoreError, match="unavailable: gone"), store_errors("s", "g"):
        raise Silent(grpc.StatusCode.UNAVAILABLE, "gone")


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(StorageFullError, match=r"^mine$"), store_errors("search", "/g"):
        raise StorageFullError("mine")


def test_message_is_one_line() -> None:
    error = pymilvus.exceptions.MilvusException(code=6, message="bad\n   ^\nhere")
    assert str(mapped(error, "search", "g")) == "cannot search g: bad ^ here"
