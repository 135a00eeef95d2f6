"""Errors of the gallery floor.

GalleryError
├── GalleryNotFoundError   no gallery lies at the path
├── GalleryLockedError     another process owns the gallery
├── ModelMismatchError     vectors of another model: comparing them would mean nothing
├── InvalidSightingError   a sighting that may not be stored
├── InvalidQueryError      a question that cannot be answered as asked
├── StorageFullError       the disk is full, or too full to go on safely
└── StoreError             the vector store failed
"""


class GalleryError(Exception):
    """Base of everything that this package raises on purpose."""


class GalleryNotFoundError(GalleryError):
    """No gallery lies at the path."""


class GalleryLockedError(GalleryError):
    """Another process owns the gallery."""


class ModelMismatchError(GalleryError):
    """Vectors of another model: comparing them would mean nothing."""


class InvalidSightingError(GalleryError):
    """A sighting that may not be stored."""


class InvalidQueryError(GalleryError):
    """A question that cannot be answered as asked."""


class StorageFullError(GalleryError):
    """The disk is full, or too full to go on safely."""


class StoreError(GalleryError):
    """The vector store failed."""
