"""Overlap of boxes."""

import numpy as np

from engines.overlap import iou_matrix


def test_known_overlaps() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 70]], np.float32)
    others = np.array([[5, 0, 15, 10], [50, 50, 54, 70], [10, 0, 20, 10]], np.float32)
    np.testing.assert_array_equal(iou_matrix(boxes, others), [[50 / 150, 0, 0], [0, 0.4, 0]])


def test_boxes_without_area_overlap_by_0() -> None:
    flat = np.array([[3, 3, 3, 9], [5, 5, 2, 2]], np.float32)
    np.testing.assert_array_equal(iou_matrix(flat, flat), np.zeros((2, 2)))


def test_no_boxes() -> None:
    none, one = np.zeros((0, 4), np.float32), np.array([[0, 0, 1, 1]], np.float32)
    assert iou_matrix(none, one).shape == (0, 1)
    assert iou_matrix(one, none).shape == (1, 0)
